/** A token bucket: `burst` at once, `perSecond` in the long run. For what a peer may do, but not without end. */
export class Budget {
  readonly #burst: number;
  readonly #perMs: number;
  #tokens: number;
  #atMs: number | undefined;

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perMs = perSecond / 1000;
    this.#tokens = burst;
  }

  /** Takes one; false when there is none left. */
  take(nowMs: number): boolean {
    this.#atMs ??= nowMs;
    if (this.#tokens < 1) {
      const earned = (nowMs - this.#atMs) * this.#perMs;
      this.#tokens = Math.min(this.#burst, this.#tokens + earned);
      this.#atMs = nowMs;
      if (this.#tokens < 1) return false;
    }
    this.#tokens--;
    return true;
  }
}
