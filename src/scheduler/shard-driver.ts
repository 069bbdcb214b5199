/**
 * Drives one shard: reads its log into the core, takes the shard, and performs what the core decides.
 *
 * States: `READING ── caught up ──► ACQUIRING ── read back ──► ACTIVE ── another Acquire ──► DEPOSED`; a failed append
 * leads from ACTIVE back to READING, a Release by the other owner from DEPOSED to ACQUIRING; `stop` leads to STOPPED, and
 * a log that can't be read further to LOST.
 *
 * Order of effects in a turn, after all that came in it was given to the core (log batches, looks at the log's end,
 * what workers said): 1. the core's effects, gathered by session; 2. decisions, appended with the reports of the turn
 * in one append; 3. the effects of deciding; 4. one push a session. Nothing that promises a lease leaves before its
 * record was read back, since dispatches are effects of replay.
 */
import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import { BatchClass } from '../batch/header.js';
import type { NewRecord } from '../batch/record.js';
import type { LogReader, LogSubscription, TaskLog } from '../coordinator/task-log.js';
import type { Peer, ServerCall, ServerStream } from '../rpc/service.js';
import type { Timer } from '../runtime/clock.js';
import { type Address, formatAddress } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { planCron } from '../timer/cron-plan.js';
import { taskd } from '../wire/generated/messages.js';
import { attachProblem } from './attach-rules.js';
import type { DispatchEffect, Effect } from './core/effects.js';
import { argumentsOf, ShardCore } from './core/shard-core.js';
import { Milestones } from './milestones.js';
import { RecordReader } from './record-reader.js';
import { beingTakenOver, needsMending, notOwnedHere, outOfService } from './shard-refusals.js';
import { Waiters } from './waiters.js';
import { WorkerSession } from './worker-session.js';

/** Appends under way; with more, decisions wait and so gather. */
const appendsMax = 4;
const reacquireMs = 500;
const sessionsMax = 10_000;
/** Between two words on what goes wrong without end. */
const tellEach = 1_000;

export type ShardState = 'reading' | 'acquiring' | 'active' | 'deposed' | 'lost' | 'stopped';

export interface ShardOwner {
  readonly nodeId: string;
  readonly address: () => Address;
  /** Gives numbers that grow, for sessions. */
  readonly nextSessionId: () => number;
}

export class ShardDriver {
  readonly shard: number;
  readonly core: ShardCore;
  readonly waiters: Waiters = new Waiters();
  /** Records that the core keeps no more. */
  readonly records: RecordReader;
  readonly #runtime: Runtime;
  readonly #log: TaskLog;
  readonly #owner: ShardOwner;
  readonly #sessions: Map<number, WorkerSession> = new Map<number, WorkerSession>();
  readonly #byPeer: Map<number, WorkerSession> = new Map<number, WorkerSession>();
  #subscription: LogSubscription | undefined;
  #state: ShardState = 'reading';
  readonly #touched: Set<WorkerSession> = new Set<WorkerSession>();
  #reports: NewRecord[] = [];
  /** Why the shard can't be taken before somebody has mended its log; until it is taken again. */
  #damage: TaskdError | undefined;
  #appendsUnderWay = 0;
  #isTurnPlanned = false;
  #wake: Timer | undefined;
  #wakeAtMs: number = Number.POSITIVE_INFINITY;
  #retry: Timer | undefined;
  /** Read by metrics. */
  dispatchesTotal = 0;
  readonly #dropped: Milestones = new Milestones(tellEach);
  readonly #forbidden: Milestones = new Milestones(tellEach);
  decisionsTotal = 0;
  reportsTotal = 0;

  constructor(runtime: Runtime, shard: number, log: TaskLog, owner: ShardOwner) {
    this.#runtime = runtime;
    this.shard = shard;
    this.#log = log;
    this.records = new RecordReader(log, runtime.clock);
    this.#owner = owner;
    this.core = new ShardCore(runtime.clock.wallMs(), { planner: planCron });
  }

  get state(): ShardState {
    return this.#state;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  start(): void {
    this.#subscription = this.#log.read(0, this.#reader());
  }

