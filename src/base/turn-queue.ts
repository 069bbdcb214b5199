/** One urgent waiter after another goes first, but of so many turns one is for the others while they wait. */
const ordinaryEvery = 8;

/**
 * Who may use a device next: at most `runningMax` at once, the urgent first, within a kind in the order in which they
 * came. Somebody who asks again only after the last turn has ended stands behind all who wait already, so that first come
 * first served is round robin.
 */
export class TurnQueue<T> {
  readonly #runningMax: number;
  readonly #urgent: T[] = [];
  readonly #ordinary: T[] = [];
  #running = 0;
  #urgentInRow = 0;

  constructor(runningMax: number) {
    this.#runningMax = runningMax;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#urgent.length + this.#ordinary.length;
  }

  /** True when `who` has a turn at once; otherwise a later `done` names it. */
  ask(who: T, isUrgent: boolean): boolean {
    if (this.#running < this.#runningMax) {
      this.#running++;
      return true;
    }
    (isUrgent ? this.#urgent : this.#ordinary).push(who);
    return false;
  }

  /** A turn has ended. Names the one whose turn begins with that. */
  done(): T | undefined {
    const next = this.#next();
    if (next === undefined) this.#running--;
    return next;
  }

  #next(): T | undefined {
    const isOrdinarysTurn = this.#urgentInRow >= ordinaryEvery - 1 && this.#ordinary.length > 0;
    if (this.#urgent.length > 0 && !isOrdinarysTurn) {
      this.#urgentInRow++;
      return this.#urgent.shift();
    }
    this.#urgentInRow = 0;
    return this.#ordinary.shift();
  }
}
