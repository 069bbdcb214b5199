import { ErrorCode, TaskdError } from '../base/errors.js';

/**
 * Buffers up to this are free: the small frames of honest peers go on crossing chunks while somebody else has used the
 * budget up. How many there are is bounded by the connections.
 */
export const freeGatherBytes: number = 4 * 1024;

/**
 * The share of the budget that buffers of more than 256 KiB may hold: a few peers that never end their largest frames
 * must not keep everybody else's ordinary batches from crossing chunks.
 */
export const largeGatherShare = 0.75;
const largeBytes = 256 * 1024;

/** Buffers that wait to be used again, and how large one may be. */
const sparesMax = 8;
const spareBytesMax = 2 * 1024 * 1024;

/**
 * Memory that all decoders of one server may together hold for frames that are not complete. Large buffers are used
 * again: allocating them at the speed of the network keeps the garbage collector busy.
 */
export class GatherBudget {
  readonly #bytesMax: number;
  #bytes = 0;
  readonly #spares: Buffer[] = [];
  readonly #used: Buffer[] = [];

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
    const most = owing > largeBytes ? this.#bytesMax * largeGatherShare : this.#bytesMax;
    if (this.#bytes + owing - owed > most) {
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

  /** A buffer of at least `bytes` that is no longer used, if there is one. */
  spare(bytes: number): Buffer | undefined {
    const at = this.#spares.findIndex(({ length }) => length >= bytes);
    return at < 0 ? undefined : this.#spares.splice(at, 1)[0];
  }

  /** Takes a buffer whose frame was handed on; views of it hold until the turn ends. */
  used(buffer: Buffer): void {
    if (buffer.length > freeGatherBytes && buffer.length <= spareBytesMax) this.#used.push(buffer);
  }

  get hasUsed(): boolean {
    return this.#used.length > 0;
  }

  /** To be called between turns: what was used may be used again. The larger buffers are kept. */
  recycle(): void {
    const spares = this.#spares;
    spares.push(...this.#used);
    this.#used.length = 0;
    if (spares.length <= sparesMax) return;
    spares.sort((a, b) => a.length - b.length);
    spares.splice(0, spares.length - sparesMax);
  }
}
