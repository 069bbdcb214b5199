import { ErrorCode } from '../../base/errors.js';
import type { NewRecord } from '../../batch/record.js';
import { taskd } from '../../wire/generated/messages.js';
import { HotWriter } from './hot-records.js';
import type { JobPlanner } from './job-planner.js';
import type { App, Lane } from './lane.js';
import { leaseMs, type Owner, sessionPayload } from './owner.js';
import type { RunList } from './run-list.js';
import type { RunMachine } from './run-machine.js';
import { Mark } from './run-table.js';
import type { Session } from './session.js';
import type { ShardState } from './shard-state.js';

const { RecordType, RunState } = taskd;

/** Records of one call of `decide`; the rest comes with the next. */
const decisionsMax = 4_096;
/** Until a lease that couldn't be judged is looked at again. */
const lookAgainMs = 250;

/**
 * Turns what is due into records. Each decision is noted in the overlay (a mark on the run or the job, a credit taken)
 * until its record is read back, so nothing is decided twice.
 */
export class Decider {
  readonly #state: ShardState;
  readonly #owner: Owner;
  readonly #machine: RunMachine;
  readonly #planner: JobPlanner;
  readonly #writer: HotWriter = new HotWriter();
  /** Jobs whose planned fire is due. */
  #dueJobs: Set<number> = new Set<number>();
  #records: NewRecord[] = [];
  #isCut = false;
  #wallMs = 0;
  #monoMs = 0;
  #nextApp = 0;

  constructor(state: ShardState, owner: Owner, machine: RunMachine, planner: JobPlanner) {
    this.#state = state;
    this.#owner = owner;
    this.#machine = machine;
    this.#planner = planner;
  }

