import type { MetricSet } from '../../base/counters.js';

const boundsMs = [1, 2, 5, 10, 20, 50, 100, 1_000, 10_000] as const;

/** By how much delivered records were late: a histogram. */
export class Lateness {
  readonly #counts: number[] = new Array(boundsMs.length + 1).fill(0);
  #sumMs = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(lateMs: number): void {
    let at = 0;
    while (at < boundsMs.length && lateMs > boundsMs[at]!) at++;
    this.#counts[at]!++;
    this.#sumMs += Math.max(0, lateMs);
    this.#count++;
  }

  /** Delivered within `boundsMs[index]`; all for the index after the last. */
  #within(index: number): number {
    let sum = 0;
    for (let i = 0; i <= index; i++) sum += this.#counts[i]!;
    return sum;
  }

  register(metrics: MetricSet): void {
    const name = 'delay_late_ms';
    boundsMs.forEach((bound, index) => {
      const labels = { le: String(bound) };
      metrics.counter(`${name}_bucket`, 'Delayed records delivered so late', () => this.#within(index), labels);
    });
    metrics.counter(`${name}_bucket`, 'Delayed records delivered so late', () => this.#count, { le: '+Inf' });
    metrics.counter(`${name}_sum`, 'Milliseconds by which delayed records were late', () => this.#sumMs);
    metrics.counter(`${name}_count`, 'Delayed records delivered', () => this.#count);
  }
}
