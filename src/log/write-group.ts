import type { Segment } from './segment.js';
import type { Slab } from './tail.js';

/** Batches that one write puts on disk and one sync makes durable, all in one segment. */
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
  readonly #chunks: Uint8Array[] = [];
  #slab: Slab | undefined;
  #slabFrom = 0;
  #slabTo = 0;

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

  /** The group's bytes; nothing is added after this. */
  seal(): readonly Uint8Array[] {
    this.#flushSlab();
    this.#slab = undefined;
    return this.#chunks;
  }

  #flushSlab(): void {
    if (this.#slab !== undefined) this.#chunks.push(this.#slab.bytes.subarray(this.#slabFrom, this.#slabTo));
  }
}
