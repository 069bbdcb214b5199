import { BatchClass } from '../../../src/batch/header.js';
import type { NewRecord } from '../../../src/batch/record.js';
import type { CommittedBatch } from '../../../src/coordinator/task-log.js';
import type { DispatchEffect, Effect } from '../../../src/scheduler/core/effects.js';
import type { Claim } from '../../../src/scheduler/core/session.js';
import { ShardCore } from '../../../src/scheduler/core/shard-core.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import type { SimProcess } from './event-queue.js';
import { everyPlanner } from './harness.js';
import { Producer } from './simulated-producer.js';
import type { Lane, SchedulerEnd, SimConnection, WorkerWorld } from './simulated-worker.js';

const { RecordType } = taskd;
/** The wall clock's start. */
export const epochMs = 1_700_000_000_000;

export class SimFailure extends Error {}

/** A record in the log, and who sent it, in which life. */
export interface Landed {
  readonly record: NewRecord;
  readonly batchClass: BatchClass;
  readonly stampMs: number;
  readonly process: SimProcess | undefined;
  readonly incarnation: number;
}

/** Moments at which a fault is likelier to bring something to light than at any other. */
export type SchedulerMoment = 'decided' | 'leasing' | 'ending' | 'acquiring' | 'dispatching' | 'claimed';

export interface SchedulerWorld extends WorkerWorld {
  readonly log: readonly Landed[];
  /** How far behind the log's end a fetch may be and still be taken for fresh. */
  readonly staleMs: number;
  batchAt(offset: number): CommittedBatch;
  compare(core: ShardCore): void;
  send(connection: SimConnection, to: 'worker' | 'scheduler', lane: Lane, deliver: () => void): void;
  provokeScheduler(scheduler: SimScheduler, moment: SchedulerMoment, about?: SimConnection | number): void;
}

/** A scheduler process: the driver around a core, as simple as can be. */
export class SimScheduler implements SchedulerEnd {
  readonly id: string;
  readonly #world: SchedulerWorld;
  incarnation = 1;
  isUp = true;
  pausedUntilMs = 0;
  cutUntilMs = 0;
  /** Until when its fetches hang, though its appends go through. */
  blindUntilMs = 0;
  core!: ShardCore;
  producer!: Producer;
  #connections: Map<number, SimConnection> = new Map();
  #assignment = 0;
  #isAssigned = false;
  #isAcquiring = false;
  #fetches = 0;
  #position = 0;
  /** Runs that a decision of this epoch is under way for. */
  #underWay: Set<number> = new Set();

  readonly #sent: Set<number> = new Set();

  constructor(world: SchedulerWorld, id: string) {
    this.#world = world;
    this.id = id;
    this.boot();
  }

  get position(): number {
    return this.#position;
  }