  /** Gives the shard up and ends its sessions; resolves once the release is on disk, or could not be written. */
  async stop(): Promise<void> {
    if (this.#state === 'stopped') return;
    const release = this.core.release();
    const reports = this.#reports;
    this.#reports = [];
    this.#setState('stopped');
    this.#wake?.cancel();
    this.#retry?.cancel();
    this.#endSessions(this.notOwner());
    this.waiters.failAll(this.notOwner());
    const last = release === undefined ? reports : [...reports, release];
    try {
      if (last.length > 0) await this.#log.append(last, BatchClass.OWNER);
    } catch (error) {
      this.#runtime.logger.warn({ shard: this.shard, error: String(error) }, 'the release of a shard was not written');
    }
    this.#subscription?.close();
    this.records.close();
  }

  /** Why this process does not answer for the shard now, with the owner's address as hint when it is known. */
  notOwner(): TaskdError {
    const isElsewhere = this.#state === 'deposed' || this.#state === 'stopped';
    if (this.#damage !== undefined && !isElsewhere) return outOfService(this.shard, this.#damage);
    if (this.#state === 'reading' || this.#state === 'acquiring') return beingTakenOver(this.shard);
    const owner = this.core.owner;
    return notOwnedHere(this.shard, owner?.owner === this.#owner.nodeId ? undefined : owner);
  }

  // ---- what workers say

  attach(request: taskd.AttachRequest, stream: ServerStream<taskd.SessionPush.$Properties>): void {
    if (this.#sessions.size >= sessionsMax) {
      stream.end(
        new TaskdError(ErrorCode.QUOTA, `shard ${this.shard} has ${sessionsMax} workers already: use more apps`, {
          retry: Retry.AFTER,
          retryAfterMs: 10_000,
        }),
      );
      return;
    }
    const problem = attachProblem(request);
    if (problem !== undefined) {
      stream.end(new TaskdError(ErrorCode.INVALID, problem));
      return;
    }
    const session = new WorkerSession(this.#owner.nextSessionId(), stream);
    const isAccepted = this.core.attach({
      sessionId: session.id,
      appId: request.appId,
      workerId: request.workerId,
      incarnation: request.incarnation,
      processors: [...request.processors],
      capacity: request.capacity,
      weight: request.weight,
    });
    if (!isAccepted) {
      stream.end(this.notOwner());
      return;
    }
    const before = this.#byPeer.get(stream.peer.id);
    if (before !== undefined) this.#endSession(before, new TaskdError(ErrorCode.SUPERSEDED, 'attached anew'));
    this.#sessions.set(session.id, session);
    this.#byPeer.set(stream.peer.id, session);
    stream.onClose(() => {
      if (!this.#forget(session)) return;
      session.gone();
      this.core.detach(session.id);
      this.#planTurn();
    });
    this.#planTurn();
  }

  ping(request: taskd.SessionPingRequest, call: ServerCall<taskd.SessionPingResponse.$Properties>): void {
    const session = this.#byPeer.get(call.peer.id);
    if (session === undefined) call.fail(this.#noSession());
    else if (session.awaitPong(request.sentMonotonicMs, call)) {
      this.core.ping(session.id, request.sentMonotonicMs, this.#runtime.clock.monotonicMs());
      this.#subscription?.poke();
    }
  }

  claim(request: taskd.ClaimRequest, call: ServerCall<taskd.ClaimResponse.$Properties>): void {
    const session = this.#byPeer.get(call.peer.id);
    if (session === undefined) {
      call.fail(this.#noSession());
      return;
    }
    session.awaitClaim(call);
    const claim = {
      incarnation: request.incarnation,
      running: [...request.running],
      unreported: [...request.unreported],
      acknowledgedOffset: request.acknowledgedOffset ?? undefined,
    };
    this.core.claim(session.id, claim, this.#runtime.clock.monotonicMs());
    this.#subscription?.poke();
    this.#planTurn();
  }

  report(request: taskd.Reports, peer: Peer): void {
    const session = this.#byPeer.get(peer.id);
    if (session === undefined) return;
    for (const record of this.core.report(session.id, request.reports as taskd.RunReport[])) this.#reports.push(record);
    this.reportsTotal += request.reports.length;
    this.#planTurn();
  }

  returned(request: taskd.ReturnedLeases, peer: Peer): void {
    const session = this.#byPeer.get(peer.id);
    if (session === undefined) return;
    this.core.returned(session.id, request.runs, request.tokens);
    this.#planTurn();
  }

  draining(peer: Peer): void {
    const session = this.#byPeer.get(peer.id);
    if (session === undefined) return;
    this.core.draining(session.id);
    this.#planTurn();
  }

  /** The address that a session's worker has. */
  peerOf(sessionId: number): string {
    const session = this.#sessions.get(sessionId);
    return session === undefined ? '' : formatAddress(session.peer.address);
  }

  /** Effects that a question made, such as of `watchRun`, come at the end of this turn, after a fresh look is begun. */
  planEffects(): void {
    this.#subscription?.poke();
    this.#planTurn();
  }

  #noSession(): TaskdError {
    if (this.#state !== 'active') return this.notOwner();
    return new TaskdError(ErrorCode.NOT_FOUND, 'this connection has no session on that shard: attach first');
  }

  // ---- the log

  #reader(): LogReader {
    return {
      batch: (batch) => {
        this.core.replay(batch, this.#runtime.clock.monotonicMs());
        this.#planTurn();
      },
      caughtUp: (nextOffset, beganMs) => {
        this.core.caughtUp(nextOffset, beganMs, this.#runtime.clock.monotonicMs());
        this.waiters.looked(beganMs);
        const isFree = this.#state === 'deposed' && this.core.owner === undefined;
        if (isFree || (this.#state === 'reading' && this.#retry === undefined)) this.#acquire();
        this.#planTurn();
      },
      trouble: (error) => {
        this.#damage = needsMending(error) ? error : undefined;
        if (this.#damage !== undefined) this.waiters.failAll(this.notOwner());
      },
      lost: (_logStart, error) => {
        this.#damage = error;
        // Nothing that it decided would ever be read back.
        this.core.abandon();
        this.#giveUp('lost');
      },
    };
  }

  #acquire(): void {
    this.#setState('acquiring');
    const { host, port } = this.#owner.address();
    const record = this.core.acquire(this.#owner.nodeId, host, port, this.#runtime.random.bytes(16));
    this.#log.append([record], BatchClass.OWNER).then(
      () => this.#subscription?.poke(),
      (error: unknown) => {
        if (this.#state === 'acquiring') this.#appendFailed(error);
      },
    );
  }

  /** The state in memory may be ahead of nothing, but what was decided on it is not known to be in the log. */
  #appendFailed(error: unknown): void {
    if (this.#state !== 'active' && this.#state !== 'acquiring') return;
    const level = this.#damage === undefined ? 'error' : 'debug';
    this.#runtime.logger[level]({ shard: this.shard, error: String(error) }, 'an append failed: taking the shard anew');
    if (needsMending(error)) this.#damage = error;
    this.core.abandon();
    this.#giveUp('reading');
    this.#retry = this.#runtime.clock.timer(reacquireMs, () => {
      this.#retry = undefined;
      this.#subscription?.poke();
    });
  }

  #giveUp(state: ShardState): void {
    this.#setState(state);
    this.#reports = [];
    const reason = this.notOwner();
    this.#endSessions(reason);
    if (state !== 'reading') this.waiters.failAll(reason);
  }

  #setState(state: ShardState): void {
    if (this.#state === 'stopped') return;
    this.#state = state;
  }

  // ---- the turn

  #planTurn(): void {
    if (this.#isTurnPlanned) return;
    this.#isTurnPlanned = true;
    this.#runtime.clock.defer(this.#turn);
  }

  readonly #turn = (): void => {
    this.#isTurnPlanned = false;
    if (this.#state === 'stopped') return;
    this.core.drain(this.#perform);
    if (this.#appendsUnderWay < appendsMax) {
      const records = this.#reports;
      this.#reports = [];
      const { clock } = this.#runtime;
      for (const record of this.core.decide(clock.wallMs(), clock.monotonicMs())) records.push(record);
      if (records.length > 0) this.#append(records);
      this.core.drain(this.#perform);
    }
    for (const session of this.#touched) session.flush();
    this.#touched.clear();
    this.waiters.applied(this.core.nextOffset);
    if (this.#state === 'active') this.#tell();
    this.#arm();
  };

  #tell(): void {
    const { logger } = this.#runtime;
    const dropped = this.core.deadLettersDroppedTotal;
    if (this.#dropped.reached(dropped)) {
      const text = 'the oldest dead letters made room for newer ones: replay them before there are so many';
      logger.warn({ shard: this.shard, dropped }, text);
    }
    const { forbidden } = this.core.voided;
    if (this.#forbidden.reached(forbidden)) {
      const text = 'records in the log of a shard have no effect: whoever wrote them may not write their types';
      logger.warn({ shard: this.shard, forbidden }, text);
    }
  }

  #append(records: readonly NewRecord[]): void {
    this.decisionsTotal += records.length;
    this.#appendsUnderWay++;
    this.#log.append(records, BatchClass.OWNER).then(
      () => {
        this.#appendsUnderWay--;
        this.#planTurn();
      },
      (error: unknown) => {
        this.#appendsUnderWay--;
        this.#appendFailed(error);
      },
    );
  }

  /** Sets the clock for the next decision that comes of time alone. A wake that comes too early does no harm. */
  #arm(): void {
    if (this.#appendsUnderWay >= appendsMax) return;
    const { clock } = this.#runtime;
    const now = clock.monotonicMs();
    const delayMs = this.core.nextWakeMs(clock.wallMs(), now);
    if (delayMs === undefined || (this.#wake !== undefined && this.#wakeAtMs <= now + delayMs)) return;
    this.#wake?.cancel();
    this.#wakeAtMs = now + delayMs;
    this.#wake = clock.timer(delayMs, () => {
      this.#wake = undefined;
      this.#planTurn();
    });
  }

  readonly #perform = (effect: Effect): void => {
    switch (effect.kind) {
      case 'dispatch':
        this.#dispatch(effect);
        break;
      case 'cancel':
        this.#touch(effect.sessionId)?.cancel(effect.token);
        break;
      case 'acknowledged':
        this.#touch(effect.sessionId)?.acknowledge(effect.token, effect.offset);
        break;
      case 'pong':
        this.#sessions.get(effect.sessionId)?.pong(effect.sentMs, effect.epoch);
        break;
      case 'claimed':
        this.#sessions.get(effect.sessionId)?.claimed(effect.epoch, effect.kept);
        break;
      case 'notOwner': {
        const session = this.#sessions.get(effect.sessionId);
        if (session !== undefined) this.#endSession(session, this.notOwner());
        break;
      }
      case 'active':
        this.#setState('active');
        this.#damage = undefined;
        this.#runtime.logger.debug({ shard: this.shard, epoch: effect.epoch }, 'shard acquired');
        break;
      case 'notAcquired':
        // An Acquire of an earlier life of this process may land late: then the next generation is ours.
        if (this.core.owner?.owner === this.#owner.nodeId) this.#acquire();
        else this.#deposed();
        break;
      case 'deposed':
        this.#deposed();
        break;
      case 'ended':
        this.waiters.ended(effect.run);
        break;
      case 'decided':
        this.waiters.decided(effect.offset);
        break;
    }
  };

  #deposed(): void {
    const owner = this.core.owner;
    this.#runtime.logger.warn({ shard: this.shard, owner: owner?.owner }, 'another scheduler owns the shard');
    this.#giveUp('deposed');
  }

  #dispatch(effect: DispatchEffect): void {
    const session = this.#touch(effect.sessionId);
    if (session === undefined) return;
    this.dispatchesTotal++;
    if (effect.arguments === undefined) this.#dispatchLater(session, effect);
    else session.dispatch(effect, effect.arguments);
  }

  /** Reads the arguments again first. Meanwhile the session may end, and so may the lease. */
  #dispatchLater(session: WorkerSession, effect: DispatchEffect): void {
    if (this.#sessions.get(session.id) !== session) return;
    this.records.at(effect.argumentsAt).then(
      (record) => {
        const lease = this.core.leaseOf(effect.run, effect.token);
        if (this.#sessions.get(session.id) !== session || lease === 'over') return;
        if (record === undefined) {
          this.#argumentsLost(session, effect, 'they are not in the log any more');
          return;
        }
        session.dispatch(effect, argumentsOf(record));
        // The cancel went ahead, and the worker ignored it: it had no such lease.
        if (lease === 'stopping') session.cancel(effect.token);
        session.flush();
      },
      (error: unknown) => {
        if (isTaskdError(error) && error.retry === Retry.AFTER) {
          this.#runtime.clock.timer(error.retryAfterMs, () => this.#dispatchLater(session, effect));
        } else if (this.#sessions.get(session.id) === session) this.#argumentsLost(session, effect, String(error));
      },
    );
  }

  /** A run whose arguments can't be read would stay leased for ever: it fails for good instead, with the reason. */
  #argumentsLost(session: WorkerSession, effect: DispatchEffect, why: string): void {
    const report = {
      run: effect.run,
      token: effect.token,
      outcome: taskd.Outcome.OUTCOME_FAILED,
      error: `the arguments of the run could not be read: ${why}`,
      nonRetryable: true,
    };
    this.#runtime.logger.error({ shard: this.shard, run: effect.run }, report.error);
    for (const record of this.core.report(session.id, [report])) this.#reports.push(record);
    this.#planTurn();
  }

  // ---- sessions

  /** The session, to which something will be pushed in this turn. */
  #touch(sessionId: number): WorkerSession | undefined {
    const session = this.#sessions.get(sessionId);
    if (session !== undefined) this.#touched.add(session);
    return session;
  }

  #endSessions(reason: TaskdError): void {
    for (const session of [...this.#sessions.values()]) this.#endSession(session, reason);
  }

  #endSession(session: WorkerSession, reason: TaskdError): void {
    if (!this.#forget(session)) return;
    session.end(reason);
    this.core.detach(session.id);
  }

  #forget(session: WorkerSession): boolean {
    if (!this.#sessions.delete(session.id)) return false;
    if (this.#byPeer.get(session.peer.id) === session) this.#byPeer.delete(session.peer.id);
    return true;
  }
}
