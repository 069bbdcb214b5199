import { BatchClass } from '../../../src/batch/header.js';
import type { DispatchEffect } from '../../../src/scheduler/core/effects.js';
import type { Claim, SessionInfo } from '../../../src/scheduler/core/session.js';
import type { taskd } from '../../../src/wire/generated/messages.js';
import { HeldLease, LeasePhase, SessionCore, sessionValidMs } from '../../../src/worker/session-core.js';
import type { SimProcess } from './event-queue.js';
import { appId, encode, Outcome } from './harness.js';
import { type LogWorld, Producer } from './simulated-producer.js';

const pingMs = 1_500;
const tickMs = 500;
const slots = 2;
const capacity = 3;

/** A scheduler as a worker's messages reach it. */
export interface SchedulerEnd extends SimProcess {
  onAttach(connection: SimConnection): boolean;
  onPing(sessionId: number, sentMs: number): void;
  onClaim(connection: SimConnection, claim: Claim): void;
  onReports(sessionId: number, reports: taskd.IRunReport[]): void;
  onReturned(sessionId: number, run: number, token: number): void;
}

export type Lane = 'data' | 'beat';

/** Moments at which a fault is likelier to bring something to light than at any other. */
export type WorkerMoment = 'connecting' | 'returned' | 'acknowledged';

export interface WorkerWorld extends LogWorld {
  nextSession(): number;
  /** The scheduler that a worker looks for. */
  owner(): SchedulerEnd;
  send(connection: SimConnection, to: 'worker' | 'scheduler', lane: Lane, deliver: () => void): void;
  /** A processor really starts. */
  started(run: number, token: number): void;
  provokeWorker(worker: SimWorker, moment: WorkerMoment): void;
}

export interface SimConnection {
  readonly worker: SimWorker;
  readonly scheduler: SchedulerEnd;
  readonly workerIncarnation: number;
  readonly schedulerIncarnation: number;
  readonly info: SessionInfo;
  /** As the worker counts it. */
  validUntilMs: number;
  isCut: boolean;
  /** When the last message of each direction and class arrives. */
  readonly lastMs: Map<string, number>;
}

class SimLease extends HeldLease {
  connection: SimConnection;
  /** It stops when its session isn't valid any more. */
  readonly isExclusive: boolean;
  report: taskd.IRunReport | undefined;

  constructor(run: number, token: number, connection: SimConnection, isExclusive: boolean) {
    super(run, token);
    this.connection = connection;
    this.isExclusive = isExclusive;
  }
}

/** A worker process: the real session core with a driver as simple as can be. */
export class SimWorker implements SimProcess {
  readonly id: string;
  readonly #world: WorkerWorld;
  incarnation = 1;
  isUp = true;
  pausedUntilMs = 0;
  cutUntilMs = 0;
  connection: SimConnection | undefined;
  #core!: SessionCore<SimLease>;
  #producer!: Producer;
  #pingedMs = 0;

  constructor(world: WorkerWorld, id: string) {
    this.#world = world;
    this.id = id;
    this.boot();
  }

  boot(): void {
    const { events, random } = this.#world;
    this.#producer = new Producer(this.#world, this);
    this.#core = new SessionCore(slots, events.nowMs);
    this.connection = undefined;
    events.at(1 + random.below(300), () => this.#tick(), this);
  }

  /** Does an attempt of `run`, other than lease `besides`, go on here that would stop with its session? */
  runsExclusively(run: number, besides: number): boolean {
    for (const lease of this.#core.held()) {
      if (lease.run !== run || lease.token === besides || !lease.isExclusive || lease.phase !== LeasePhase.RUNNING)
        continue;
      if (this.#nowMs <= lease.connection.validUntilMs) return true;
    }
    return false;
  }

  onNotOwner(connection: SimConnection): void {
    if (connection !== this.connection) return;
    this.#core.closed();
    connection.isCut = true;
    this.#world.events.at(300, () => this.connection === connection && this.#connect(), this);
  }

  onPong(connection: SimConnection, sentMs: number): void {
    this.#expire();
    if (connection !== this.connection || connection.isCut) return;
    this.#core.pingAnswered(sentMs, this.#nowMs);
    connection.validUntilMs = Math.max(connection.validUntilMs, sentMs + sessionValidMs);
    this.#world.events.at(connection.validUntilMs + 1 - this.#nowMs, () => this.#expire(), this);
    this.#pump();
  }

  onClaimed(connection: SimConnection, epoch: number, kept: readonly number[]): void {
    this.#expire();
    if (connection !== this.connection) return;
    for (const lease of this.#core.claimed(epoch, kept)) this.#finish(lease, Outcome.OUTCOME_ABANDONED);
    for (const token of kept) {
      const lease = this.#core.lease(token);
      if (lease !== undefined) lease.connection = connection;
    }
    this.#pump();
  }

  onCancel(connection: SimConnection, token: number): void {
    this.#expire();
    if (connection !== this.connection) return;
    const lease = this.#core.lease(token);
    if (lease !== undefined) this.#finish(lease, Outcome.OUTCOME_CANCELLED);
    this.#pump();
  }

  onAcknowledged(connection: SimConnection, token: number, offset: number): void {
    if (connection === this.connection) this.#core.acknowledged([token], offset);
  }

  onDispatch(connection: SimConnection, { run, token, epoch, arguments: bytes }: DispatchEffect): void {
    this.#expire();
    if (connection !== this.connection) return;
    const lease = new SimLease(run, token, connection, bytes?.[0] === 1);
    if (this.#core.offer(lease, epoch, this.#nowMs) === 'return') {
      const { scheduler, info } = connection;
      this.#world.provokeWorker(this, 'returned');
      this.#world.send(connection, 'scheduler', 'data', () => scheduler.onReturned(info.sessionId, run, token));
    }
    this.#pump();
  }

  /** The attempt fails now, and the worker appends that itself without waiting. */
  failNow(token: number): void {
    const lease = this.#core.lease(token);
    if (lease?.phase !== LeasePhase.RUNNING) return;
    this.#finish(lease, Outcome.OUTCOME_FAILED);
    this.#producer.append(encode.report(lease.report!), BatchClass.WORKER, (offset) => {
      this.#core.acknowledged([token], offset);
    });
  }

  /** A new connection at once, as after a reset. */
  reconnect(): void {
    if (this.connection !== undefined) this.connection.isCut = true;
    this.#connect();
  }

  get #nowMs(): number {
    return this.#world.events.nowMs;
  }

