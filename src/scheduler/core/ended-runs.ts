/** Runs that came to their end, the latest `max`: a ring of slots. The oldest makes room for the next. */
export class EndedRuns {
  readonly #max: number;
  #slots: Uint32Array;
  #first = 0;
  #size = 0;

  constructor(max: number) {
    this.#max = Math.max(1, max);
    this.#slots = new Uint32Array(Math.min(this.#max, 1_024));
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a run; returns the slot that has to go for it, or 0. */
  add(slot: number): number {
    let evicted = 0;
    if (this.#size === this.#slots.length) {
      if (this.#size < this.#max) {
        // Nothing was evicted yet, so the first lies at 0.
        const slots = new Uint32Array(Math.min(this.#max, this.#slots.length * 2));
        slots.set(this.#slots);
        this.#slots = slots;
      } else {
        evicted = this.#slots[this.#first]!;
        this.#first = (this.#first + 1) % this.#slots.length;
        this.#size--;
      }
    }
    this.#slots[(this.#first + this.#size) % this.#slots.length] = slot;
    this.#size++;
    return evicted;
  }
}
