import { BatchClass } from '../../../src/batch/header.js';
import type { DispatchEffect } from '../../../src/scheduler/core/effects.js';
import type { Claim, SessionInfo } from '../../../src/scheduler/core/session.js';
import type { taskd } from '../../../src/wire/generated/messages.js';
import type { SimProcess } from './event-queue.js';
import { appId, encode, Outcome } from './harness.js';
import { type LogWorld, Producer } from './simulated-producer.js';

const pingMs = 1_500;
/** A session is valid so long after the send time of its last answered ping. */
const validMs = 6_000;

/** A scheduler as a worker's messages reach it. */
export interface SchedulerEnd extends SimProcess {
  onAttach(connection: SimConnection, info: SessionInfo): boolean;
  onPing(sessionId: number, sentMs: number): void;
  onClaim(connection: SimConnection, info: SessionInfo, claim: Claim): void;
  onReport(sessionId: number, report: taskd.IRunReport): void;
  onReturned(sessionId: number, run: number, token: number): void;
}

export interface WorkerWorld extends LogWorld {
  nextSession(): number;
  /** The scheduler that a worker looks for. */
  owner(): SchedulerEnd;
  send(connection: SimConnection, to: 'worker' | 'scheduler', lane: string, deliver: () => void): void;
  /** A processor really starts. */
  started(run: number, token: number): void;
}

export interface SimConnection {
  readonly worker: SimWorker;
  readonly scheduler: SchedulerEnd;
  readonly workerIncarnation: number;
  readonly schedulerIncarnation: number;
  readonly info: SessionInfo;
  readonly openedMs: number;
  validUntilMs: number;
  isCut: boolean;
  readonly lastMs: Map<string, number>;
}

interface Attempt {
  readonly run: number;
  connection: SimConnection;
  /** It stops when its session isn't valid any more. */
  readonly isExclusive: boolean;
}

/** A worker process that keeps the rules of a session. */
export class SimWorker implements SimProcess {
  readonly id: string;
  readonly #world: WorkerWorld;
  incarnation = 1;
  isUp = true;
  pausedUntilMs = 0;
  cutUntilMs = 0;
  connection: SimConnection | undefined;
  #producer!: Producer;
  #running: Map<number, Attempt> = new Map();
  #unreported: Map<number, taskd.IRunReport> = new Map();
  /** Tokens that were seen and are not yet reported and acknowledged. */
  #seen: Set<number> = new Set();
  /** What each session claimed as running. */
  readonly #claimed: Map<number, number[]> = new Map();
  #acknowledged = -1;
  #beatMs = 0;
  #aliveMs = 0;

  constructor(world: WorkerWorld, id: string) {
    this.#world = world;
    this.id = id;
    this.boot();
  }

