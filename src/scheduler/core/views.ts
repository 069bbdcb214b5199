import { taskd } from '../../wire/generated/messages.js';
import type { Job } from './job-table.js';
import { ladderDefaultMs } from './retry-policy.js';
import { Flag } from './run-table.js';
import type { SessionTable } from './session-table.js';
import type { ShardState } from './shard-state.js';
import type { AppSnapshot, JobSnapshot, RunFilter, RunPage, RunSnapshot, WorkerSnapshot } from './snapshots.js';

const { RunState } = taskd;
/** Runs that one page looks at: some milliseconds of the loop. */
const lookedAtMax = 100_000;

/** Answers questions from the state; changes nothing. */
export class Views {
  readonly #state: ShardState;
  readonly #sessions: SessionTable;

  constructor(state: ShardState, sessions: SessionTable) {
    this.#state = state;
    this.#sessions = sessions;
  }

  run(id: number): RunSnapshot | undefined {
    const slot = this.#state.runs.find(id);
    return slot === 0 ? undefined : this.#run(slot);
  }

  runs(filter: RunFilter): RunPage {
    const { runs, lanes, jobs } = this.#state;
    const before = filter.before ?? this.#state.nextOffset;
    const found: RunSnapshot[] = [];
    let looked = 0;
    let last = before;
    let nextBefore: number | undefined;
    const consider = (slot: number): boolean => {
      if (found.length >= filter.max || looked++ >= lookedAtMax) {
        nextBefore = last;
        return false;
      }
      last = runs.id.get(slot);
      if (lanes.at(runs.lane.get(slot)).app.id !== filter.appId) return true;
      if (filter.states.length > 0 && !filter.states.includes(runs.state.get(slot))) return true;
      if (filter.job !== '' && (runs.job.get(slot) === 0 || jobs.at(runs.job.get(slot)).name !== filter.job))
        return true;
      // A dead letter that was replayed, or made room, has left the list.
      if (filter.states.length > 0 && runs.hasFlag(slot, Flag.UNLISTED)) return true;
      found.push(this.#run(slot));
      return true;
    };
    if (filter.states.length === 1 && filter.states[0] === RunState.DEAD) {
      this.#walkDead(filter.appId, before, consider);
    } else {
      runs.walkDown(before, consider);
    }
    return { runs: found, nextBefore };
  }

  job(appId: number, name: string): JobSnapshot | undefined {
    const job = this.#state.jobs.find(appId, name);
    return job?.isInForce ? this.#job(job) : undefined;
  }

  jobs(appId: number, after: string, max: number): JobSnapshot[] {
    return this.#state.jobs.list(appId, after, max).map((job) => this.#job(job));
  }

  stats(appId: number): AppSnapshot {
    const app = this.#state.lanes.apps.get(appId);
    const workers: WorkerSnapshot[] = [];
    for (const { info, inUse } of this.#sessions.attached()) {
      if (info.appId !== appId) continue;
      const { workerId, incarnation, sessionId, capacity, processors } = info;
      workers.push({ workerId, incarnation, sessionId, capacity, leases: inUse, processors });
    }
    const count = (state: taskd.RunState): number => app?.counts[state] ?? 0;
    return {
      scheduled: count(RunState.SCHEDULED),
      ready: count(RunState.READY),
      running: count(RunState.RUNNING) + count(RunState.CANCELLING),
      retryWait: count(RunState.RETRY_WAIT),
      dead: count(RunState.DEAD),
      submittedTotal: app?.submittedTotal ?? 0,
      succeededTotal: app?.succeededTotal ?? 0,
      failedAttemptsTotal: app?.failedAttemptsTotal ?? 0,
      lostTotal: app?.lostTotal ?? 0,
      cancelledTotal: app?.cancelledTotal ?? 0,
      replayedTotal: app?.replayedTotal ?? 0,
      workers,
    };
  }

  /** The newest in the list first; they are few as a rule, and in the order of their deaths, not of their ids. */
  #walkDead(appId: number, before: number, each: (slot: number) => boolean): void {
    const { runs, lanes } = this.#state;
    const app = lanes.apps.get(appId);
    if (app === undefined) return;
    const ids: number[] = [];
    for (let slot = app.dead.tail; slot !== 0; slot = runs.previous.get(slot)) {
      if (runs.id.get(slot) < before) ids.push(runs.id.get(slot));
    }
    ids.sort((a, b) => b - a);
    for (const id of ids) if (!each(runs.find(id))) return;
  }

