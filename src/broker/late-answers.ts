import type { Timers } from '../timer/timers.js';

/** What is done later for the sake of a quota. At the end nobody waits any more: all of it is done then, at once. */
export class LateAnswers {
  readonly #timers: Timers;
  readonly #waiting = new Map<() => void, number>();
  #isStopped = false;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** Calls `answer` in `lateMs`, or now when that is 0 or less, or when this was stopped. */
  after(lateMs: number, answer: () => void): void {
    if (lateMs <= 0 || this.#isStopped) {
      answer();
      return;
    }
    const handle = this.#timers.after(lateMs, () => {
      this.#waiting.delete(answer);
      answer();
    });
    this.#waiting.set(answer, handle);
  }

  /** Calls all that wait, in the order in which they came. */
  stop(): void {
    this.#isStopped = true;
    for (const [answer, handle] of this.#waiting) {
      this.#timers.cancel(handle);
      answer();
    }
    this.#waiting.clear();
  }
}
