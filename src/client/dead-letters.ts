import { ErrorCode, TaskdError } from '../base/errors.js';
import { taskd } from '../wire/generated/messages.js';
import { getRun } from '../wire/methods.js';
import type { Run } from './run.js';
import { formatRunId, parseRunId } from './run-id.js';
import type { Runs } from './runs.js';
import type { Schedulers } from './schedulers.js';
import type { ShardLog } from './shard-log.js';

/** Runs that used up their attempts: they wait here until someone replays them. */
export class DeadLetters {
  readonly #schedulers: Schedulers;
  readonly #log: ShardLog;
  readonly #runs: Runs;

  constructor(schedulers: Schedulers, log: ShardLog, runs: Runs) {
    this.#schedulers = schedulers;
    this.#log = log;
    this.#runs = runs;
  }

  /** Newest first; at most `limit`, by default 1,000. */
  list(appName: string, limit?: number): Promise<readonly Run[]> {
    return this.#runs.list(appName, { states: ['DEAD'], ...(limit === undefined ? {} : { limit }) });
  }

  /** Rejects with NOT_FOUND, or CONFLICT when the run is not dead. */
  async get(id: string): Promise<Run> {
    const run = await this.#runs.get(id);
    if (run.state !== 'DEAD') {
      throw new TaskdError(
        ErrorCode.CONFLICT,
        `run ${id} is ${run.state}, not DEAD: only dead letters can be replayed`,
      );
    }
    return run;
  }

  /**
   * Makes a new run with the dead one's arguments; the dead one leaves the list. Resolves once the owner has made it.
   * Rejects with CONFLICT when it isn't dead, or somebody else replayed it first.
   */
  async replay(id: string): Promise<{ readonly id: string }> {
    await this.get(id);
    const { shard, run } = parseRunId(id);
    const value = taskd.RunReplay.encode({ run }).finish();
    const offset = await this.#log.appendTo(shard, taskd.RecordType.RUN_REPLAY, value);
    try {
      await this.#schedulers.ask(shard, getRun, { shard, run: offset, atLeast: offset });
    } catch (error) {
      if (error instanceof TaskdError && error.code === ErrorCode.NOT_FOUND) {
        throw new TaskdError(
          ErrorCode.CONFLICT,
          `run ${id} was replayed by someone else meanwhile: list the dead letters anew`,
        );
      }
      throw error;
    }
    return { id: formatRunId(shard, offset) };
  }
}
