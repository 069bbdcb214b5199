import { writeStallBytes, writeStallMs } from '../base/limits.js';

/**
 * Tells whether a peer takes what waits for it: within `writeStallMs` all of that, or `writeStallBytes` of it. Looked at
 * now and then; a slow peer goes on, one that reads a byte now and then does not.
 */
export class StallWatch {
  /** Undefined while nothing waits. */
  #sinceMs: number | undefined;
  /** So many bytes must have left in all by then. */
  #goal = 0;

  /** `left`: bytes that have left in all; `queued`: bytes that wait. True when the peer had its time. */
  isStalled(nowMs: number, left: number, queued: number): boolean {
    if (queued === 0) this.#sinceMs = undefined;
    else if (this.#sinceMs === undefined || left >= this.#goal) {
      this.#sinceMs = nowMs;
      this.#goal = left + Math.min(queued, writeStallBytes);
    }
    return this.#sinceMs !== undefined && nowMs - this.#sinceMs >= writeStallMs;
  }

  /** We did not run ourselves: the peer's time begins anew. */
  restart(nowMs: number): void {
    if (this.#sinceMs !== undefined) this.#sinceMs = nowMs;
  }
}
