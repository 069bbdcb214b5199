import type { TaskdError } from '../base/errors.js';

/** Someone who waits until the log has passed `endOffset`. Exactly one of the two is called, once. */
export interface CommitWaiter {
  readonly endOffset: number;
  /** True for someone who would rather be told that the disk is full than wait until there is room. */
  readonly leavesWhenFull?: boolean;
  committed(): void;
  failed(error: TaskdError): void;
}

/** Waiters in the order in which they came; each is answered when all before it were, or later. */
export class CommitWaiters {
  #waiters: CommitWaiter[] = [];

  /** `reached` is how far the log has come: a waiter for less is answered in this turn unless others are before it. */
  add(waiter: CommitWaiter, reached: number): void {
    this.#waiters.push(waiter);
    if (this.#waiters.length === 1 && waiter.endOffset <= reached) this.settle(reached);
  }

  /** Answers those at the front that waited for `end` or less. */
  settle(end: number): void {
    const waiters = this.#waiters;
    let done = 0;
    while (done < waiters.length && waiters[done]!.endOffset <= end) done++;
    if (done === 0) return;
    this.#waiters = done === waiters.length ? [] : waiters.slice(done);
    for (let i = 0; i < done; i++) waiters[i]!.committed();
  }

  /** Fails those who don't wait for room on a full disk. */
  leave(error: TaskdError): void {
    const leaving = this.#waiters.filter(({ leavesWhenFull }) => leavesWhenFull === true);
    if (leaving.length === 0) return;
    this.#waiters = this.#waiters.filter(({ leavesWhenFull }) => leavesWhenFull !== true);
    for (const waiter of leaving) waiter.failed(error);
  }

  fail(error: TaskdError): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.failed(error);
  }
}
