import type { Clock, Timer } from '../../src/runtime/clock.js';

/** A clock in the test's hand. Promises get their turns between timers, so drivers with awaits can be stepped. */
export class ManualClock implements Clock {
  ms = 0;
  #deferred: (() => void)[] = [];
  #pending: { atMs: number; callback: () => void }[] = [];

  monotonicMs(): number {
    return this.ms;
  }

  wallMs(): number {
    return 1_700_000_000_000 + Math.floor(this.ms);
  }

  timer(delayMs: number, callback: () => void): Timer {
    const entry = { atMs: this.ms + delayMs, callback };
    this.#pending.push(entry);
    return { cancel: () => void (this.#pending = this.#pending.filter((each) => each !== entry)) };
  }

  defer(callback: () => void): void {
    this.#deferred.push(callback);
  }

  get timersPending(): number {
    return this.#pending.length;
  }

  /** Lets promises settle and runs what was deferred, until nothing is left to do at this moment. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 3; idle++) {
      await new Promise(setImmediate);
      const deferred = this.#deferred;
      this.#deferred = [];
      if (deferred.length > 0) idle = -1;
      for (const callback of deferred) callback();
    }
  }

  /** Moves on by `byMs`, running every timer that becomes due, in order. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.ms + byMs;
    await this.settle();
    for (;;) {
      const next = this.#pending.filter((each) => each.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#pending.splice(this.#pending.indexOf(next), 1);
      this.ms = Math.max(this.ms, next.atMs);
      next.callback();
      await this.settle();
    }
    this.ms = untilMs;
  }
}
