import { ErrorCode, Retry, TaskdError } from '../base/errors.js';

/** Someone who waits for the shard to get on. `done` without an error means that it has. */
export interface Waiter {
  readonly done: (error: TaskdError | undefined) => void;
}

/** Waiters of one shard in all. */
export const waitersMax = 100_000;

/**
 * Who waits for an offset to be applied, for a verdict, or for a run's end. Bounded; a waiter that loses interest is
 * forgotten through the function that it was given.
 */
export class Waiters {
  readonly #byOffset: Map<number, Set<Waiter>> = new Map<number, Set<Waiter>>();
  /** When the waiters for offsets came, monotonic. */
  readonly #arrivals: Map<number, number> = new Map<number, number>();
  readonly #byProposal: Map<number, Set<Waiter>> = new Map<number, Set<Waiter>>();
  readonly #byRun: Map<number, Set<Waiter>> = new Map<number, Set<Waiter>>();
  #lowestOffset: number = Number.POSITIVE_INFINITY;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /**
   * `done` once the record at `offset` has been applied, or a look at the log that began after `arrivedMs` has shown
   * that there is none. Returns how to forget it.
   */
  awaitApplied(offset: number, arrivedMs: number, waiter: Waiter): () => void {
    if (offset < this.#lowestOffset) this.#lowestOffset = offset;
    this.#arrivals.set(offset, arrivedMs);
    return this.#add(this.#byOffset, offset, waiter);
  }

  awaitDecided(offset: number, waiter: Waiter): () => void {
    return this.#add(this.#byProposal, offset, waiter);
  }

  awaitEnded(run: number, waiter: Waiter): () => void {
    return this.#add(this.#byRun, run, waiter);
  }

  applied(nextOffset: number): void {
    if (nextOffset <= this.#lowestOffset) return;
    this.#lowestOffset = Number.POSITIVE_INFINITY;
    const ready: number[] = [];
    for (const offset of this.#byOffset.keys()) {
      if (offset < nextOffset) ready.push(offset);
      else if (offset < this.#lowestOffset) this.#lowestOffset = offset;
    }
    for (const offset of ready) this.#settle(this.#byOffset, offset);
  }

  /** A look at the log's end that began at `beganMs` was answered, and all that it showed is applied. */
  looked(beganMs: number): void {
    for (const [offset, arrivedMs] of this.#arrivals) if (arrivedMs <= beganMs) this.#settle(this.#byOffset, offset);
  }

  decided(offset: number): void {
    this.#settle(this.#byProposal, offset);
  }

  ended(run: number): void {
    this.#settle(this.#byRun, run);
  }

  failAll(error: TaskdError): void {
    for (const map of [this.#byOffset, this.#byProposal, this.#byRun]) {
      for (const key of [...map.keys()]) this.#settle(map, key, error);
    }
    this.#lowestOffset = Number.POSITIVE_INFINITY;
  }

  #add(map: Map<number, Set<Waiter>>, key: number, waiter: Waiter): () => void {
    if (this.#count >= waitersMax) {
      waiter.done(
        new TaskdError(ErrorCode.BUSY, `${waitersMax} questions wait on this shard already`, {
          retry: Retry.AFTER,
          retryAfterMs: 1_000,
        }),
      );
      return () => {};
    }
    let set = map.get(key);
    if (set === undefined) map.set(key, (set = new Set()));
    set.add(waiter);
    this.#count++;
    return () => {
      const now = map.get(key);
      if (!now?.delete(waiter)) return;
      this.#count--;
      if (now.size === 0) this.#settle(map, key);
    };
  }

  #settle(map: Map<number, Set<Waiter>>, key: number, error?: TaskdError): void {
    if (map === this.#byOffset) this.#arrivals.delete(key);
    const set = map.get(key);
    if (set === undefined) return;
    map.delete(key);
    this.#count -= set.size;
    for (const waiter of set) waiter.done(error);
  }
}
