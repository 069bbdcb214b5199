import { ErrorCode, TaskdError } from '../base/errors.js';

/**
 * Buffers up to this are free: the small frames of honest peers go on crossing chunks while somebody else has used the
 * budget up. How many there are is bounded by the connections.
 */
export const freeGatherBytes: number = 4 * 1024;

/** Memory that all decoders of one server may together hold for frames that are not complete. */
export class GatherBudget {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes taken and not given back. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * What a decoder owes for a buffer of `capacity` bytes instead of the `owed` that it has taken for the one before.
   * Throws BUSY, and takes nothing, when that is more than is left.
   */
  grow(owed: number, capacity: number): number {
    const owing = capacity <= freeGatherBytes ? 0 : capacity;
    if (this.#bytes + owing - owed > this.#bytesMax) {
      throw new TaskdError(
        ErrorCode.BUSY,
        `the unfinished frames of all connections may hold ${this.#bytesMax} bytes (gatheredBytesMax) and ` +
          `${this.#bytes} are held; this one needs ${owing - owed} more: send less at once`,
      );
    }
    this.#bytes += owing - owed;
    return owing;
  }

  giveBack(owed: number): void {
    this.#bytes -= owed;
  }
}