  boot(): void {
    const { events } = this.#world;
    this.core = new ShardCore(epochMs + events.nowMs, { planner: everyPlanner });
    this.producer = new Producer(this.#world, this);
    this.#connections = new Map();
    this.#assignment = 0;
    this.#isAssigned = false;
    this.#isAcquiring = false;
    this.#position = 0;
    this.#underWay = new Set();
    this.#fetches++;
    this.#fetch();
    this.#tick();
  }

  /** The group's word on who should own the shard. */
  assigned(assignment: number, isMine: boolean): void {
    if (assignment <= this.#assignment) return;
    this.#assignment = assignment;
    this.#isAssigned = isMine;
    this.#isAcquiring = false;
    if (isMine) {
      this.#isAcquiring = true;
    } else {
      const release = this.#world.random.unit() < 0.7 ? this.core.release() : undefined;
      if (release !== undefined) this.producer.append(release, BatchClass.OWNER);
      else this.core.abandon();
      this.#perform();
    }
  }

  onAttach(connection: SimConnection): boolean {
    const { info } = connection;
    if (this.#connections.has(info.sessionId)) return true;
    if (!this.core.attach(info)) return false;
    this.#connections.set(info.sessionId, connection);
    return true;
  }

  onPing(sessionId: number, sentMs: number): void {
    this.core.ping(sessionId, sentMs, this.#world.events.nowMs);
    this.#perform();
  }

  onClaim(connection: SimConnection, claim: Claim): void {
    if (!this.onAttach(connection)) {
      this.#world.send(connection, 'worker', 'data', () => connection.worker.onNotOwner(connection));
      return;
    }
    this.core.claim(connection.info.sessionId, claim, this.#world.events.nowMs);
    this.#turn();
  }

  onReports(sessionId: number, reports: taskd.IRunReport[]): void {
    for (const record of this.core.report(sessionId, reports)) this.producer.append(record, BatchClass.OWNER);
    this.#turn();
  }

  onReturned(sessionId: number, run: number, token: number): void {
    this.core.returned(sessionId, [run], [token]);
    this.#turn();
  }

  #tick(): void {
    this.#world.events.at(250, () => this.#tick(), this);
    this.#turn();
  }

  #turn(): void {
    const { nowMs } = this.#world.events;
    const records = this.core.decide(epochMs + nowMs, nowMs);
    for (const record of records) {
      this.#decided(record);
      this.producer.append(record, BatchClass.OWNER);
    }
    if (records.length > 0) this.#world.provokeScheduler(this, 'decided');
    this.#perform();
  }

  /** The pending overlay: nothing is decided on a run for which a decision of this epoch is under way. */
  #decided(record: NewRecord): void {
    const decision = decisionOf(record);
    if (decision === undefined) return;
    if (this.#underWay.has(decision.run)) {
      throw new SimFailure(`an owner decides twice on a run: ${RecordType[record.type!]} ${decision.run}`);
    }
    this.#underWay.add(decision.run);
    if (decision.token !== undefined) this.#world.provokeScheduler(this, 'ending', decision.token);
    if (record.type === RecordType.RUN_LEASED) this.#world.provokeScheduler(this, 'leasing', decision.run);
  }

  /** What is being stopped is never sent again. */
  #checkDispatch({ run, token }: DispatchEffect): void {
    const isStopping = this.core.run(run)?.state === taskd.RunState.CANCELLING;
    if (isStopping && this.#sent.has(token)) throw new SimFailure(`run ${run} is being stopped, but sent again`);
    this.#sent.add(token);
  }

  #fetch(): void {
    const world = this.#world;
    const { events } = world;
    const beganMs = events.nowMs;
    const fetch = this.#fetches;
    const { incarnation } = this;
    // Either the request hangs or the answer does, which is then an old one.
    const hangsUntilMs = world.isCalm ? 0 : Math.max(this.cutUntilMs, this.blindUntilMs);
    const isAnswerLate = world.random.unit() < 0.5;
    const hang = (isMine: boolean): number => (isMine ? Math.max(0, hangsUntilMs - events.nowMs) : 0);
    events.at(Math.max(world.delay(), hang(!isAnswerLate)), () => {
      const from = this.#position;
      let last = world.log.length;
      while (last > from && world.log[last - 1]!.stampMs > epochMs + events.nowMs - world.staleMs) last--;
      const end = Math.min(last, from + 40);
      events.at(
        Math.max(world.delay(), hang(isAnswerLate)),
        () => {
          if (fetch !== this.#fetches) return;
          this.#read(from, end, end === last ? beganMs : undefined);
          events.at(20 + world.random.below(100), () => fetch === this.#fetches && this.#fetch(), this);
        },
        this,
        incarnation,
      );
    });
  }

  #read(from: number, end: number, beganMs: number | undefined): void {
    const { nowMs } = this.#world.events;
    for (let offset = from; offset < end; offset++) this.#replay(offset, nowMs);
    this.#position = end;
    if (beganMs !== undefined) {
      this.core.caughtUp(end, beganMs, nowMs);
      if (this.#isAcquiring && !this.core.isActive) {
        this.#isAcquiring = false;
        const nonce = this.#world.random.bytes(8);
        this.producer.append(this.core.acquire(this.id, 'host', 1, nonce), BatchClass.OWNER);
        this.#world.provokeScheduler(this, 'acquiring');
      }
    }
    this.#turn();
    if (this.core.isActive && this.#position === this.#world.log.length && this.#world.random.unit() < 0.03) {
      this.#world.compare(this.core);
    }
  }

  #replay(offset: number, nowMs: number): void {
    const { record, process, incarnation } = this.#world.log[offset]!;
    this.core.replay(this.#world.batchAt(offset), nowMs);
    if (process !== this || incarnation !== this.incarnation) return;
    if (record.type === RecordType.ACQUIRE && this.core.epoch === offset) this.#underWay.clear();
    const decision = decisionOf(record);
    if (decision?.epoch === this.core.epoch) this.#underWay.delete(decision.run);
  }

  #perform(): void {
    this.core.drain((effect) => this.#effect(effect));
  }

  #effect(effect: Effect): void {
    const world = this.#world;
    if (effect.kind === 'notAcquired') this.#isAcquiring = this.#isAssigned;
    // Generations count up from what was read, so the late Acquire of one that is no longer assigned may win for a while.
    if (effect.kind === 'deposed') {
      const assignment = this.#assignment;
      const again = (): void => {
        if (this.#isAssigned && this.#assignment === assignment) this.#isAcquiring = true;
      };
      world.events.at(1_000, again, this);
    }
    if (!('sessionId' in effect)) return;
    const connection = this.#connections.get(effect.sessionId);
    if (connection === undefined) return;
    const { worker } = connection;
    if (effect.kind === 'dispatch') {
      this.#checkDispatch(effect);
      world.provokeScheduler(this, 'dispatching', connection);
      world.send(connection, 'worker', 'data', () => worker.onDispatch(connection, effect));
    } else if (effect.kind === 'cancel') {
      world.send(connection, 'worker', 'data', () => worker.onCancel(connection, effect.token));
    } else if (effect.kind === 'acknowledged') {
      world.send(connection, 'worker', 'data', () => worker.onAcknowledged(connection, effect.token, effect.offset));
    } else if (effect.kind === 'pong') {
      world.send(connection, 'worker', 'beat', () => worker.onPong(connection, effect.sentMs));
    } else if (effect.kind === 'claimed') {
      world.send(connection, 'worker', 'data', () => worker.onClaimed(connection, effect.epoch, effect.kept));
      world.provokeScheduler(this, 'claimed', connection);
    } else if (effect.kind === 'notOwner') {
      this.#connections.delete(effect.sessionId);
      connection.isCut = true;
      world.send(connection, 'worker', 'data', () => worker.onNotOwner(connection));
    }
  }
}

/** Run, epoch and perhaps lease of a record that decides on a run. */
function decisionOf({ type, value }: NewRecord): { run: number; epoch: number; token?: number } | undefined {
  if (type === RecordType.RUN_LEASED) return taskd.RunLeased.decode(value!);
  if (type === RecordType.RUN_REFUSED) return taskd.RunRefused.decode(value!);
  if (type === RecordType.LEASE_LOST || type === RecordType.LEASE_RETURNED || type === RecordType.ATTEMPT_TIMED_OUT) {
    return taskd.LeaseLost.decode(value!);
  }
  return undefined;
}
