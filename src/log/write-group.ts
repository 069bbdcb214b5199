import type { Segment } from './segment.js';
import type { Slab } from './tail.js';

/** A stretch of a group's bytes, to be put at `position` of the segment; `end` is one past its last record. */
export interface GroupPart {
  readonly chunks: readonly Uint8Array[];
  readonly position: number;
  readonly end: number;
}

/** Batches that one sync makes durable, all in one segment; one write puts them there, or several with a flush interval. */
export class WriteGroup {
  readonly segment: Segment;
  /** Position of its first byte in the segment. */
  readonly position: number;
  /** Offset of its first record. */
  readonly base: number;
  length = 0;
  /** Position of its last batch in the segment. */
  lastPosition: number;
  /** One past its last record. */
  end = 0;
  #chunks: Uint8Array[] = [];
  #slab: Slab | undefined;
  #slabFrom = 0;
  #slabTo = 0;
  /** Bytes that were taken for writing. */
  #taken = 0;

  constructor(segment: Segment, position: number, base: number) {
    this.segment = segment;
    this.position = position;
    this.base = base;
    this.lastPosition = position;
  }

  /** Takes the `length` bytes that were just added to the end of `slab`. */
  add(slab: Slab, length: number, end: number): void {
    if (slab !== this.#slab) {
      this.#flushSlab();
      this.#slab = slab;
      this.#slabFrom = slab.length - length;
    }
    this.#slabTo = slab.length;
    this.lastPosition = this.position + this.length;
    this.length += length;
    this.end = end;
  }

  /** True while something was added and not taken. */
  get hasMore(): boolean {
    return this.length > this.#taken;
  }

  /** What was added since the last take, which is to be written now. */
  take(): GroupPart {
    this.#flushSlab();
    this.#slab = undefined;
    const part = { chunks: this.#chunks, position: this.position + this.#taken, end: this.end };
    this.#chunks = [];
    this.#taken = this.length;
    return part;
  }

  #flushSlab(): void {
    if (this.#slab !== undefined) this.#chunks.push(this.#slab.bytes.subarray(this.#slabFrom, this.#slabTo));
  }
}
