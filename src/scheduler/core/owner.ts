/**
 * What the shard's owner knows beyond the log: sessions, credit, who holds which lease, and the pending overlay. All of
 * it is volatile, and thrown away with the epoch.
 *
 * The rules that keep two owners from one run (each has its scenario in test/scheduler/core/simulation.test.ts):
 * - a ping is answered only after a look at the log's end that began after it came and showed no newer Acquire;
 * - a lease expires 10 s after the last answer to any session that held it, after our Acquire was read back, or after a
 *   pause of our own, whichever is latest; a session of which a lease expired is never answered again;
 * - a claim is handled once the worker's last acknowledged report is replayed; it brings back leases of its own
 *   incarnation only, and a lease that it doesn't list is sent again as the same lease;
 * - a dropped dispatch is honoured only from the worker's current session and with nothing pending on the run;
 * - a session belongs to one epoch.
 */
import { TimingWheel } from '../../timer/timing-wheel.js';
import { taskd } from '../../wire/generated/messages.js';
import { DecisionsInFlight } from './decisions.js';
import type { EffectQueue } from './effects.js';
import { noBytes, type ReportFields } from './hot-records.js';
import { Mark } from './run-table.js';
import type { Claim, Report, Session } from './session.js';
import { SessionTable } from './session-table.js';
import type { Observer, ShardState } from './shard-state.js';

const { RunState } = taskd;

/** A lease lives so long after the last answer to a session that held it. */
export const leaseMs = 10_000;
/**
 * The log is looked at every second. An owner that noticed nothing for so long stood still itself, or was cut off from the
 * log: no worker could have been answered, so none of them counts as silent for it.
 */
export const pauseMs = 3_000;
/** Beyond an attempt's timeout, which the worker keeps itself, until the owner steps in. */
export const timeoutGraceMs = 15_000;
/** From the request to stop until the worker counts as hanging: then its session is answered no more. */
export const killGraceMs = 30_000;
/** Pings of one session that wait for a look at the log. */
const pingsMax = 16;

interface WaitingPing {
  readonly session: Session;
  readonly sentMs: number;
  readonly arrivedMs: number;
}

interface WaitingClaim {
  readonly session: Session;
  readonly claim: Claim;
  readonly arrivedMs: number;
}

export class Owner implements Observer {
  readonly #state: ShardState;
  readonly #effects: EffectQueue;
  readonly sessions: SessionTable;
  readonly inFlight: DecisionsInFlight = new DecisionsInFlight();
  /** Expiry of leases and timeouts of attempts, monotonic clock. */
  wheel: TimingWheel = new TimingWheel(0);
  isActive = false;
  /** When our Acquire was read back, or when we noticed that we had stood still; monotonic. No lease ends 10 s before. */
  presentMs = 0;
  /** The latest monotonic time that an input told; only ever used to put something off. */
  monoMs = 0;
  /** Leases to give back, by run: dropped by their worker, or never sent. */
  readonly returns: Map<number, number> = new Map<number, number>();
  /** Tokens that a WorkerAlive listed, and when that was read. */
  readonly alive: Map<number, number> = new Map<number, number>();
  #pings: WaitingPing[] = [];
  #claims: WaitingClaim[] = [];
  readonly #watchedProposals: Set<number> = new Set<number>();
  /** The session that held the lease which the record under replay ended. */
  lastHolder: Session | undefined;

  constructor(state: ShardState, effects: EffectQueue) {
    this.#state = state;
    this.#effects = effects;
    this.sessions = new SessionTable(state, (session) => {
      if (session.timer !== 0) this.wheel.cancel(session.timer);
      session.timer = 0;
    });
  }

  /** An input came, at `monoMs`. */
  notice(monoMs: number): void {
    if (monoMs - this.monoMs > pauseMs) this.presentMs = monoMs;
    this.monoMs = monoMs;
  }

  /** Our Acquire was read back and holds. */
  activate(monoMs: number): void {
    this.isActive = true;
    this.presentMs = monoMs;
    this.wheel = new TimingWheel(monoMs);
    this.wheel.add(monoMs + leaseMs, sessionPayload(0));
  }