  /** What is exclusive stops with the session that holds it. */
  #expire(): void {
    for (const lease of [...this.#core.held()]) {
      if (!lease.isExclusive || lease.phase !== LeasePhase.RUNNING) continue;
      if (this.#nowMs > lease.connection.validUntilMs) this.#finish(lease, Outcome.OUTCOME_ABANDONED);
    }
  }

  #pump(): void {
    const now = this.#nowMs;
    for (let lease = this.#core.next(now); lease !== undefined; lease = this.#core.next(now)) this.#start(lease);
    const { connection } = this;
    const reports = this.#core.takeReports(100).map(({ report }) => report!);
    if (connection === undefined || reports.length === 0) return;
    const { scheduler, info } = connection;
    this.#world.send(connection, 'scheduler', 'data', () => scheduler.onReports(info.sessionId, reports));
  }

  #start(lease: SimLease): void {
    const { random, events } = this.#world;
    this.#world.started(lease.run, lease.token);
    events.at(lease.connection.validUntilMs + 1 - this.#nowMs, () => this.#expire(), this);
    const outcome = random.unit() < 0.7 ? Outcome.OUTCOME_SUCCEEDED : Outcome.OUTCOME_FAILED;
    const ranMs = random.unit() < 0.15 ? 5_000 + random.below(20_000) : 20 + random.below(2_500);
    events.at(
      ranMs,
      () => {
        this.#expire();
        this.#finish(lease, outcome);
        this.#pump();
      },
      this,
    );
  }

  #connect(): void {
    const scheduler = this.#world.owner();
    this.connection = undefined;
    this.#core.closed();
    if (!scheduler.isUp) return;
    const info = {
      sessionId: this.#world.nextSession(),
      appId,
      workerId: this.id,
      incarnation: this.incarnation,
      processors: ['p'],
      capacity,
      weight: 100,
    };
    const connection: SimConnection = {
      worker: this,
      scheduler,
      workerIncarnation: this.incarnation,
      schedulerIncarnation: scheduler.incarnation,
      info,
      validUntilMs: -1,
      isCut: false,
      lastMs: new Map(),
    };
    this.connection = connection;
    this.#world.provokeWorker(this, 'connecting');
    const claim = { incarnation: this.incarnation, ...this.#core.opened(this.#nowMs) };
    this.#world.send(connection, 'scheduler', 'data', () => scheduler.onClaim(connection, claim));
    this.#ping(connection);
    this.#pump();
  }

  #ping(connection: SimConnection): void {
    const sentMs = this.#nowMs;
    this.#pingedMs = sentMs;
    const { scheduler, info } = connection;
    this.#world.send(connection, 'scheduler', 'beat', () => {
      if (scheduler.onAttach(connection)) scheduler.onPing(info.sessionId, sentMs);
    });
  }

  #tick(): void {
    this.#expire();
    const { connection } = this;
    const now = this.#nowMs;
    if (connection === undefined || connection.isCut || this.#core.isSilent(now)) this.#connect();
    else if (now - this.#pingedMs >= pingMs) this.#ping(connection);
    this.#pump();
    this.#useLog(now);
    this.#world.events.at(tickMs, () => this.#tick(), this);
  }

  #finish(lease: SimLease, outcome: taskd.Outcome): void {
    if (this.#core.finish(lease, this.#nowMs)) lease.report = { run: lease.run, token: lease.token, outcome };
  }

  /** Without an acknowledgement the worker appends by itself; so does its beat, when the owner is silent. */
  #useLog(now: number): void {
    for (const lease of this.#core.takeOverdue(now, 100)) {
      const { token } = lease;
      this.#producer.append(encode.report(lease.report!), BatchClass.WORKER, (offset) => {
        this.#core.acknowledged([token], offset);
        this.#world.provokeWorker(this, 'acknowledged');
      });
    }
    const running = this.#core.takeAlive(now);
    if (running !== undefined)
      this.#producer.append(encode.alive(this.id, this.incarnation, running), BatchClass.WORKER);
  }
}
