import type { BatchRange } from './log-region.js';

/**
 * Where to start looking in a segment: an entry for about each 4 KiB of batches, offset and append time → position.
 * Held in memory and rebuilt from the batches; a search answers a batch boundary at or before what is sought.
 */
const intervalBytes = 4_096;

export class SparseIndex {
  #offsets: number[] = [];
  #positions: number[] = [];
  #timestamps: number[] = [];

  get entries(): number {
    return this.#offsets.length;
  }

  /** Notes a batch; batches come in order. Most are skipped. */
  add(offset: number, position: number, timestampMs: number): void {
    const last = this.#positions.length - 1;
    if (last >= 0 && position - this.#positions[last]! < intervalBytes) return;
    this.push(offset, position, timestampMs);
  }

  /** Takes an entry however near it lies to the one before. */
  push(offset: number, position: number, timestampMs: number): void {
    this.#offsets.push(offset);
    this.#positions.push(position);
    this.#timestamps.push(timestampMs);
  }

  /** Puts the entries of `earlier`, which all lie before, in front. */
  prepend(earlier: SparseIndex): void {
    this.#offsets = earlier.#offsets.concat(this.#offsets);
    this.#positions = earlier.#positions.concat(this.#positions);
    this.#timestamps = earlier.#timestamps.concat(this.#timestamps);
  }

  /** Forgets what lies at or above `position`. */
  cut(position: number): void {
    const count = above(this.#positions, position - 1);
    this.#offsets.length = this.#positions.length = this.#timestamps.length = count;
  }

  /** Visits the entries in order. */
  each(visit: (offset: number, position: number, timestampMs: number) => void): void {
    for (let i = 0; i < this.#offsets.length; i++) {
      visit(this.#offsets[i]!, this.#positions[i]!, this.#timestamps[i]!);
    }
  }

  /** Position of a batch that begins at or before `offset`; 0 when none is known. */
  find(offset: number): number {
    const at = above(this.#offsets, offset) - 1;
    return at < 0 ? 0 : this.#positions[at]!;
  }

  /**
   * The bytes of whole batches from one that begins at or before `offset` to at most `bytesMax` bytes later, but at least
   * to the end of the one that holds `offset`. `limit` is the end of a batch beyond it.
   */
  range(offset: number, bytesMax: number, limit: number): BatchRange {
    const positions = this.#positions;
    const at = Math.max(1, above(this.#offsets, offset));
    const from = positions[at - 1] ?? 0;
    if (limit - from <= bytesMax) return { from, to: limit, end: undefined };
    const last = Math.max(at, above(positions, from + bytesMax) - 1);
    const to = positions[last] ?? limit;
    return to < limit ? { from, to, end: this.#offsets[last] } : { from, to: limit, end: undefined };
  }

  /** Position of a batch before which every batch was appended before `timestampMs`. */
  findTime(timestampMs: number): number {
    const at = above(this.#timestamps, timestampMs - 1) - 1;
    return at < 0 ? 0 : this.#positions[at]!;
  }
}

/** Index of the first element of the ascending `values` that is greater than `value`. */
export function above(values: readonly number[], value: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
