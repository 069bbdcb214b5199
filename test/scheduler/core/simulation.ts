/**
 * One shard in virtual time: three schedulers on one log that only orders, two or three workers, clients. Everything
 * may be late, processes pause, crash and restart, connections break, appends of the dead land afterwards. Checked:
 *
 * - no attempt starts under a lease that isn't the run's present one in the log's order;
 * - a run with one attempt in all starts once at most;
 * - an attempt that stops with its session never runs beside another of the same run;
 * - a final state never changes;
 * - a live owner's state is what a replay from the start gives;
 * - once faults stop, every acknowledged submit and every fire comes to an end, and somebody owns the shard.
 */

import { BatchClass } from '../../../src/batch/header.js';
import type { NewRecord } from '../../../src/batch/record.js';
import type { CommittedBatch } from '../../../src/coordinator/task-log.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import type { Effect } from '../../../src/scheduler/core/effects.js';
import type { SessionInfo } from '../../../src/scheduler/core/session.js';
import { ShardCore } from '../../../src/scheduler/core/shard-core.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { EventQueue, type SimProcess } from './event-queue.js';
import { appId, encode, everyPlanner, RunState, stored } from './harness.js';
import { Producer } from './simulated-producer.js';
import { type SchedulerEnd, type SimConnection, SimWorker } from './simulated-worker.js';

const chaosMs = 50_000;
const endMs = 250_000;
/** The wall clock's start. */
export const epochMs = 1_700_000_000_000;
const finals = new Set([RunState.SUCCEEDED, RunState.CANCELLED, RunState.DEAD, RunState.REFUSED]);

export class SimFailure extends Error {}

interface Landed {
  readonly record: NewRecord;
  readonly batchClass: BatchClass;
  readonly stampMs: number;
}

/** A scheduler process: the driver around a core, as simple as can be. */
class SimScheduler implements SchedulerEnd {
  readonly id: string;
  readonly #world: World;
  incarnation = 1;
  isUp = true;
  pausedUntilMs = 0;
  cutUntilMs = 0;
  core!: ShardCore;
  #producer!: Producer;
  #connections: Map<number, SimConnection> = new Map();
  #assignment = 0;
  #isAssigned = false;
  #isAcquiring = false;
  #fetches = 0;
  #position = 0;

