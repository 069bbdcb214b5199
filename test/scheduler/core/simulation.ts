/**
 * One shard in virtual time: three schedulers on one log that only orders, two or three workers (with the real session
 * core), clients. Everything may be late, processes pause, crash and restart, connections break, appends of the dead land
 * afterwards, fetches come from a log that lags, and some faults come at the very moment at which they could do harm
 * (provocations.ts). Checked, against rules that are told apart from the core (log-oracle.ts):
 *
 * - each record counts or is void as the rules say, and leaves the run as they say; a final state never changes;
 * - no attempt starts under a lease that isn't the run's present one in the log's order, and no lease starts twice;
 * - a run with one attempt in all starts once at most;
 * - an attempt that stops with its session never runs beside another of the same run;
 * - a lease that is given back was never started;
 * - an owner never decides on a run while a decision of its own on it is under way;
 * - a live owner's state is what a replay from the start gives;
 * - once faults stop, every acknowledged submit and every fire comes to an end, and somebody owns the shard.
 */

import { BatchClass } from '../../../src/batch/header.js';
import type { NewRecord } from '../../../src/batch/record.js';
import type { CommittedBatch } from '../../../src/coordinator/task-log.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import { ShardCore } from '../../../src/scheduler/core/shard-core.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { EventQueue, type SimProcess } from './event-queue.js';
import { encode, everyPlanner, stored } from './harness.js';
import { Judge } from './judge.js';
import { Provocations } from './provocations.js';
import { Producer } from './simulated-producer.js';
import { epochMs, type Landed, type SchedulerMoment, SimFailure, SimScheduler } from './simulated-scheduler.js';
import { type Lane, type SimConnection, SimWorker, type WorkerMoment } from './simulated-worker.js';

const chaosMs = 50_000;
const endMs = 250_000;

export interface Outcomes {
  readonly records: number;
  readonly starts: number;
  readonly acquires: number;
  readonly voided: number;
}

