/**
 * Counts values in buckets whose width grows with the value, so that a percentile is right to within 1/64 of itself,
 * whatever the range (the idea of Gil Tene's HdrHistogram). Values are whole numbers from 0 to 2^32 - 1.
 */
const subBits = 6;
const subBuckets = 1 << subBits;

export class Histogram {
  readonly #counts = new Float64Array(subBuckets * (33 - subBits));
  #total = 0;

  get total(): number {
    return this.#total;
  }

  record(value: number): void {
    const whole = value < 0 ? 0 : Math.min(0xffff_ffff, Math.round(value));
    const shift = Math.max(0, 32 - Math.clz32(whole) - subBits);
    this.#counts[shift * subBuckets + (whole >>> shift)]!++;
    this.#total++;
  }

  /** The value that `percent` of all do not exceed. */
  percentile(percent: number): number {
    let left = Math.ceil((this.#total * percent) / 100);
    for (let i = 0; i < this.#counts.length; i++) {
      left -= this.#counts[i]!;
      if (left <= 0 && this.#counts[i]! > 0) {
        const shift = Math.floor(i / subBuckets);
        return ((i % subBuckets) + 0.5) * 2 ** shift;
      }
    }
    return 0;
  }
}
