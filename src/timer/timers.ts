import type { Clock, Timer } from '../runtime/clock.js';
import { TimingWheel } from './timing-wheel.js';

/**
 * Any number of timeouts on one timer of the clock, measured on the monotonic clock. The clock's timer is set to the
 * wheel's next busy slot, so an idle set of timers costs at most four wakes on the way to a far timeout.
 *
 * Nothing fires early: a wake before the due millisecond just sets the clock again. Callbacks run in the clock's turn,
 * by due time, then in the order in which they were set; one that throws doesn't take the others with it.
 */
export class Timers {
  readonly #clock: Clock;
  readonly #wheel: TimingWheel;
  /** Callbacks by the wheel's payload. */
  readonly #callbacks: (() => void)[] = [];
  readonly #freeSlots: number[] = [];
  #timer: Timer | undefined;
  #wakeMs: number = Number.POSITIVE_INFINITY;
  #isFiring = false;
  #isClosed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wheel = new TimingWheel(clock.monotonicMs());
  }

  /** Timeouts pending. */
  get size(): number {
    return this.#wheel.size;
  }

  /** Calls `callback` once, at least `delayMs` from now. The handle is a safe integer above 0. After `close`: never. */
  after(delayMs: number, callback: () => void): number {
    if (this.#isClosed) return 0;
    const slot = this.#freeSlots.pop() ?? this.#callbacks.length;
    this.#callbacks[slot] = callback;
    const dueMs = Math.ceil(this.#clock.monotonicMs() + Math.max(0, delayMs));
    const handle = this.#wheel.add(dueMs, slot);
    if (dueMs < this.#wakeMs && !this.#isFiring) this.#arm();
    return handle;
  }

  /** Forgets a timeout; harmless when it has fired already, and with handle 0. */
  cancel(handle: number): void {
    const slot = this.#wheel.payloadOf(handle);
    if (slot === undefined) return;
    this.#wheel.cancel(handle);
    this.#take(slot);
  }

  /** Forgets all timeouts and refuses new ones. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#callbacks.length = 0;
    this.#freeSlots.length = 0;
  }

  #take(slot: number): () => void {
    const callback = this.#callbacks[slot]!;
    this.#callbacks[slot] = nothing;
    this.#freeSlots.push(slot);
    return callback;
  }

  #arm(): void {
    if (this.#isClosed) return;
    const nextMs = this.#wheel.nextDueMs();
    if (nextMs === undefined) return;
    this.#timer?.cancel();
    this.#wakeMs = nextMs;
    this.#timer = this.#clock.timer(Math.max(0, nextMs - this.#clock.monotonicMs()), () => this.#wake());
  }

  #wake(): void {
    this.#timer = undefined;
    this.#wakeMs = Number.POSITIVE_INFINITY;
    this.#isFiring = true;
    try {
      this.#wheel.advance(this.#clock.monotonicMs(), (slot) => {
        if (!this.#isClosed) this.#take(slot)();
      });
    } finally {
      this.#isFiring = false;
      this.#arm();
    }
  }
}

function nothing(): void {}
