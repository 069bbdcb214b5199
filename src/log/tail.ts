/**
 * The hot end of a log in memory. A batch is copied once, into a slab; the write group is written from there, and
 * readers near the end are served views of it. Slabs are never written again where a batch lies, so a view stays good
 * for as long as somebody holds it. A slab of which no view was ever given away is used again when its batches have gone:
 * memory outside the heap that comes and goes at the speed of the disk keeps the garbage collector busy.
 */
import { above } from './sparse-index.js';

const slabBytesMin = 16 * 1024;
const slabBytesMax = 1024 * 1024;
/** Slabs that wait to be used again, over all logs. */
const spareSlabsMax = 8;
/** What one log keeps at most, besides what isn't synced yet. */
const tailBytesMax = 8 * 1024 * 1024;

/** A piece of memory with batches back to back. */
export class Slab {
  readonly tail: Tail;
  readonly bytes: Uint8Array;
  /** Bytes used. */
  length = 0;
  /** Base offset and position of each batch. */
  readonly bases: number[] = [];
  readonly positions: number[] = [];
  /** One past the last record. */
  end = 0;
  /** Somebody may hold a view of it. */
  isLent = false;

  constructor(tail: Tail, bytes: Uint8Array) {
    this.tail = tail;
    this.bytes = bytes;
  }

  /** Notes the batch of `length` bytes that the caller has put at `this.length`. */
  added(base: number, end: number, length: number): void {
    this.bases.push(base);
    this.positions.push(this.length);
    this.length += length;
    this.end = end;
  }
}

/** Bounds the tails of all logs together: the slab that was begun first goes first. */
export class TailBudget {
  readonly #bytesMax: number;
  #bytes = 0;
  readonly #slabs = new Set<Slab>();
  readonly #spare: Uint8Array[] = [];

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  admit(slab: Slab): void {
    this.#slabs.add(slab);
    this.#bytes += slab.bytes.length;
  }

  /** Drops the oldest slabs while there is too much, up to one that isn't on disk yet. */
  trim(): void {
    while (this.#bytes > this.#bytesMax) {
      const oldest = this.#slabs.values().next().value;
      if (oldest === undefined || !oldest.tail.dropFirst()) return;
    }
  }

  release(slab: Slab): void {
    if (this.#slabs.delete(slab)) this.#bytes -= slab.bytes.length;
  }

  /** Takes the memory of a released slab whose batches are on disk, for another slab. */
  recycle({ bytes, isLent }: Slab): void {
    if (!isLent && bytes.length === slabBytesMax && this.#spare.length < spareSlabsMax) this.#spare.push(bytes);
  }

  /** At least `length` bytes, of whatever content. */
  memory(length: number): Uint8Array {
    const spare = length <= slabBytesMax && length > slabBytesMax / 2 ? this.#spare.pop() : undefined;
    return spare ?? Buffer.allocUnsafeSlow(length);
  }
}

/** The slabs of one log, oldest first, without a gap between them. */
export class Tail {
  readonly #budget: TailBudget;
  readonly #slabs: Slab[] = [];
  #bytes = 0;
  #syncedEnd: number;
  #nextSlabBytes = slabBytesMin;

  constructor(budget: TailBudget, syncedEnd: number) {
    this.#budget = budget;
    this.#syncedEnd = syncedEnd;
  }

  /** A slab with `length` bytes of room, to be filled at its `length`. */
  slabFor(length: number): Slab {
    const last = this.#slabs.at(-1);
    if (last !== undefined && last.bytes.length - last.length >= length) return last;
    const slab = new Slab(this, this.#budget.memory(Math.max(length, this.#nextSlabBytes)));
    this.#nextSlabBytes = Math.min(this.#nextSlabBytes * 2, slabBytesMax);
    this.#slabs.push(slab);
    this.#bytes += slab.bytes.length;
    this.#budget.admit(slab);
    return slab;
  }

  /** Moves the end of what may be read and dropped, and drops what is too much. */
  synced(end: number): void {
    this.#syncedEnd = end;
    while (this.#bytes > tailBytesMax && this.dropFirst()) {}
    this.#budget.trim();
  }

  /** Everything is let go, after a cut: what remains of the log is in its files, up to `end`. */
  clear(end: number): void {
    this.#syncedEnd = end;
    for (const slab of this.#slabs) this.#budget.release(slab);
    this.#slabs.length = 0;
    this.#bytes = 0;
  }

  /** Lets go of the oldest slab; false when it holds what isn't on disk yet. */
  dropFirst(): boolean {
    const first = this.#slabs[0];
    if (first === undefined || first.end > this.#syncedEnd) return false;
    this.#slabs.shift();
    this.#bytes -= first.bytes.length;
    this.#budget.release(first);
    this.#budget.recycle(first);
    return true;
  }

  /**
   * Synced batches from the one that holds `offset`, at most `bytesMax` bytes but at least one batch; undefined when
   * that one isn't here.
   */
  read(offset: number, bytesMax: number): Uint8Array[] | undefined {
    const slabs = this.#slabs;
    if (slabs.length === 0 || slabs[0]!.bases.length === 0 || offset < slabs[0]!.bases[0]!) return undefined;
    let at = slabs.length - 1;
    while (at > 0 && (slabs[at]!.bases.length === 0 || slabs[at]!.bases[0]! > offset)) at--;
    const chunks: Uint8Array[] = [];
    let batch = above(slabs[at]!.bases, offset) - 1;
    for (let room = bytesMax; at < slabs.length; at++, batch = 0) {
      const slab = slabs[at]!;
      const from = slab.positions[batch] ?? slab.length;
      const to = this.#endOfRun(slab, batch, from + room, chunks.length === 0);
      if (to > from) {
        slab.isLent = true;
        chunks.push(slab.bytes.subarray(from, to));
      }
      if (to < slab.length) break;
      room -= to - from;
    }
    return chunks;
  }

  /** Bytes of the synced batches from the one that holds `offset` on; undefined when that one isn't here. */
  bytesFrom(offset: number): number | undefined {
    const slabs = this.#slabs;
    if (slabs.length === 0 || slabs[0]!.bases.length === 0 || offset < slabs[0]!.bases[0]!) return undefined;
    let bytes = 0;
    for (let at = slabs.length - 1; at >= 0; at--) {
      const slab = slabs[at]!;
      const batch = Math.max(0, above(slab.bases, offset) - 1);
      const from = slab.positions[batch] ?? slab.length;
      bytes += Math.max(0, this.#endOfRun(slab, batch, Number.POSITIVE_INFINITY, false) - from);
      if (slab.bases.length > 0 && slab.bases[0]! <= offset) break;
    }
    return bytes;
  }

  /** Position after the last synced batch that ends at or before `limit`; one batch at least when `atLeastOne`. */
  #endOfRun(slab: Slab, batch: number, limit: number, atLeastOne: boolean): number {
    const { positions, bases } = slab;
    // Batches below this one are synced whole: a sync ends at a batch boundary.
    const synced = slab.end <= this.#syncedEnd ? bases.length : above(bases, this.#syncedEnd - 1);
    if (batch >= synced) return positions[batch] ?? slab.length;
    const endOf = (last: number): number => positions[last + 1] ?? slab.length;
    if (endOf(synced - 1) <= limit) return endOf(synced - 1);
    const fitting = above(positions, limit) - 1;
    const end = positions[fitting]!;
    return end > positions[batch]! ? end : atLeastOne ? endOf(batch) : positions[batch]!;
  }
}