export class World {
  readonly random: SeededRandom;
  readonly events: EventQueue = new EventQueue();
  readonly log: Landed[] = [];
  readonly schedulers: SimScheduler[] = [];
  readonly workers: SimWorker[] = [];
  /** Fetches of a stale leader: well within the 4 s between a session's validity and a lease's. */
  readonly staleMs: number;
  readonly #judge: Judge = new Judge();
  readonly #provocations: Provocations;
  readonly #slow: number;
  #quietUntilMs = 0;
  #assignment = 0;
  #assigned = 0;
  #silentMs = 0;
  #sessions = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.#slow = [0.002, 0.01, 0.03][this.random.below(3)]!;
    this.staleMs = this.random.below(3) === 0 ? 1_500 : 0;
    this.#provocations = new Provocations(this);
  }

  get isCalm(): boolean {
    return this.events.nowMs > chaosMs;
  }

  quietUntil(ms: number): void {
    this.#quietUntilMs = Math.max(this.#quietUntilMs, ms);
  }

  nextSession(): number {
    return ++this.#sessions;
  }

  delay(): number {
    const { random } = this;
    if (this.isCalm || this.events.nowMs < this.#quietUntilMs) return 1 + random.below(10);
    if (random.unit() < this.#slow) return 500 + random.below(19_500);
    return random.unit() < 0.1 ? 20 + random.below(480) : 1 + random.below(20);
  }

  batchAt(offset: number): CommittedBatch {
    const { record, batchClass, stampMs } = this.log[offset]!;
    return { baseOffset: offset, appendTimestampMs: stampMs, batchClass, records: [stored(record, offset)] };
  }

  land(record: NewRecord, batchClass: BatchClass, process: SimProcess | undefined, incarnation: number): number {
    const offset = this.log.length;
    this.log.push({ record, batchClass, stampMs: epochMs + this.events.nowMs, process, incarnation });
    this.#judge.landed(record, this.batchAt(offset), this.events.nowMs);
    return offset;
  }

  /** In order over one connection and class; lost when it is cut. */
  send(connection: SimConnection, to: 'worker' | 'scheduler', lane: Lane, deliver: () => void): void {
    const key = to + lane;
    const atMs = Math.max(connection.lastMs.get(key) ?? 0, this.events.nowMs + this.delay());
    connection.lastMs.set(key, atMs);
    const process: SimProcess = to === 'worker' ? connection.worker : connection.scheduler;
    const incarnation = to === 'worker' ? connection.workerIncarnation : connection.schedulerIncarnation;
    this.events.at(atMs - this.events.nowMs, () => {
      if (connection.isCut && this.random.unit() < 0.6) return;
      if (!process.isUp || process.incarnation !== incarnation) return;
      this.events.at(0, deliver, process, incarnation);
    });
  }

  started(run: number, token: number): void {
    this.#judge.started(run, token, this.workers);
  }

  compare(core: ShardCore): void {
    this.#judge.compare(core);
  }

  provokeScheduler(scheduler: SimScheduler, moment: SchedulerMoment, about?: SimConnection | number): void {
    this.#provocations.scheduler(scheduler, moment, about);
  }

  provokeWorker(worker: SimWorker, moment: WorkerMoment): void {
    this.#provocations.worker(worker, moment);
  }

  cancelRun(run: number): void {
    new Producer(this).append(encode.cancel(run), BatchClass.CLIENT);
  }

  /** The scheduler that a worker looks for: mostly the right one. */
  owner(): SimScheduler {
    const { random, schedulers } = this;
    return schedulers[random.unit() < 0.8 ? this.#assigned : random.below(schedulers.length)]!;
  }

  run(): Outcomes {
    const { random, events } = this;
    for (let i = 0; i < 3; i++) this.schedulers.push(new SimScheduler(this, `s${i}`));
    const workers = 2 + random.below(2);
    for (let i = 0; i < workers; i++) this.workers.push(new SimWorker(this, `w${i}`));
    this.#assign();
    events.at(500 + random.below(2_500), () => this.#chaos([0.3, 0.7, 1.2][random.below(3)]!));
    const acknowledged = this.#clients();
    let isSettled = false;
    events.runUntil(endMs, () => {
      if (events.nowMs < chaosMs + 20_000) return false;
      isSettled = acknowledged.wanted === acknowledged.runs.length && this.#judge.isSettled;
      return isSettled && this.schedulers.some(({ core, position }) => core.isActive && position === this.log.length);
    });
    this.#judge.checkEnds(acknowledged.runs);
    const owners = this.schedulers.filter(({ core }) => core.isActive && core.epoch === this.#judge.epoch);
    if (owners.length !== 1) throw new SimFailure(`${owners.length} owners at the end`);
    if (owners[0]!.position === this.log.length) this.compare(owners[0]!.core);
    const replayed = new ShardCore(epochMs, { planner: everyPlanner });
    for (let offset = 0; offset < this.log.length; offset++) replayed.replay(this.batchAt(offset), 0);
    this.compare(replayed);
    return {
      records: this.log.length,
      starts: this.#judge.startsTotal,
      acquires: this.log.filter(({ record }) => record.type === taskd.RecordType.ACQUIRE).length,
      voided: this.#judge.voidedTotal,
    };
  }

  #clients(): { wanted: number; runs: number[] } {
    const { random, events } = this;
    const one = new Producer(this);
    const two = new Producer(this);
    const runs: number[] = [];
    const wanted = 12 + random.below(16);
    one.append(encode.put({ cron: 'every 4000', retry: { attemptsMax: 2, delaysMs: [300] } }), BatchClass.CLIENT);
    events.at(8_000 + random.below(20_000), () => {
      two.append(encode.put({ cron: 'every 3000', retry: { attemptsMax: 2, delaysMs: [300] } }), BatchClass.CLIENT);
    });
    events.at(chaosMs - 1_000, () => one.append(encode.remove(), BatchClass.CLIENT));
    for (let i = 0; i < wanted; i++) {
      events.at(random.below(chaosMs - 2_000), () => {
        const record = encode.submit({
          // The first byte says whether the attempt stops with its session.
          arguments: Uint8Array.of(random.below(3) === 0 ? 1 : 0),
          retry: { attemptsMax: random.unit() < 0.35 ? 1 : 2 + random.below(2), delaysMs: [300] },
          timeoutMs: random.unit() < 0.2 ? 2_000 : 0,
          ...(random.unit() < 0.3 ? { delayMs: 100 + random.below(8_000) } : {}),
        });
        (random.unit() < 0.5 ? one : two).append(record, BatchClass.CLIENT, (run) => {
          runs.push(run);
          if (random.unit() >= 0.2) return;
          events.at(random.below(8_000), () => two.append(encode.cancel(run), BatchClass.CLIENT));
        });
      });
    }
    return { wanted, runs };
  }

  // Who should own the shard: a group coordinator that notices death and long silence.

  #assign(): void {
    const present = this.schedulers[this.#assigned]!;
    const { nowMs } = this.events;
    if (this.#assignment === 0) {
      this.reassign();
    } else if (!present.isUp || present.pausedUntilMs > nowMs || (present.cutUntilMs > nowMs && !this.isCalm)) {
      if (this.#silentMs === 0) this.#silentMs = nowMs;
      else if (nowMs - this.#silentMs > (present.isUp ? 4_000 : 1_000)) this.reassign();
    } else {
      this.#silentMs = 0;
    }
    this.#tell();
    this.events.at(700, () => this.#assign());
  }

  reassign(): void {
    const up = this.schedulers.filter(({ isUp, pausedUntilMs }) => isUp && pausedUntilMs <= this.events.nowMs);
    if (up.length === 0) return;
    this.#assignment++;
    this.#silentMs = 0;
    this.#assigned = this.schedulers.indexOf(up[this.random.below(up.length)]!);
    this.#tell();
  }

  #tell(): void {
    const assignment = this.#assignment;
    this.schedulers.forEach((scheduler, i) => {
      const isMine = i === this.#assigned;
      // One that is cut off hears of it late.
      const cutMs = this.isCalm ? 0 : Math.max(scheduler.cutUntilMs, scheduler.blindUntilMs) - this.events.nowMs;
      this.events.at(Math.max(this.delay(), cutMs), () => scheduler.assigned(assignment, isMine), scheduler);
    });
  }

  #chaos(rate: number): void {
    if (this.isCalm) return;
    const { random, events } = this;
    const kind = events.nowMs < this.#quietUntilMs ? 1 : random.unit();
    const process: SimProcess =
      random.unit() < 0.55
        ? this.schedulers[random.below(this.schedulers.length)]!
        : this.workers[random.below(this.workers.length)]!;
    if (kind < 0.12) {
      process.cutUntilMs = events.nowMs + 6_000 + random.below(22_000);
    } else if (kind < 0.35) {
      const ms = random.unit() < 0.5 ? 200 + random.below(3_800) : 4_000 + random.below(21_000);
      if (process.isUp) process.pausedUntilMs = Math.max(process.pausedUntilMs, events.nowMs + ms);
    } else if (kind < 0.55 && process.isUp) {
      this.crash(process);
    } else if (kind < 0.8) {
      const { connection } = this.workers[random.below(this.workers.length)]!;
      if (connection !== undefined) connection.isCut = true;
    } else if (kind < 0.95) {
      this.reassign();
    }
    events.at(50 + Math.ceil((-Math.log(1 - random.unit()) * 1_000) / rate), () => this.#chaos(rate));
  }

  crash(process: SimProcess): void {
    const { random, events } = this;
    process.isUp = false;
    for (const { connection } of this.workers) {
      if (connection?.scheduler === process && random.unit() < 0.5) connection.isCut = true;
    }
    events.at(random.unit() < 0.5 ? 100 + random.below(800) : 500 + random.below(11_500), () => {
      process.isUp = true;
      process.pausedUntilMs = 0;
      process.incarnation++;
      process.boot();
    });
  }
}