  #run(slot: number): RunSnapshot {
    const { runs, lanes, specs, jobs, workers } = this.#state;
    const lane = lanes.at(runs.lane.get(slot));
    const jobIndex = runs.job.get(slot);
    const worker = runs.worker.get(slot);
    const isLive = runs.isWaiting(slot) || runs.isLeased(slot);
    return {
      run: runs.id.get(slot),
      appId: lane.app.id,
      job: jobIndex === 0 ? '' : jobs.at(jobIndex).name,
      processor: lane.processor,
      state: runs.state.get(slot),
      attempt: runs.attempts.get(slot) + (runs.isLeased(slot) ? 1 : 0),
      attemptsMax: specs.at(runs.spec.get(slot)).attemptsMax,
      lost: runs.lost.get(slot),
      dueMs: runs.due.get(slot),
      createdMs: runs.created.get(slot),
      startedMs: runs.started.get(slot),
      endedMs: isLive ? 0 : runs.timer.get(slot),
      workerId: worker === 0 ? '' : workers.at(worker).workerId,
      token: runs.isLeased(slot) ? runs.lease.get(slot) : -1,
      priority: runs.priority.get(slot),
      isReplay: runs.hasFlag(slot, Flag.IS_REPLAY),
      argumentsAt: runs.argumentsAt(slot),
      causeAt: runs.cause.get(slot),
      waitsFor: isLive ? this.#waitsFor(slot) : '',
    };
  }

  #waitsFor(slot: number): string {
    const { runs, lanes, jobs } = this.#state;
    const state = runs.state.get(slot);
    if (state === RunState.RUNNING) return '';
    if (state === RunState.CANCELLING) return 'its worker to stop the attempt';
    const problem = this.#state.bad.get(runs.id.get(slot));
    if (problem !== undefined) return `being refused: ${problem}`;
    if (runs.hasFlag(slot, Flag.PARKED)) {
      return `run ${jobs.at(runs.job.get(slot)).live[0]} of the same job to end`;
    }
    if (state === RunState.RETRY_WAIT) return `its next try after attempt ${runs.attempts.get(slot)}`;
    if (state === RunState.SCHEDULED) return 'its time';
    const lane = lanes.at(runs.lane.get(slot));
    let serving = 0;
    for (const session of this.#sessions.attached()) {
      if (session.isCurrent && !session.isDraining && session.lanes.includes(lane)) serving++;
    }
    if (serving === 0) return `a worker with a processor ${lane.processor}; none is connected`;
    return `a free place at one of ${serving} workers; ${lane.size} runs are ready for ${lane.processor}`;
  }

  #job(job: Job): JobSnapshot {
    const put = job.put!;
    const spec = this.#state.specs.at(job.spec);
    return {
      appId: job.appId,
      name: job.name,
      generation: job.generation,
      version: job.version,
      processor: put.processor,
      arguments: put.arguments,
      cron: put.cron,
      zone: put.zone,
      attemptsMax: spec.attemptsMax,
      delaysMs: spec.delaysMs === ladderDefaultMs ? [] : spec.delaysMs,
      timeoutMs: put.timeoutMs,
      priority: put.priority,
      paused: job.paused,
      nextFireMs: job.nextFireMs,
      fires: job.fires,
      skipped: job.skipped,
      refusal: job.refusal,
      refusedVersion: job.refusedVersion,
    };
  }
}
