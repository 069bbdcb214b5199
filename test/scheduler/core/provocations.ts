import type { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import type { EventQueue, SimProcess } from './event-queue.js';
import type { SchedulerMoment, SimScheduler } from './simulated-scheduler.js';
import type { SimConnection, SimWorker, WorkerMoment } from './simulated-worker.js';

/** What a provocation can do to a world. */
export interface ProvokedWorld {
  readonly random: SeededRandom;
  readonly events: EventQueue;
  readonly isCalm: boolean;
  readonly workers: readonly SimWorker[];
  /** No other faults until then: a provocation that takes long is left alone. */
  quietUntil(ms: number): void;
  reassign(): void;
  crash(process: SimProcess): void;
  cancelRun(run: number): void;
}

/** A fault at the one moment at which it can break a rule; by chance alone these meet once in thousands of seeds. */
const kinds = [
  /** The owner stops right after it decided; its appends may land meanwhile. */
  'pause after deciding',
  /** The owner's appends hang and land after the next owner's. */
  'late decisions',
  /** An Acquire hangs; others of the same or a higher generation come first. */
  'late Acquire',
  /** A run is cancelled while a lease of it is under way. */
  'cancel while leasing',
  /** A dispatch hangs while pings go on, and the owner is blind to the log, where another owner comes. */
  'slow dispatch, blind owner',
  /** A dispatch hangs and the owner dies: the next one must wait for what that promised. */
  'slow dispatch, new owner',
  /** A dispatch hangs, and the pings too, so that the lease runs out at a living owner. */
  'slow dispatch, slow pings',
  /** An attempt ends while a decision to end its lease is under way. */
  'report while ending',
  /** The first pings of a new connection hang, and what its owner says. */
  'slow start',
  /** A dropped dispatch is told on an old connection, after the same lease was sent on a new one. */
  'late return',
  /** A worker connects anew right after the log, not the owner, took its report. */
  'claim after own report',
  /** A worker connects anew right after its claim was handled, or while a dispatch is on its way. */
  'claim upon claim',
] as const;

type Kind = (typeof kinds)[number];

export class Provocations {
  readonly #world: ProvokedWorld;
  readonly #slowStarts: Set<SimWorker> = new Set();
  readonly #rates: Map<Kind, number> = new Map();

  constructor(world: ProvokedWorld) {
    this.#world = world;
    const { random } = world;
    for (let i = 0; i < 2; i++) {
      this.#rates.set(kinds[random.below(kinds.length)]!, [0.05, 0.2, 0.5][random.below(3)]!);
    }
  }

  scheduler(scheduler: SimScheduler, moment: SchedulerMoment, about: SimConnection | number | undefined): void {
    const { random, events, isCalm } = this.#world;
    if (isCalm || !scheduler.isUp) return;
    const now = events.nowMs;
    const long = (): number => now + 3_000 + random.below(22_000);
    if (moment === 'decided' && this.#happens('pause after deciding')) {
      scheduler.pausedUntilMs = Math.max(scheduler.pausedUntilMs, long());
      this.#reassignSoon();
    }
    if (moment === 'decided' && this.#happens('late decisions')) {
      scheduler.producer.heldUntilMs = long();
      this.#reassignSoon();
    }
    if (moment === 'acquiring' && this.#happens('late Acquire')) {
      scheduler.producer.heldUntilMs = long();
      this.#reassignSoon();
    }
    if (moment === 'leasing' && this.#happens('cancel while leasing')) {
      scheduler.producer.heldUntilMs = now + random.below(2_000);
      this.#world.cancelRun(about as number);
    }
    if (moment === 'ending' && this.#happens('report while ending')) {
      scheduler.producer.heldUntilMs = now + 2_000 + random.below(3_000);
      for (const worker of this.#world.workers) {
        events.at(random.below(300), () => worker.failNow(about as number), worker);
      }
    }
    if (moment === 'dispatching') this.#dispatching(scheduler, about as SimConnection, long);
    if (moment === 'claimed' && this.#happens('claim upon claim')) this.#reconnect((about as SimConnection).worker);
  }

  worker(worker: SimWorker, moment: WorkerMoment): void {
    const { random, events, isCalm } = this.#world;
    if (isCalm || worker.connection === undefined) return;
    if (moment === 'connecting' && this.#slowStarts.delete(worker)) {
      slow(worker.connection, 'schedulerbeat', events.nowMs + 500 + random.below(9_000));
      slow(worker.connection, 'workerdata', events.nowMs + 500 + random.below(6_000));
    }
    if (moment === 'returned' && this.#happens('late return')) {
      slow(worker.connection, 'schedulerdata', events.nowMs + 1_000 + random.below(6_000));
      this.#reconnect(worker);
    }
    if (moment === 'acknowledged' && this.#happens('claim after own report')) this.#reconnect(worker);
  }

  #dispatching(scheduler: SimScheduler, connection: SimConnection, long: () => number): void {
    const { random, events } = this.#world;
    const now = events.nowMs;
    if (this.#happens('slow dispatch, blind owner')) {
      const untilMs = now + 11_000 + random.below(9_000);
      slow(connection, 'workerdata', untilMs);
      scheduler.blindUntilMs = random.unit() < 0.5 ? untilMs + 10_000 : untilMs - 500;
      this.#world.quietUntil(untilMs + 1_000);
      this.#reassignSoon();
    }
    if (this.#happens('slow dispatch, new owner')) {
      slow(connection, 'workerdata', now + 500 + random.below(6_000));
      if (random.unit() < 0.5) this.#world.crash(scheduler);
      else scheduler.blindUntilMs = long();
      this.#reassignSoon();
    }
    if (this.#happens('slow dispatch, slow pings')) {
      slow(connection, 'workerdata', now + 11_500 + random.below(3_000));
      slow(connection, random.unit() < 0.2 ? 'workerbeat' : 'schedulerbeat', now + 10_300 + random.below(1_000));
      this.#world.quietUntil(now + 15_000);
    }
    if (this.#happens('late return')) slow(connection, 'workerdata', now + 6_000 + random.below(2_000));
    if (this.#happens('slow start') && random.unit() < 0.2) {
      this.#slowStarts.add(connection.worker);
      this.#world.quietUntil(now + 8_000);
      events.at(100 + random.below(300), () => connection.worker.reconnect(), connection.worker);
    }
    if (this.#happens('claim upon claim')) this.#reconnect(connection.worker);
  }

  #happens(kind: Kind): boolean {
    const rate = this.#rates.get(kind);
    return rate !== undefined && this.#world.random.unit() < rate;
  }

  #reassignSoon(): void {
    const { random, events } = this.#world;
    events.at(random.below(1_500), () => this.#world.reassign());
  }

  #reconnect(worker: SimWorker): void {
    const { random, events } = this.#world;
    events.at(random.below(400), () => worker.reconnect(), worker);
  }
}

/** Nothing arrives on that class and direction before. */
function slow(connection: SimConnection, lane: string, untilMs: number): void {
  connection.lastMs.set(lane, Math.max(connection.lastMs.get(lane) ?? 0, untilMs));
}