  decide(wallMs: number, monoMs: number): NewRecord[] {
    if (!this.#owner.isActive) return [];
    this.#records = [];
    this.#isCut = false;
    this.#wallMs = wallMs;
    this.#monoMs = monoMs;
    this.#state.wheel.advance(wallMs, (payload) => {
      if ((payload & 1) === 0) this.#machine.due(payload / 2);
      else this.#jobDue((payload - 1) / 2);
    });
    this.#owner.wheel.advance(monoMs, (payload) => {
      if ((payload & 1) === 0) this.#attemptTimer(payload / 2);
      else this.#expire((payload - 1) / 2);
    });
    this.#giveBack();
    this.#refuse();
    this.#plan();
    this.#fire();
    this.#lease();
    return this.#records;
  }

  nextWakeMs(wallMs: number, monoMs: number): number | undefined {
    if (!this.#owner.isActive) return undefined;
    if (this.#isCut) return 0;
    const wall = this.#state.wheel.nextDueMs();
    const mono = this.#owner.wheel.nextDueMs();
    const wait = Math.min(
      wall === undefined ? Number.POSITIVE_INFINITY : wall - wallMs,
      mono === undefined ? Number.POSITIVE_INFINITY : mono - monoMs,
    );
    return wait === Number.POSITIVE_INFINITY ? undefined : Math.max(0, wait);
  }

  /** The epoch is over: what was due is armed again by the owner's `drop`. */
  drop(): void {
    this.#dueJobs.clear();
    this.#isCut = false;
  }

  get #isFull(): boolean {
    if (this.#records.length < decisionsMax) return false;
    this.#isCut = true;
    return true;
  }

  #epoch(): number {
    return this.#state.ownership.epoch;
  }

  #decideOnRun(slot: number, marks: number, type: number, value: Uint8Array, session?: Session): void {
    const { runs } = this.#state;
    runs.setMark(slot, Mark.PENDING | marks);
    this.#owner.inFlight.add(runs.id.get(slot), session);
    this.#records.push({ type, value });
  }

  #decideOnLease(slot: number, type: number, marks: number): void {
    const { runs } = this.#state;
    const message = { epoch: this.#epoch(), run: runs.id.get(slot), token: runs.lease.get(slot) };
    this.#decideOnRun(slot, marks, type, taskd.LeaseLost.encode(message).finish());
  }

  // Leases that end without a report.

  #giveBack(): void {
    const { runs } = this.#state;
    for (const [run, token] of this.#owner.returns) {
      if (this.#isFull) return;
      this.#owner.returns.delete(run);
      const slot = runs.find(run);
      if (slot === 0 || !runs.isLeased(slot) || runs.lease.get(slot) !== token) continue;
      if (runs.hasMark(slot, Mark.PENDING | Mark.REPORTED)) continue;
      this.#decideOnLease(slot, RecordType.LEASE_RETURNED, Mark.ENDING);
    }
  }

  /** An attempt took too long, or was told to stop and didn't. */
  #attemptTimer(slot: number): void {
    const { runs } = this.#state;
    runs.timer.set(slot, 0);
    if (!runs.isLeased(slot) || runs.hasMark(slot, Mark.REPORTED)) return;
    if (runs.hasMark(slot, Mark.PENDING)) {
      runs.timer.set(slot, this.#owner.wheel.add(this.#monoMs + lookAgainMs, slot * 2));
    } else if (runs.state.get(slot) === RunState.RUNNING) {
      this.#decideOnLease(slot, RecordType.ATTEMPT_TIMED_OUT, 0);
    } else {
      runs.setMark(slot, Mark.HUNG);
      const holder = runs.holder.get(slot);
      // Not answered any more, its leases end; a new session may claim the others before that.
      if (holder !== 0) this.#owner.sessions.at(holder)!.isDead = true;
    }
  }

  /** Looks at the leases of a session, or (0) at those that no session holds. */
  #expire(index: number): void {
    const owner = this.#owner;
    let againMs: number | undefined;
    if (index === 0) {
      for (const { unbound } of this.#state.workers.values()) {
        if (unbound.size === 0) continue;
        againMs = earlier(againMs, this.#expireList(unbound, owner.presentMs, undefined));
      }
      if (againMs !== undefined) owner.wheel.add(againMs, sessionPayload(0));
      return;
    }
    const session = owner.sessions.at(index);
    if (session === undefined) return;
    session.timer = 0;
    if (session.leases.size === 0) return;
    againMs = this.#expireList(session.leases, Math.max(owner.presentMs, session.basisMs), session);
    if (againMs !== undefined) session.timer = owner.wheel.add(againMs, sessionPayload(index));
  }

  /** Decides which leases are lost; returns when to look again, if any are left. */
  #expireList(leases: RunList, basisMs: number, session: Session | undefined): number | undefined {
    const { runs } = this.#state;
    if (this.#monoMs < basisMs + leaseMs) return basisMs + leaseMs;
    let againMs: number | undefined;
    for (let slot = leases.head; slot !== 0; slot = runs.next.get(slot)) {
      if (this.#isFull) return this.#monoMs;
      const aliveMs = this.#owner.alive.get(runs.lease.get(slot)) ?? Number.NEGATIVE_INFINITY;
      if (this.#monoMs < aliveMs + leaseMs) {
        againMs = earlier(againMs, aliveMs + leaseMs);
      } else if (runs.hasMark(slot, Mark.PENDING | Mark.REPORTED)) {
        againMs = earlier(againMs, this.#monoMs + lookAgainMs);
      } else {
        if (session !== undefined) session.isDead = true;
        this.#decideOnLease(slot, RecordType.LEASE_LOST, Mark.ENDING);
        againMs = earlier(againMs, this.#monoMs + lookAgainMs);
      }
    }
    return againMs;
  }

  // Runs and jobs that clients asked for.

  #refuse(): void {
    const { runs, bad } = this.#state;
    for (const [run, message] of bad) {
      if (this.#isFull) return;
      const slot = runs.find(run);
      if (runs.hasMark(slot, Mark.PENDING)) continue;
      const refusal = { epoch: this.#epoch(), run, code: ErrorCode.INVALID, message };
      this.#decideOnRun(slot, 0, RecordType.RUN_REFUSED, taskd.RunRefused.encode(refusal).finish());
    }
  }

  #plan(): void {
    const epoch = this.#epoch();
    for (const job of this.#state.jobs.proposed) {
      if (this.#isFull) return;
      if (job.isPending) continue;
      const proposal = job.proposals[0]!;
      const plan = this.#planner.judge(job, proposal, this.#wallMs);
      const about = { epoch, appId: job.appId, name: job.name, version: proposal.offset };
      job.isPending = true;
      if (plan.accepted) {
        const { nextFireMs } = plan;
        const message = nextFireMs === undefined ? about : { ...about, nextFireMs };
        this.#records.push({ type: RecordType.JOB_PLANNED, value: taskd.JobPlanned.encode(message).finish() });
      } else {
        const message = { ...about, code: plan.code, message: plan.message };
        this.#records.push({ type: RecordType.JOB_REFUSED, value: taskd.JobRefused.encode(message).finish() });
      }
    }
  }

  #jobDue(index: number): void {
    this.#state.jobs.at(index).timer = 0;
    this.#dueJobs.add(index);
  }

  /** Overlap "queue one": a run may wait while another is alive; a fire beyond that makes none. */
  #fire(): void {
    const { jobs } = this.#state;
    for (const index of this.#dueJobs) {
      if (this.#isFull) return;
      const job = jobs.at(index);
      // Planned anew or deleted meanwhile; then its timer is, too.
      if (job?.nextFireMs === undefined || job.timer !== 0) {
        this.#dueJobs.delete(index);
        continue;
      }
      if (job.isPending || job.proposals.length > 0) continue;
      this.#dueJobs.delete(index);
      job.isPending = true;
      const { fireMs, nextFireMs, merged } = this.#planner.due(job, this.#wallMs);
      const about = { epoch: this.#epoch(), job: job.generation, version: job.version, fireMs, merged };
      const message = nextFireMs === undefined ? about : { ...about, nextFireMs };
      const value = taskd.RunScheduled.encode(message).finish();
      const type = job.live.length < 2 ? RecordType.RUN_SCHEDULED : RecordType.FIRE_SKIPPED;
      this.#records.push({ type, value });
    }
  }

  // Leases.

  /** Apps take turns; in each the highest priority goes first, and one pick in 16 takes the oldest run. */
  #lease(): void {
    const apps: App[] = [];
    for (const app of this.#state.lanes.apps.values()) {
      if (app.busy.length === 0) continue;
      // However many lanes have no worker, they cost one look each.
      app.open = app.busy.filter((lane) => lane.sessions !== undefined && lane.sessions.size > 0);
      if (app.open.length > 0) apps.push(app);
    }
    while (apps.length > 0 && !this.#isFull) {
      const at = this.#nextApp++ % apps.length;
      if (!this.#leaseOne(apps[at]!)) apps.splice(at, 1);
    }
  }

  #leaseOne(app: App): boolean {
    const { runs } = this.#state;
    const wantsOldest = (++app.picks & 15) === 0;
    for (;;) {
      const lane = wantsOldest ? oldestLane(app, this.#state) : topLane(app);
      if (lane === undefined) return false;
      const session = this.#owner.sessions.pick(lane, this.#monoMs);
      if (session === undefined) {
        app.open.splice(app.open.indexOf(lane), 1);
        continue;
      }
      const slot = wantsOldest ? lane.oldest(runs) : lane.first();
      lane.remove(runs, slot);
      if (lane.size === 0) app.open.splice(app.open.indexOf(lane), 1);
      // With a decision on its way it comes back to its lane when that is read.
      const isPending = runs.hasMark(slot, Mark.PENDING);
      runs.setMark(slot, Mark.OFF_LANE);
      if (!isPending) this.#leaseTo(slot, lane, session);
      return true;
    }
  }

  #leaseTo(slot: number, lane: Lane, session: Session): void {
    const { runs, workers, specs } = this.#state;
    this.#owner.sessions.take(session, lane);
    const { bytes, incarnation } = workers.at(session.worker);
    const value = this.#writer.leased(
      this.#epoch(),
      runs.id.get(slot),
      runs.attempts.get(slot) + 1,
      runs.lost.get(slot),
      bytes,
      incarnation,
      specs.at(runs.spec.get(slot)).timeoutMs,
    );
    this.#decideOnRun(slot, 0, RecordType.RUN_LEASED, value, session);
  }
}

/** The lane with the highest priority; among equals each comes first in turn. */
function topLane(app: App): Lane | undefined {
  const { open } = app;
  let best: Lane | undefined;
  for (let i = 0; i < open.length; i++) {
    const lane = open[(app.picks + i) % open.length]!;
    if (best === undefined || lane.topPriority > best.topPriority) best = lane;
  }
  return best;
}

function oldestLane(app: App, state: ShardState): Lane | undefined {
  const { runs } = state;
  let best: Lane | undefined;
  for (const lane of app.open) {
    if (best === undefined || runs.id.get(lane.oldest(runs)) < runs.id.get(best.oldest(runs))) best = lane;
  }
  return best;
}

const earlier = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b);