  boot(): void {
    const { events, random } = this.#world;
    this.#producer = new Producer(this.#world, this);
    this.connection = undefined;
    this.#running = new Map();
    this.#unreported = new Map();
    this.#seen = new Set();
    this.#acknowledged = -1;
    this.#beatMs = this.#aliveMs = events.nowMs;
    events.at(1 + random.below(300), () => this.#tick(), this);
  }

  /** Does an attempt of `run` go on here that would stop with its session? */
  runsExclusively(run: number): boolean {
    for (const attempt of this.#running.values()) {
      if (attempt.run === run && attempt.isExclusive && this.#nowMs <= attempt.connection.validUntilMs) return true;
    }
    return false;
  }

  onNotOwner(connection: SimConnection): void {
    if (connection !== this.connection) return;
    connection.isCut = true;
    this.#world.events.at(300, () => this.connection === connection && this.#connect(), this);
  }

  onPong(connection: SimConnection, sentMs: number): void {
    this.#expire();
    if (connection.isCut) return;
    this.#beatMs = this.#nowMs;
    connection.validUntilMs = Math.max(connection.validUntilMs, sentMs + validMs);
    this.#world.events.at(connection.validUntilMs + 1 - this.#nowMs, () => this.#expire(), this);
  }

  onClaimed(connection: SimConnection, kept: readonly number[]): void {
    this.#expire();
    if (connection !== this.connection) return;
    const claimed = this.#claimed.get(connection.info.sessionId) ?? [];
    for (const token of claimed) {
      const attempt = this.#running.get(token);
      if (attempt === undefined) continue;
      if (kept.includes(token)) attempt.connection = connection;
      else this.#finish(token, Outcome.OUTCOME_ABANDONED);
    }
  }

  onCancel(token: number): void {
    this.#expire();
    if (this.#running.has(token)) this.#finish(token, Outcome.OUTCOME_CANCELLED);
  }

  onAcknowledged(token: number, offset: number): void {
    this.#unreported.delete(token);
    this.#seen.delete(token);
    this.#acknowledged = Math.max(this.#acknowledged, offset);
  }

  onDispatch(connection: SimConnection, dispatch: DispatchEffect): void {
    this.#expire();
    const { run, token } = dispatch;
    if (this.#seen.has(token)) return;
    if (connection !== this.connection || this.#nowMs > connection.validUntilMs) {
      const { scheduler, info } = connection;
      this.#world.send(connection, 'scheduler', 'data', () => scheduler.onReturned(info.sessionId, run, token));
      return;
    }
    const { random, events } = this.#world;
    const isExclusive = dispatch.arguments?.[0] === 1;
    this.#seen.add(token);
    this.#world.started(run, token);
    this.#running.set(token, { run, connection, isExclusive });
    events.at(connection.validUntilMs + 1 - this.#nowMs, () => this.#expire(), this);
    const outcome = random.unit() < 0.7 ? Outcome.OUTCOME_SUCCEEDED : Outcome.OUTCOME_FAILED;
    const ranMs = random.unit() < 0.15 ? 5_000 + random.below(20_000) : 20 + random.below(2_500);
    events.at(
      ranMs,
      () => {
        this.#expire();
        if (this.#running.has(token)) this.#finish(token, outcome);
      },
      this,
    );
  }

  get #nowMs(): number {
    return this.#world.events.nowMs;
  }

  /** What is exclusive stops with the session that holds it. */
  #expire(): void {
    for (const [token, attempt] of [...this.#running]) {
      if (attempt.isExclusive && this.#nowMs > attempt.connection.validUntilMs) {
        this.#finish(token, Outcome.OUTCOME_ABANDONED);
      }
    }
  }

  #connect(): void {
    const scheduler = this.#world.owner();
    this.connection = undefined;
    if (!scheduler.isUp) return;
    const info = {
      sessionId: this.#world.nextSession(),
      appId,
      workerId: this.id,
      incarnation: this.incarnation,
      processors: ['p'],
      capacity: 3,
      weight: 100,
    };
    const connection: SimConnection = {
      worker: this,
      scheduler,
      workerIncarnation: this.incarnation,
      schedulerIncarnation: scheduler.incarnation,
      info,
      openedMs: this.#nowMs,
      validUntilMs: -1,
      isCut: false,
      lastMs: new Map(),
    };
    this.connection = connection;
    const claim = {
      incarnation: this.incarnation,
      running: [...this.#running.keys()],
      unreported: [...this.#unreported.keys()],
      acknowledgedOffset: this.#acknowledged < 0 ? undefined : this.#acknowledged,
    };
    this.#claimed.set(info.sessionId, claim.running);
    this.#world.send(connection, 'scheduler', 'data', () => scheduler.onClaim(connection, info, claim));
    for (const token of this.#unreported.keys()) this.#tell(token);
    this.#ping(connection);
  }

  #ping(connection: SimConnection): void {
    const sentMs = this.#nowMs;
    const { scheduler, info } = connection;
    this.#world.send(connection, 'scheduler', 'beat', () => {
      if (scheduler.onAttach(connection, info)) scheduler.onPing(info.sessionId, sentMs);
    });
  }

  #tick(): void {
    this.#expire();
    const { connection } = this;
    const heardMs = connection === undefined ? 0 : Math.max(connection.openedMs, connection.validUntilMs - validMs);
    if (connection === undefined || connection.isCut || this.#nowMs - heardMs > 4_000) this.#connect();
    else this.#ping(connection);
    if (this.#nowMs - this.#beatMs > 3_000 && this.#nowMs - this.#aliveMs >= 3_000 && this.#running.size > 0) {
      this.#aliveMs = this.#nowMs;
      this.#producer.append(encode.alive(this.id, this.incarnation, [...this.#running.keys()]), BatchClass.WORKER);
    }
    this.#world.events.at(pingMs, () => this.#tick(), this);
  }

  #finish(token: number, outcome: taskd.Outcome): void {
    const { run } = this.#running.get(token)!;
    this.#running.delete(token);
    this.#unreported.set(token, { run, token, outcome });
    this.#tell(token);
    this.#world.events.at(1_000, () => this.#appendReport(token), this);
  }

  #tell(token: number): void {
    const { connection } = this;
    const report = this.#unreported.get(token);
    if (connection === undefined || report === undefined) return;
    const { scheduler, info } = connection;
    this.#world.send(connection, 'scheduler', 'data', () => scheduler.onReport(info.sessionId, report));
  }

  /** Without an acknowledgement the worker appends by itself. */
  #appendReport(token: number): void {
    const report = this.#unreported.get(token);
    if (report === undefined) return;
    this.#producer.append(encode.report(report), BatchClass.WORKER, (offset) => this.onAcknowledged(token, offset));
  }
}
