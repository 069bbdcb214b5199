/** When a number that only grows is worth a line in the log: at its first rise, and after each further `step`. */
export class Milestones {
  readonly #step: number;
  #next = 1;

  constructor(step: number) {
    this.#step = step;
  }

  /** True when `count` has come to the next milestone. */
  reached(count: number): boolean {
    if (count < this.#next) return false;
    this.#next = count + this.#step;
    return true;
  }
}
