import type { taskd } from '../wire/generated/messages.js';
import { appStats, listApps } from '../wire/methods.js';
import type { Schedulers } from './schedulers.js';

export interface AppPlacement {
  readonly name: string;
  readonly appId: number;
  readonly shard: number;
}

export interface AttachedWorker {
  readonly workerId: string;
  readonly incarnation: number;
  /** Leases it takes at once, and has now. */
  readonly capacity: number;
  readonly leases: number;
  readonly processors: readonly string[];
  /** Its address as the scheduler sees it. */
  readonly peer: string;
}

/** Counts of an app's runs by state now, totals since the shard's log began, and its workers. */
export interface AppStats {
  readonly scheduled: number;
  readonly ready: number;
  readonly running: number;
  readonly retryWait: number;
  readonly dead: number;
  readonly submittedTotal: number;
  readonly succeededTotal: number;
  readonly failedAttemptsTotal: number;
  readonly lostTotal: number;
  readonly cancelledTotal: number;
  readonly replayedTotal: number;
  readonly workers: readonly AttachedWorker[];
}

export class Apps {
  readonly #schedulers: Schedulers;

  constructor(schedulers: Schedulers) {
    this.#schedulers = schedulers;
  }

  async list(): Promise<readonly AppPlacement[]> {
    const { apps } = await this.#schedulers.ask(undefined, listApps, {});
    return (apps as taskd.AppInfo[]).map(({ name, appId, shard }) => ({ name, appId, shard }));
  }

  /** Rejects with NOT_FOUND for an app that nobody has used yet. */
  async stats(appName: string): Promise<AppStats> {
    const app = await this.#schedulers.app(appName, false);
    const answer = await this.#schedulers.ask(app.shard, appStats, { shard: app.shard, appId: app.appId });
    const { scheduled, ready, running, retryWait, dead, submittedTotal, succeededTotal } = answer;
    const { failedAttemptsTotal, lostTotal, cancelledTotal, replayedTotal } = answer;
    return {
      ...{ scheduled, ready, running, retryWait, dead, submittedTotal, succeededTotal },
      ...{ failedAttemptsTotal, lostTotal, cancelledTotal, replayedTotal },
      workers: (answer.workers as taskd.WorkerView[]).map((worker) => ({
        workerId: worker.workerId,
        incarnation: worker.incarnation,
        capacity: worker.capacity,
        leases: worker.leases,
        processors: worker.processors,
        peer: worker.peer,
      })),
    };
  }
}
