import { assert } from './errors.js';

/** Each bucket's upper end is so much above its lower one. */
const growth = 1.1;
/** Values up to here share the first bucket; in milliseconds a microsecond. */
const smallest = 0.001;
/** From there to over three hours, in milliseconds. */
const buckets = 256;

/**
 * What values of late have been like: the weight of all is halved whenever there are `countMax`, so that about the last
 * so many count. A percentile is right to within a tenth of itself.
 */
export class DecayingHistogram {
  readonly #counts = new Float64Array(buckets);
  readonly #countMax: number;
  #count = 0;
  /** The last percentile that was asked for, until something is recorded. */
  #known: { readonly percent: number; readonly value: number } | undefined;

  constructor(countMax: number) {
    assert(countMax > 1, 'a histogram that forgets all it is told');
    this.#countMax = countMax;
  }

  /** What the values weigh, those of the past less than one each. */
  get count(): number {
    return this.#count;
  }

  record(value: number): void {
    const bucket = value <= smallest ? 0 : Math.ceil(Math.log(value / smallest) / Math.log(growth));
    this.#counts[Math.min(buckets - 1, bucket)]!++;
    this.#count++;
    this.#known = undefined;
    if (this.#count < this.#countMax) return;
    this.#count = 0;
    for (let i = 0; i < buckets; i++) {
      this.#counts[i]! /= 2;
      this.#count += this.#counts[i]!;
    }
  }

  /** What `percent` of the values do not exceed, rounded up; 0 when there are none. */
  percentile(percent: number): number {
    if (this.#known?.percent === percent) return this.#known.value;
    const value = this.#percentile(percent);
    this.#known = { percent, value };
    return value;
  }

  #percentile(percent: number): number {
    if (this.#count === 0) return 0;
    let left = (this.#count * percent) / 100;
    let bucket = 0;
    while (bucket < buckets - 1 && (left -= this.#counts[bucket]!) > 0) bucket++;
    return smallest * growth ** bucket;
  }
}