  /** Forgets everything that isn't in the log; sessions are told. */
  drop(): void {
    const { runs, jobs, wheel, workers } = this.#state;
    this.isActive = false;
    this.#pings = [];
    this.#claims = [];
    this.returns.clear();
    this.alive.clear();
    this.sessions.clear((session) => this.#effects.add({ kind: 'notOwner', sessionId: session.info.sessionId }));
    for (const { unbound } of workers.values()) {
      for (let slot = unbound.head; slot !== 0; slot = runs.next.get(slot)) runs.clearMark(slot, Mark.REPORTED);
    }
    this.inFlight.clear((run) => this.#release(run));
    for (const job of jobs.all()) {
      job.isPending = false;
      if (job.nextFireMs !== undefined && job.timer === 0) job.timer = wheel.add(job.nextFireMs, job.index * 2 + 1);
    }
  }

  // Observer.

  leaseEnds(slot: number): void {
    const { runs } = this.#state;
    const timer = runs.timer.get(slot);
    if (timer !== 0) this.wheel.cancel(timer);
    runs.timer.set(slot, 0);
    if (this.alive.size > 0) this.alive.delete(runs.lease.get(slot));
    const holder = runs.holder.get(slot);
    if (holder !== 0) {
      const session = this.sessions.at(holder)!;
      this.lastHolder = session;
      session.leases.remove(runs, slot);
      if (!runs.hasMark(slot, Mark.REPORTED)) this.sessions.giveBack(session, this.monoMs);
      this.sessions.freeIfGone(session);
    }
    runs.clearMark(slot, Mark.REPORTED | Mark.HUNG);
  }

  cancelling(slot: number): void {
    const { runs } = this.#state;
    const holder = runs.holder.get(slot);
    if (holder === 0) return;
    const session = this.sessions.at(holder)!;
    this.#armStop(slot);
    this.#cancel(session, slot);
  }

  ended(slot: number): void {
    const { runs } = this.#state;
    if (!runs.hasMark(slot, Mark.WATCHED)) return;
    runs.clearMark(slot, Mark.WATCHED);
    this.#effects.add({ kind: 'ended', run: runs.id.get(slot) });
  }

  decided(offset: number): void {
    if (this.#watchedProposals.delete(offset)) this.#effects.add({ kind: 'decided', offset });
  }

  watchProposal(offset: number): void {
    this.#watchedProposals.add(offset);
  }

  // Verdicts on our own decisions.

  /** A decision on `run` was read back: the overlay lets go of it. */
  settle(run: number, isLease: boolean, counted: boolean): void {
    if (!this.inFlight.isNext(run)) return;
    const session = this.inFlight.take();
    this.#release(run);
    if (!isLease || session === undefined) return;
    if (counted) this.#leased(this.#state.runs.find(run), session);
    else this.sessions.giveBack(session, this.monoMs);
  }

  /** No decision on the run is on its way any more. */
  #release(run: number): void {
    const { runs, lanes } = this.#state;
    const slot = runs.find(run);
    if (slot === 0) return;
    const isOffLane = runs.hasMark(slot, Mark.OFF_LANE);
    runs.clearMark(slot, Mark.PENDING | Mark.ENDING | Mark.OFF_LANE);
    if (isOffLane) lanes.at(runs.lane.get(slot)).push(runs, slot);
  }

  /** The lease is on disk: the dispatch may go. */
  #leased(slot: number, picked: Session): void {
    const { runs } = this.#state;
    if (picked.isCurrent) {
      picked.inUse--;
      this.#bind(slot, picked);
      this.#dispatch(slot, picked);
      return;
    }
    const { appId, workerId, incarnation } = picked.info;
    const session = this.sessions.current(appId, workerId);
    if (session?.isCurrent && session.info.incarnation === incarnation) {
      this.#bind(slot, session);
      this.#dispatch(slot, session);
    } else {
      // Nobody was told of it, so it can go back unused.
      this.returns.set(runs.id.get(slot), runs.lease.get(slot));
    }
  }

  // Workers.

  /** Waits for a look at the log that begins later. */
  ping(session: Session, sentMs: number, arrivedMs: number): void {
    if (this.#pings.length > pingsMax * (this.sessions.size + 1)) this.#pings.shift();
    this.#pings.push({ session, sentMs, arrivedMs });
  }

  claim(session: Session, claim: Claim, arrivedMs: number): void {
    this.#claims = this.#claims.filter((each) => each.session !== session);
    this.#claims.push({ session, claim, arrivedMs });
  }

  /** A look at the log that began at `beganMs` showed us still the owner. */
  looked(beganMs: number, nowMs: number): void {
    if (this.#pings.length > 0) {
      const later: WaitingPing[] = [];
      for (const ping of this.#pings) {
        if (ping.arrivedMs > beganMs) later.push(ping);
        else this.#answer(ping, nowMs);
      }
      this.#pings = later;
    }
    if (this.#claims.length === 0) return;
    const later: WaitingClaim[] = [];
    for (const waiting of this.#claims) {
      const { claim, session, arrivedMs } = waiting;
      if (session.isClosed) continue;
      if (arrivedMs > beganMs || (claim.acknowledgedOffset ?? -1) >= this.#state.nextOffset) later.push(waiting);
      else this.#handleClaim(session, claim, nowMs);
    }
    this.#claims = later;
  }

  #answer({ session, sentMs }: WaitingPing, nowMs: number): void {
    if (session.isClosed || session.isSuperseded || session.isDead) return;
    session.answeredMs = nowMs;
    session.basisMs = nowMs;
    const { sessionId } = session.info;
    this.#effects.add({ kind: 'pong', sessionId, sentMs, epoch: this.#state.ownership.epoch });
    this.sessions.offer(session, nowMs);
  }

  #handleClaim(session: Session, claim: Claim, nowMs: number): void {
    if (session.isClosed || session.isSuperseded || session.isDead) return;
    const { runs } = this.#state;
    session.isReady = true;
    const running = new Set(claim.running);
    const unreported = new Set(claim.unreported);
    const kept: number[] = [];
    const again: number[] = [];
    const cancels: number[] = [];
    // A claim of another incarnation than the one that attached is none of ours.
    const leases = claim.incarnation === session.info.incarnation ? this.#leasesOf(session) : [];
    for (const slot of leases) {
      if (runs.hasMark(slot, Mark.ENDING | Mark.HUNG)) continue;
      const token = runs.lease.get(slot);
      const isCancelling = runs.state.get(slot) === RunState.CANCELLING;
      if (running.has(token) || unreported.has(token)) {
        this.#bind(slot, session);
        kept.push(token);
        if (isCancelling && running.has(token)) cancels.push(slot);
      } else if (isCancelling) {
        this.returns.set(runs.id.get(slot), token);
      } else {
        this.#bind(slot, session);
        if (!runs.hasMark(slot, Mark.REPORTED)) again.push(slot);
      }
    }
    const { sessionId } = session.info;
    this.#effects.add({ kind: 'claimed', sessionId, epoch: this.#state.ownership.epoch, kept });
    for (const slot of cancels) this.#cancel(session, slot);
    for (const slot of again) this.#dispatch(slot, session);
    this.sessions.offer(session, nowMs);
  }

  /** The leases of this worker and incarnation in its app, whichever session holds them. */
  #leasesOf(session: Session): number[] {
    const { runs, workers, lanes } = this.#state;
    const found: number[] = [];
    const { unbound } = workers.at(session.worker);
    for (let slot = unbound.head; slot !== 0; slot = runs.next.get(slot)) {
      if (lanes.at(runs.lane.get(slot)).app.id === session.info.appId) found.push(slot);
    }
    for (const other of this.sessions.all()) {
      if (other.worker !== session.worker || other.info.appId !== session.info.appId) continue;
      for (let slot = other.leases.head; slot !== 0; slot = runs.next.get(slot)) found.push(slot);
    }
    return found;
  }

  /**
   * A worker reports an attempt. True when the report has to go to the log: the attempt's credit is back. A report that
   * can't change anything any more is acknowledged at once, since what it says is in the log already or came too late.
   * Of a lease beyond what was replayed nothing is known: another owner may have given it, and this one not know yet.
   */
  takeReport(session: Session, report: Report): boolean {
    const { runs } = this.#state;
    const token = report.token ?? -1;
    const slot = runs.find(report.run ?? 0);
    if (token >= this.#state.nextOffset) return true;
    const isCurrent = slot !== 0 && runs.lease.get(slot) === token;
    if (isCurrent && runs.isLeased(slot)) {
      // One report of an attempt is on its way already.
      if (runs.hasMark(slot, Mark.REPORTED)) return false;
      runs.setMark(slot, Mark.REPORTED);
      const holder = runs.holder.get(slot);
      if (holder !== 0) this.sessions.giveBack(this.sessions.at(holder)!, this.monoMs);
      return true;
    }
    const isSuccess = report.outcome === taskd.Outcome.OUTCOME_SUCCEEDED;
    if (isCurrent && runs.isWaiting(slot) && isSuccess) return true;
    const { sessionId } = session.info;
    this.#effects.add({ kind: 'acknowledged', sessionId, token, offset: this.#state.nextOffset - 1 });
    return false;
  }

  /** A report counted: whoever sent it can forget it. */
  acknowledge({ run, token }: ReportFields, offset: number): void {
    const { runs, lanes, workers } = this.#state;
    let session = this.lastHolder;
    if (session === undefined || !session.isCurrent) {
      const slot = runs.find(run);
      if (slot === 0 || runs.worker.get(slot) === 0) return;
      const { workerId, incarnation } = workers.at(runs.worker.get(slot));
      session = this.sessions.current(lanes.at(runs.lane.get(slot)).app.id, workerId);
      if (session?.info.incarnation !== incarnation) return;
    }
    if (!session.isClosed) {
      this.#effects.add({ kind: 'acknowledged', sessionId: session.info.sessionId, token, offset });
    }
  }

  /** A dispatch that the worker dropped unstarted. */
  returned(session: Session, run: number, token: number): void {
    const { runs } = this.#state;
    const slot = runs.find(run);
    if (slot === 0 || session.isSuperseded || session.isDead || !runs.isLeased(slot)) return;
    if (runs.lease.get(slot) !== token || runs.hasMark(slot, Mark.PENDING | Mark.REPORTED)) return;
    this.returns.set(run, token);
  }

  /** A beat through the log, for the tokens that it lists. */
  workerAlive(value: Uint8Array): void {
    const { runs, workers } = this.#state;
    let message: taskd.WorkerAlive;
    try {
      message = taskd.WorkerAlive.decode(value);
    } catch {
      return;
    }
    const name = new TextEncoder().encode(message.workerId);
    const worker = workers.find(name, 0, name.length, message.incarnation);
    if (worker === 0) return;
    const listed = new Set(message.running);
    const lists = [workers.at(worker).unbound];
    for (const session of this.sessions.all()) if (session.worker === worker) lists.push(session.leases);
    for (const list of lists) {
      for (let slot = list.head; slot !== 0; slot = runs.next.get(slot)) {
        const token = runs.lease.get(slot);
        if (listed.has(token)) this.alive.set(token, this.monoMs);
      }
    }
  }

  // Leases and sessions.

  /** The session holds the lease from now on, and with it everything that was promised to the one before. */
  #bind(slot: number, session: Session): void {
    const { runs, workers } = this.#state;
    // It may start now, so it can't be given back any more.
    if (this.returns.size > 0) this.returns.delete(runs.id.get(slot));
    const holder = runs.holder.get(slot);
    if (holder === session.index) return;
    if (holder === 0) {
      workers.at(runs.worker.get(slot)).unbound.remove(runs, slot);
    } else {
      const before = this.sessions.at(holder)!;
      session.basisMs = Math.max(session.basisMs, before.basisMs);
      before.leases.remove(runs, slot);
      if (!runs.hasMark(slot, Mark.REPORTED)) before.inUse--;
      this.sessions.freeIfGone(before);
    }
    runs.holder.set(slot, session.index);
    session.leases.push(runs, slot);
    if (!runs.hasMark(slot, Mark.REPORTED)) session.inUse++;
    if (session.timer === 0) {
      const dueMs = Math.max(this.presentMs, session.basisMs, this.monoMs) + leaseMs;
      session.timer = this.wheel.add(dueMs, sessionPayload(session.index));
    }
    if (runs.timer.get(slot) !== 0) return;
    if (runs.state.get(slot) === RunState.CANCELLING) this.#armStop(slot);
    else this.#armTimeout(slot);
  }

  #armTimeout(slot: number): void {
    const { runs, specs } = this.#state;
    const { timeoutMs } = specs.at(runs.spec.get(slot));
    if (timeoutMs === 0) return;
    runs.timer.set(slot, this.wheel.add(this.monoMs + timeoutMs + timeoutGraceMs, slot * 2));
  }

