import type { Random } from '../runtime/random.js';

/**
 * Waits between attempts: a random part of a bound that doubles from `firstMs` to `maxMs` ("full jitter", as in
 * Amazon's "Exponential Backoff And Jitter"), so that many who failed together don't come back together.
 */
export class Backoff {
  readonly #random: Random;
  readonly #firstMs: number;
  readonly #maxMs: number;
  #failures = 0;

  constructor(random: Random, firstMs: number, maxMs: number) {
    this.#random = random;
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds to wait after one more failure. */
  failed(): number {
    const bound = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(30, this.#failures));
    this.#failures++;
    return this.#random.unit() * bound;
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
