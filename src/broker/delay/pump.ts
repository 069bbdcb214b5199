import type { Clock, Timer } from '../../runtime/clock.js';

/**
 * When a driver looks for something to do: at the end of a turn that has woken it, and when the soonest of the waits
 * that it asked for is over. A look that finds nothing does no harm.
 */
export class Pump {
  readonly #clock: Clock;
  readonly #look: () => void;
  #isAwake = false;
  #isStopped = false;
  #timer: Timer | undefined;
  /** When the timer fires, on the monotonic clock. */
  #timerMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, look: () => void) {
    this.#clock = clock;
    this.#look = look;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Looks once at the end of this turn, however often it is called. */
  wake(): void {
    if (this.#isAwake || this.#isStopped) return;
    this.#isAwake = true;
    this.#clock.defer(() => {
      this.#isAwake = false;
      if (!this.#isStopped) this.#look();
    });
  }

  /** Wakes in `delayMs` at the latest. */
  wakeIn(delayMs: number): void {
    const atMs = this.#clock.monotonicMs() + delayMs;
    if (this.#isStopped || atMs >= this.#timerMs) return;
    this.#timer?.cancel();
    this.#timerMs = atMs;
    this.#timer = this.#clock.timer(delayMs, () => {
      this.#timerMs = Number.POSITIVE_INFINITY;
      this.wake();
    });
  }

  /** Looks no more. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }
}
