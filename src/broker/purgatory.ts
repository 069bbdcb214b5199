/**
 * Fetches that wait for data. Pure bookkeeping: who waits, on which partitions; the owner starts the timers.
 *
 * A waiting fetch leaves in one of three ways, and then is on no list any more: data came (`wake`), its time is over or
 * its caller left (`remove`). Whoever takes one out answers it. What a fetch costs is its partitions, so those are
 * bounded too, in all and by connection.
 */

/** One waiting fetch. */
export interface Waiting {
  /** The partitions it waits for, by `placeOf`; each once. */
  readonly keys: readonly number[];
  /** Whose fetch it is. */
  readonly peerId: number;
}

export interface PurgatoryLimits {
  readonly waitingMax: number;
  /** Of all fetches that wait. */
  readonly keysMax: number;
  /** Of those of one peer. */
  readonly peerKeysMax: number;
}

export class Purgatory<W extends Waiting> {
  /** By key, who waits for it, and which of its keys that is. */
  readonly #byKey = new Map<number, Map<W, number>>();
  readonly #all = new Set<W>();
  readonly #limits: PurgatoryLimits;
  readonly #peerKeys = new Map<number, number>();
  #keys = 0;

  constructor(limits: PurgatoryLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Partitions that are waited for, once for each fetch. */
  get keys(): number {
    return this.#keys;
  }

  /** False when too many wait already: the fetch must be answered at once. */
  add(waiting: W): boolean {
    const { waitingMax, keysMax, peerKeysMax } = this.#limits;
    const { keys, peerId } = waiting;
    const peerKeys = (this.#peerKeys.get(peerId) ?? 0) + keys.length;
    if (this.#all.size >= waitingMax || this.#keys + keys.length > keysMax || peerKeys > peerKeysMax) return false;
    this.#all.add(waiting);
    this.#keys += keys.length;
    this.#peerKeys.set(peerId, peerKeys);
    keys.forEach((key, index) => {
      const waiters = this.#byKey.get(key);
      if (waiters === undefined) this.#byKey.set(key, new Map([[waiting, index]]));
      else waiters.set(waiting, index);
    });
    return true;
  }

  /** Takes `waiting` out; false when it is gone already. */
  remove(waiting: W): boolean {
    if (!this.#all.delete(waiting)) return false;
    const { keys, peerId } = waiting;
    this.#keys -= keys.length;
    const peerKeys = this.#peerKeys.get(peerId)! - keys.length;
    if (peerKeys > 0) this.#peerKeys.set(peerId, peerKeys);
    else this.#peerKeys.delete(peerId);
    for (const key of keys) {
      const waiters = this.#byKey.get(key);
      if (waiters === undefined) continue;
      waiters.delete(waiting);
      if (waiters.size === 0) this.#byKey.delete(key);
    }
    return true;
  }

  /**
   * Takes out those waiting for `key` that `isReady` says can be answered, in the order in which they came; `index` is
   * where the key stands among those of the fetch.
   */
  wake(key: number, isReady: (waiting: W, index: number) => boolean): W[] {
    const waiters = this.#byKey.get(key);
    if (waiters === undefined) return [];
    const ready: W[] = [];
    for (const [waiting, index] of waiters) if (isReady(waiting, index)) ready.push(waiting);
    for (const waiting of ready) this.remove(waiting);
    return ready;
  }

  /** Takes out all of them. */
  drain(): W[] {
    const all = [...this.#all];
    this.#all.clear();
    this.#byKey.clear();
    this.#peerKeys.clear();
    this.#keys = 0;
    return all;
  }
}
