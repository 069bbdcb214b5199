import { ErrorCode, isTaskdError, TaskdError } from '../base/errors.js';
import type { Clock } from '../runtime/clock.js';
import { taskd } from '../wire/generated/messages.js';
import { getRun, listRuns } from '../wire/methods.js';
import { runSubmit, type Submission } from './job-definition.js';
import { decodePayload } from './payload.js';
import { finalStates, type Run, type RunState, runOf, stateNumber } from './run.js';
import { formatRunId, parseRunId } from './run-id.js';
import { callDeadlineMs, type Schedulers } from './schedulers.js';
import type { ShardLog } from './shard-log.js';

const pageMax = 1_000;
const longPollMs = 30_000;

export interface RunFilter {
  /** Empty or absent: all. */
  readonly states?: readonly RunState[];
  readonly job?: string;
  /** Default 1,000. */
  readonly limit?: number;
  /** Only runs that are older than this one. */
  readonly before?: string;
}

/** A run that reached its end. */
export interface EndedRun extends Run {
  /** What the processor returned: the value of its JSON, `undefined` for nothing, bytes when they aren't JSON. */
  readonly value: unknown;
}

/** Runs of apps, and runs by their ids. */
export class Runs {
  readonly #clock: Clock;
  readonly #schedulers: Schedulers;
  readonly #log: ShardLog;

  constructor(clock: Clock, schedulers: Schedulers, log: ShardLog) {
    this.#clock = clock;
    this.#schedulers = schedulers;
    this.#log = log;
  }

  /** Resolves once the submission is on disk: from then on the run reaches an end, whatever crashes. */
  async submit(appName: string, submission: Submission): Promise<{ readonly id: string }> {
    const record = runSubmit(0, submission);
    const app = this.#schedulers.known(appName) ?? (await this.#schedulers.app(appName, true));
    record.appId = app.appId;
    const value = taskd.RunSubmit.encode(record).finish();
    const offset = await this.#log.append(app, taskd.RecordType.RUN_SUBMIT, value);
    return { id: formatRunId(app.shard, offset) };
  }

  /** With arguments and result. Rejects with NOT_FOUND when there is no such run, or it ended too long ago. */
  async get(id: string): Promise<Run> {
    const { shard, run } = parseRunId(id);
    const answer = await this.#schedulers.ask(shard, getRun, { shard, run, atLeast: run });
    return runOf(answer.run as taskd.RunView);
  }

  /** Newest first. */
  async list(appName: string, filter: RunFilter = {}): Promise<readonly Run[]> {
    const states = (filter.states ?? []).map(stateNumber);
    const app = await this.#schedulers.app(appName, false);
    const limit = filter.limit ?? pageMax;
    const runs: Run[] = [];
    let before = filter.before === undefined ? null : parseRunId(filter.before).run;
    while (runs.length < limit) {
      const countMax = Math.min(limit - runs.length, pageMax);
      const request = { shard: app.shard, appId: app.appId, states, job: filter.job ?? '', countMax, before };
      const answer = await this.#schedulers.ask(app.shard, listRuns, request);
      for (const view of answer.runs) runs.push(runOf(view as taskd.RunView));
      if (answer.nextBefore == null) break;
      before = answer.nextBefore;
    }
    return runs;
  }

  /**
   * Asks for the run's end: one that waits ends at once, one that runs sees its signal and may still succeed. Resolves
   * once the owner has handled it. Rejects with NOT_FOUND, or CONFLICT when the run was over before.
   */
  async cancel(id: string): Promise<Run> {
    const before = await this.get(id);
    if (finalStates.has(before.state)) {
      throw new TaskdError(
        ErrorCode.CONFLICT,
        `run ${id} is ${before.state} already: only a run that isn't over can be cancelled`,
      );
    }
    const { shard, run } = parseRunId(id);
    const value = taskd.RunCancel.encode({ run }).finish();
    const offset = await this.#log.appendTo(shard, taskd.RecordType.RUN_CANCEL, value);
    const answer = await this.#schedulers.ask(shard, getRun, { shard, run, atLeast: offset });
    return runOf(answer.run as taskd.RunView);
  }

  /**
   * Waits for the run's end, however it ends: look at `state`. Rejects with DEADLINE when `timeoutMs` are over first
   * (default: it waits as long as it takes).
   */
  async result(id: string, timeoutMs: number = Number.POSITIVE_INFINITY): Promise<EndedRun> {
    const { shard, run } = parseRunId(id);
    const endMs = this.#clock.monotonicMs() + timeoutMs;
    for (;;) {
      const leftMs = endMs - this.#clock.monotonicMs();
      if (leftMs <= 0) {
        throw new TaskdError(ErrorCode.DEADLINE, `run ${id} had not ended after ${timeoutMs} ms: ask again`);
      }
      const deadlineMs = Math.min(longPollMs, leftMs);
      try {
        const request = { shard, run, atLeast: run, untilFinal: true };
        const answer = await this.#schedulers.ask(shard, getRun, request, deadlineMs);
        const view = runOf(answer.run as taskd.RunView);
        if (finalStates.has(view.state)) return { ...view, value: resultValue(view.result) };
      } catch (error) {
        // The long poll's end isn't the caller's; a scheduler that is away may come back.
        if (!isTaskdError(error) || !isPassing(error)) throw error;
        if (error.code !== ErrorCode.DEADLINE) await this.#pause(Math.min(leftMs, callDeadlineMs / 30));
      }
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.timer(ms, resolve));
  }
}

const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ErrorCode.DEADLINE,
  ErrorCode.CONNECTION_LOST,
  ErrorCode.NOT_SENT,
  ErrorCode.NOT_OWNER,
  ErrorCode.NOT_READY,
  ErrorCode.DRAINING,
  ErrorCode.BUSY,
]);

function isPassing(error: TaskdError): boolean {
  return passing.has(error.code);
}

function resultValue(result: Uint8Array): unknown {
  try {
    return decodePayload(result, 'the result');
  } catch {
    return result;
  }
}