  #armStop(slot: number): void {
    const { runs } = this.#state;
    const timer = runs.timer.get(slot);
    if (timer !== 0) this.wheel.cancel(timer);
    runs.timer.set(slot, this.wheel.add(this.monoMs + killGraceMs, slot * 2));
  }

  #cancel(session: Session, slot: number): void {
    if (!session.isCurrent) return;
    const token = this.#state.runs.lease.get(slot);
    this.#effects.add({ kind: 'cancel', sessionId: session.info.sessionId, token });
  }

  #dispatch(slot: number, session: Session): void {
    const { runs, lanes, specs, jobs, ownership } = this.#state;
    const lane = lanes.at(runs.lane.get(slot));
    const jobIndex = runs.job.get(slot);
    this.#effects.add({
      kind: 'dispatch',
      sessionId: session.info.sessionId,
      run: runs.id.get(slot),
      token: runs.lease.get(slot),
      epoch: ownership.epoch,
      attempt: runs.attempts.get(slot) + 1,
      processor: lane.processor,
      job: jobIndex === 0 ? '' : jobs.at(jobIndex).name,
      dueMs: runs.due.get(slot),
      timeoutMs: specs.at(runs.spec.get(slot)).timeoutMs,
      arguments: this.#argumentsOf(slot),
      argumentsAt: runs.argumentsAt(slot),
    });
  }

  #argumentsOf(slot: number): Uint8Array | undefined {
    const { runs, jobs } = this.#state;
    const place = runs.arguments.get(slot);
    if (place === 0) return noBytes;
    if (place > 0) return this.#state.arguments.get(place);
    const jobIndex = runs.job.get(slot);
    if (jobIndex === 0) return undefined;
    const job = jobs.at(jobIndex);
    return job.version === -place - 1 ? job.put?.arguments : undefined;
  }
}

/** The monotonic wheel holds leased runs (slot * 2) and sessions; session 0 stands for leases that no session holds. */
export const sessionPayload = (index: number): number => index * 2 + 1;
