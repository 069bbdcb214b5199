/**
 * Fetches that wait for data. Pure bookkeeping: who waits, on which partitions; the owner starts the timers.
 *
 * A waiting fetch leaves in one of three ways, and then is on no list any more: data came (`wake`), its time is over or
 * its caller left (`remove`). Whoever takes one out answers it.
 */

/** One waiting fetch. `keys` are the partitions it waits for, by `placeOf`. */
export interface Waiting {
  readonly keys: readonly number[];
}

export class Purgatory<W extends Waiting> {
  readonly #byKey = new Map<number, Set<W>>();
  readonly #all = new Set<W>();
  readonly #waitingMax: number;

  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  get size(): number {
    return this.#all.size;
  }

  /** False when too many wait already: the fetch must be answered at once. */
  add(waiting: W): boolean {
    if (this.#all.size >= this.#waitingMax) return false;
    this.#all.add(waiting);
    for (const key of waiting.keys) {
      const set = this.#byKey.get(key);
      if (set === undefined) this.#byKey.set(key, new Set([waiting]));
      else set.add(waiting);
    }
    return true;
  }

  /** Takes `waiting` out; false when it is gone already. */
  remove(waiting: W): boolean {
    if (!this.#all.delete(waiting)) return false;
    for (const key of waiting.keys) {
      const set = this.#byKey.get(key);
      if (set === undefined) continue;
      set.delete(waiting);
      if (set.size === 0) this.#byKey.delete(key);
    }
    return true;
  }

  /** Takes out those waiting for `key` that `isReady` says can be answered, in the order in which they came. */
  wake(key: number, isReady: (waiting: W) => boolean): W[] {
    const set = this.#byKey.get(key);
    if (set === undefined) return [];
    const ready: W[] = [];
    for (const waiting of set) if (isReady(waiting)) ready.push(waiting);
    for (const waiting of ready) this.remove(waiting);
    return ready;
  }

  /** Takes out all of them. */
  drain(): W[] {
    const all = [...this.#all];
    this.#all.clear();
    this.#byKey.clear();
    return all;
  }
}
