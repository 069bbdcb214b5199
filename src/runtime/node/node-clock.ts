import type { Clock, Timer } from '../clock.js';
import { type Due, DueHeap } from '../due-heap.js';

/** The longest delay that Node's `setTimeout` takes; longer ones are reached in several waits. */
const nodeDelayMaxMs = 0x7fff_ffff;

/**
 * Milliseconds from the origin of libuv's own clock to that of `performance.now()`. With it, a whole millisecond here
 * begins when the loop's does, so that a timer for a whole millisecond is neither early nor a millisecond late.
 */
const loopOffsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

class NodeTimer implements Timer, Due {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
  index = -1;
  readonly #forget: (timer: NodeTimer) => void;

  constructor(forget: (timer: NodeTimer) => void, dueMs: number, order: number, callback: () => void) {
    this.#forget = forget;
    this.dueMs = dueMs;
    this.order = order;
    this.callback = callback;
  }

  cancel(): void {
    this.#forget(this);
  }
}

/**
 * The system's clock. All timers share one `setTimeout`: Node may run a timeout before its time has come by the
 * monotonic clock, and orders timeouts of different lengths as it likes, so due times are kept here, in whole
 * milliseconds rounded up, and a wake-up that comes early only waits again.
 */
export class NodeClock implements Clock {
  readonly #timers = new DueHeap<NodeTimer>();
  #order = 0;
  #armed: NodeJS.Timeout | undefined;
  #armedDueMs = Number.POSITIVE_INFINITY;
  #deferred: (() => void)[] = [];
  #immediate: NodeJS.Immediate | undefined;

  monotonicMs(): number {
    return performance.now() + loopOffsetMs;
  }

  wallMs(): number {
    return Date.now();
  }

  timer(delayMs: number, callback: () => void): Timer {
    const dueMs = Math.ceil(this.monotonicMs() + Math.max(0, delayMs));
    const timer = new NodeTimer(this.#forget, dueMs, this.#order++, callback);
    this.#timers.push(timer);
    if (dueMs < this.#armedDueMs) this.#arm(dueMs);
    return timer;
  }

  defer(callback: () => void): void {
    this.#deferred.push(callback);
    this.#immediate ??= setImmediate(this.#flush);
  }

  #arm(dueMs: number): void {
    this.#disarm();
    this.#armedDueMs = dueMs;
    const waitMs = Math.ceil(dueMs - Math.floor(this.monotonicMs()));
    this.#armed = setTimeout(this.#wake, Math.min(Math.max(1, waitMs), nodeDelayMaxMs));
  }

  readonly #forget = (timer: NodeTimer): void => {
    this.#timers.remove(timer);
    if (this.#timers.size === 0) this.#disarm(); // Or the process would live on for nothing.
  };

  #disarm(): void {
    if (this.#armed !== undefined) clearTimeout(this.#armed);
    this.#armed = undefined;
    this.#armedDueMs = Number.POSITIVE_INFINITY;
  }

  readonly #wake = (): void => {
    this.#disarm();
    try {
      // What the last turn deferred comes before any timer of this one.
      if (this.#deferred.length > 0) this.#flush();
      const nowMs = this.monotonicMs();
      const end = this.#order;
      for (let next = this.#timers.peek(); next !== undefined; next = this.#timers.peek()) {
        // A timer that a callback of this turn has set waits for the next one.
        if (next.dueMs > nowMs || next.order >= end) break;
        this.#timers.remove(next);
        next.callback();
      }
    } finally {
      const next = this.#timers.peek();
      if (next !== undefined && next.dueMs < this.#armedDueMs) this.#arm(next.dueMs);
    }
  };

  readonly #flush = (): void => {
    if (this.#immediate !== undefined) {
      clearImmediate(this.#immediate);
      this.#immediate = undefined;
    }
    const callbacks = this.#deferred;
    this.#deferred = [];
    for (const callback of callbacks) callback();
  };
}
