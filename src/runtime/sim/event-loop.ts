import type { Timer } from '../clock.js';
import { type Due, DueHeap } from '../due-heap.js';

/** Whose code an event runs: one incarnation of a simulated process. */
export interface EventOwner {
  readonly isAlive: boolean;
  /** Its events wait until then; at or below now while it runs. */
  readonly pausedUntilMs: number;
}

/** Something that happens at a virtual time. Without an owner it belongs to the world: the network, a disk, a test. */
export class SimEvent implements Due, Timer {
  dueMs: number;
  order: number;
  readonly owner: EventOwner | undefined;
  readonly run: () => void;
  index = -1;
  readonly #heap: DueHeap<SimEvent>;

  constructor(heap: DueHeap<SimEvent>, dueMs: number, order: number, owner: EventOwner | undefined, run: () => void) {
    this.#heap = heap;
    this.dueMs = dueMs;
    this.order = order;
    this.owner = owner;
    this.run = run;
  }

  cancel(): void {
    this.#heap.remove(this);
  }
}

/** Times are multiples of 2^-10 ms, about a microsecond, so that sums of them are exact. */
const ticksPerMs = 1024;

/** Events of one instant after which the world counts as stuck. */
const instantEventsMax = 1_000_000;

/**
 * The world's one queue of events in virtual time. `nowMs` moves only from event to event. Events of one instant run
 * in the order in which they were planned.
 */
export class EventLoop {
  nowMs = 0;
  /** A digest of all that happened; equal for equal seeds. */
  digest = 0;
  /** Events run so far. */
  count = 0;
  readonly #events = new DueHeap<SimEvent>();
  #order = 0;
  #instantEvents = 0;

  /** Plans `run` for `delayMs` from now. It is dropped if `owner` is dead by then, and waits while it is paused. */
  at(delayMs: number, owner: EventOwner | undefined, run: () => void): SimEvent {
    const dueMs = Math.ceil((this.nowMs + delayMs) * ticksPerMs) / ticksPerMs;
    const event = new SimEvent(this.#events, dueMs, this.#order++, owner, run);
    this.#events.push(event);
    return event;
  }

  /** Events that are planned for an owner. */
  plannedFor(owner: EventOwner): number {
    let count = 0;
    for (const event of this.#events.entries()) if (event.owner === owner) count++;
    return count;
  }

  /** When the next event is due; undefined when nothing is planned. */
  nextDueMs(): number | undefined {
    return this.#events.peek()?.dueMs;
  }

  /** Takes the next event whose owner lives and runs, and moves time to it. Undefined when none is due by `untilMs`. */
  next(untilMs: number): SimEvent | undefined {
    for (;;) {
      const event = this.#events.peek();
      if (event === undefined || event.dueMs > untilMs) return undefined;
      this.#events.remove(event);
      const owner = event.owner;
      if (owner !== undefined) {
        if (!owner.isAlive) continue;
        if (owner.pausedUntilMs > event.dueMs) {
          event.dueMs = owner.pausedUntilMs;
          event.order = this.#order++; // What was due first still comes first.
          this.#events.push(event);
          continue;
        }
      }
      this.#advance(event);
      return event;
    }
  }

  /** Adds a number to the digest. */
  note(value: number): void {
    const mixed = Math.imul(this.digest ^ value, 0x9e37_79b1);
    this.digest = (mixed ^ (mixed >>> 15)) >>> 0;
  }

  #advance(event: SimEvent): void {
    if (event.dueMs > this.nowMs) {
      this.nowMs = event.dueMs;
      this.#instantEvents = 0;
    } else if (++this.#instantEvents > instantEventsMax) {
      throw new Error(`time stands still at ${this.nowMs} ms: code plans itself again without a delay`);
    }
    this.count++;
    this.note(event.order);
    this.note(Math.floor(event.dueMs * 1000));
  }
}