  constructor(world: World, id: string) {
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
    this.#producer = new Producer(this.#world, this);
    this.#connections = new Map();
    this.#assignment = 0;
    this.#isAssigned = false;
    this.#isAcquiring = false;
    this.#position = 0;
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
      if (release !== undefined) this.#producer.append(release, BatchClass.OWNER);
      else this.core.abandon();
      this.#perform();
    }
  }

  onAttach(connection: SimConnection, info: SessionInfo): boolean {
    if (this.#connections.has(info.sessionId)) return true;
    if (!this.core.attach(info)) return false;
    this.#connections.set(info.sessionId, connection);
    return true;
  }

  onPing(sessionId: number, sentMs: number): void {
    this.core.ping(sessionId, sentMs, this.#world.events.nowMs);
  }

  onClaim(connection: SimConnection, info: SessionInfo, claim: Parameters<ShardCore['claim']>[1]): void {
    if (!this.onAttach(connection, info)) {
      this.#world.send(connection, 'worker', 'data', () => connection.worker.onNotOwner(connection));
      return;
    }
    this.core.claim(info.sessionId, claim, this.#world.events.nowMs);
  }

  onReport(sessionId: number, report: taskd.IRunReport): void {
    for (const record of this.core.report(sessionId, [report])) this.#producer.append(record, BatchClass.OWNER);
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
    for (const record of this.core.decide(epochMs + nowMs, nowMs)) this.#producer.append(record, BatchClass.OWNER);
    this.#perform();
  }

  #fetch(): void {
    const world = this.#world;
    const { events } = world;
    const beganMs = events.nowMs;
    const fetch = this.#fetches;
    const { incarnation } = this;
    const waitMs = Math.max(world.delay(), world.isCalm ? 0 : this.cutUntilMs - events.nowMs);
    events.at(waitMs, () => {
      const from = this.#position;
      const end = Math.min(world.log.length, from + 40);
      const isWhole = end === world.log.length;
      events.at(
        world.delay(),
        () => {
          if (fetch !== this.#fetches) return;
          this.#read(from, end, isWhole ? beganMs : undefined);
          events.at(20 + world.random.below(100), () => fetch === this.#fetches && this.#fetch(), this);
        },
        this,
        incarnation,
      );
    });
  }

  #read(from: number, end: number, beganMs: number | undefined): void {
    const { nowMs } = this.#world.events;
    for (let offset = from; offset < end; offset++) this.core.replay(this.#world.batchAt(offset), nowMs);
    this.#position = end;
    if (beganMs !== undefined) {
      this.core.caughtUp(end, beganMs, nowMs);
      if (this.#isAcquiring && !this.core.isActive) {
        this.#isAcquiring = false;
        const nonce = this.#world.random.bytes(8);
        this.#producer.append(this.core.acquire(this.id, 'host', 1, nonce), BatchClass.OWNER);
      }
    }
    this.#turn();
    if (this.core.isActive && this.#position === this.#world.log.length && this.#world.random.unit() < 0.03) {
      this.#world.compare(this.core);
    }
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
      world.send(connection, 'worker', 'data', () => worker.onDispatch(connection, effect));
    } else if (effect.kind === 'cancel') {
      world.send(connection, 'worker', 'data', () => worker.onCancel(effect.token));
    } else if (effect.kind === 'acknowledged') {
      world.send(connection, 'worker', 'data', () => worker.onAcknowledged(effect.token, effect.offset));
    } else if (effect.kind === 'pong') {
      world.send(connection, 'worker', 'beat', () => worker.onPong(connection, effect.sentMs));
    } else if (effect.kind === 'claimed') {
      world.send(connection, 'worker', 'data', () => worker.onClaimed(connection, effect.kept));
    } else if (effect.kind === 'notOwner') {
      this.#connections.delete(effect.sessionId);
      connection.isCut = true;
      world.send(connection, 'worker', 'data', () => worker.onNotOwner(connection));
    }
  }
}

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
  /** What the log says at this moment. */
  #reference: ShardCore;
  readonly #ended: Map<number, taskd.RunState> = new Map();
  readonly #runs: Set<number> = new Set();
  readonly #starts: Map<number, number> = new Map();
  readonly #slow: number;
  #assignment = 0;
  #assigned = 0;
  #silentMs = 0;
  #sessions = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.#slow = [0.002, 0.01, 0.03][this.random.below(3)]!;
    this.#reference = new ShardCore(epochMs, { planner: everyPlanner });
  }

  get isCalm(): boolean {
    return this.events.nowMs > chaosMs;
  }

  nextSession(): number {
    return ++this.#sessions;
  }

  delay(): number {
    const { random } = this;
    if (this.isCalm) return 1 + random.below(10);
    if (random.unit() < this.#slow) return 500 + random.below(19_500);
    return random.unit() < 0.1 ? 20 + random.below(480) : 1 + random.below(20);
  }

  batchAt(offset: number): CommittedBatch {
    const { record, batchClass, stampMs } = this.log[offset]!;
    return { baseOffset: offset, appendTimestampMs: stampMs, batchClass, records: [stored(record, offset)] };
  }

  /** A record has its place in the log. */
  land(record: NewRecord, batchClass: BatchClass): number {
    const offset = this.log.length;
    this.log.push({ record, batchClass, stampMs: epochMs + this.events.nowMs });
    this.#reference.replay(this.batchAt(offset), this.events.nowMs);
    if (this.#reference.run(offset) !== undefined) this.#runs.add(offset);
    for (const run of this.#runs) {
      const { state } = this.#reference.run(run)!;
      const before = this.#ended.get(run);
      if (before !== undefined && before !== state) throw new SimFailure(`the final state of ${run} changed`);
      if (finals.has(state)) this.#ended.set(run, state);
    }
    return offset;
  }

  /** In order over one connection and class; lost when it is cut. */
  send(connection: SimConnection, to: 'worker' | 'scheduler', lane: string, deliver: () => void): void {
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

  /** A processor really starts. */
  started(run: number, token: number): void {
    const snapshot = this.#reference.run(run);
    if (snapshot?.token !== token) {
      throw new SimFailure(
        `run ${run} starts under lease ${token}; it has ${snapshot?.token}, state ${snapshot?.state}`,
      );
    }
    const starts = (this.#starts.get(run) ?? 0) + 1;
    this.#starts.set(run, starts);
    if (snapshot.attemptsMax === 1 && starts > 1) throw new SimFailure(`run ${run} with one attempt started twice`);
    for (const worker of this.workers) {
      if (worker.isUp && worker.runsExclusively(run)) throw new SimFailure(`exclusive run ${run} runs twice`);
    }
  }

  compare(core: ShardCore): void {
    const live = canonical(core);
    const replayed = canonical(this.#reference);
    if (live !== replayed) throw new SimFailure(`a live owner's state differs:\n${live}\n${replayed}`);
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
      isSettled =
        acknowledged.wanted === acknowledged.runs.length && [...this.#runs].every((run) => this.#ended.has(run));
      return isSettled && this.schedulers.some(({ core, position }) => core.isActive && position === this.log.length);
    });
    for (const run of [...acknowledged.runs, ...this.#runs]) {
      if (!this.#ended.has(run)) {
        throw new SimFailure(`run ${run} never ended: ${JSON.stringify(this.#reference.run(run))}`);
      }
    }
    const owners = this.schedulers.filter(({ core }) => core.isActive && core.epoch === this.#reference.epoch);
    if (owners.length !== 1) throw new SimFailure(`${owners.length} owners at the end`);
    if (owners[0]!.position === this.log.length) this.compare(owners[0]!.core);
    const replayed = new ShardCore(epochMs, { planner: everyPlanner });
    for (let offset = 0; offset < this.log.length; offset++) replayed.replay(this.batchAt(offset), 0);
    this.compare(replayed);
    return {
      records: this.log.length,
      starts: [...this.#starts.values()].reduce((a, b) => a + b, 0),
      acquires: this.log.filter(({ record }) => record.type === taskd.RecordType.ACQUIRE).length,
      voided: this.#reference.voided.records,
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
      this.#reassign();
    } else if (!present.isUp || present.pausedUntilMs > nowMs || (present.cutUntilMs > nowMs && !this.isCalm)) {
      if (this.#silentMs === 0) this.#silentMs = nowMs;
      else if (nowMs - this.#silentMs > (present.isUp ? 4_000 : 1_000)) this.#reassign();
    } else {
      this.#silentMs = 0;
    }
    this.#tell();
    this.events.at(700, () => this.#assign());
  }

  #reassign(): void {
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
      this.events.at(this.delay(), () => scheduler.assigned(assignment, isMine), scheduler);
    });
  }

  #chaos(rate: number): void {
    if (this.isCalm) return;
    const { random, events } = this;
    const kind = random.unit();
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
      this.#crash(process);
    } else if (kind < 0.8) {
      const { connection } = this.workers[random.below(this.workers.length)]!;
      if (connection !== undefined) connection.isCut = true;
    } else if (kind < 0.95) {
      this.#reassign();
    }
    events.at(50 + Math.ceil((-Math.log(1 - random.unit()) * 1_000) / rate), () => this.#chaos(rate));
  }

  #crash(process: SimProcess): void {
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

/** All that the log says, as text. What an owner judges by its clock (due or not) isn't part of it. */
function canonical(core: ShardCore): string {
  const { runs } = core.runs({ appId, states: [], job: '', before: undefined, max: 1e6 });
  const waiting = new Set([RunState.SCHEDULED, RunState.READY, RunState.RETRY_WAIT]);
  const lines = runs.map((run) =>
    [
      run.run,
      waiting.has(run.state) ? 'waiting' : run.state,
      run.attempt,
      run.lost,
      run.dueMs,
      run.startedMs,
      run.endedMs,
      run.workerId,
      run.token,
      run.causeAt,
      run.argumentsAt,
    ].join(),
  );
  const jobs = core
    .jobs(appId, '', 100)
    .map((job) => [job.name, job.version, job.nextFireMs, job.fires, job.skipped].join());
  return [core.epoch, ...lines, ...jobs].join('\n');
}
