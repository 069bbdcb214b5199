import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { queuedCallsMax } from '../base/limits.js';
import type { PendingCall } from './pending-call.js';

/** Calls that wait to be sent, first come first served. Bounded: the next one fails with BUSY. */
export class CallQueue {
  #calls: (PendingCall | undefined)[] = [];
  #head = 0;
  #earliestDueMs = Number.POSITIVE_INFINITY;

  /** Places taken, those of calls that were given up meanwhile included. */
  get size(): number {
    return this.#calls.length - this.#head;
  }

  /** When the first of the calls falls due, or sooner. */
  get earliestDueMs(): number {
    return this.#earliestDueMs;
  }

  push(call: PendingCall): void {
    if (this.size >= queuedCallsMax) {
      call.fail(
        new TaskdError(
          ErrorCode.BUSY,
          `${queuedCallsMax} calls wait on this connection already; ask for less at once`,
          {
            retry: Retry.AFTER,
            retryAfterMs: 100,
          },
        ),
      );
      return;
    }
    this.#calls.push(call);
    if (call.dueMs < this.#earliestDueMs) this.#earliestDueMs = call.dueMs;
  }

  /** The next call that somebody still waits for. */
  shift(): PendingCall | undefined {
    while (this.#head < this.#calls.length) {
      const call = this.#calls[this.#head]!;
      this.#calls[this.#head++] = undefined;
      if (this.#head === this.#calls.length) {
        this.#calls.length = 0;
        this.#head = 0;
        this.#earliestDueMs = Number.POSITIVE_INFINITY;
      } else if (this.#head >= 1_024 && this.#head * 2 >= this.#calls.length) {
        this.#calls = this.#calls.slice(this.#head);
        this.#head = 0;
      }
      if (!call.isDone) return call;
    }
    return undefined;
  }

  /** Fails the calls whose time is over. */
  expire(nowMs: number): void {
    if (nowMs < this.#earliestDueMs) return;
    const kept: PendingCall[] = [];
    const expired: PendingCall[] = [];
    let earliestMs = Number.POSITIVE_INFINITY;
    for (let i = this.#head; i < this.#calls.length; i++) {
      const call = this.#calls[i]!;
      if (call.isDone) continue;
      if (call.dueMs <= nowMs) expired.push(call);
      else {
        kept.push(call);
        if (call.dueMs < earliestMs) earliestMs = call.dueMs;
      }
    }
    this.#calls = kept;
    this.#head = 0;
    this.#earliestDueMs = earliestMs;
    for (const call of expired) {
      call.fail(
        new TaskdError(ErrorCode.NOT_SENT, `${call.method.name}: it could not be sent before its deadline`, {
          retry: Retry.OTHER,
        }),
      );
    }
  }

  /** Empties the queue. */
  takeAll(): PendingCall[] {
    const all: PendingCall[] = [];
    for (let call = this.shift(); call !== undefined; call = this.shift()) all.push(call);
    return all;
  }
}
