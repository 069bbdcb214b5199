import type { FileHandle } from '../runtime/files.js';
import { SparseIndex } from './sparse-index.js';

const namePattern = /^(\d{20})\.log$/;

/** File name of the segment whose first record has offset `base`. */
export function segmentName(base: number): string {
  return `${String(base).padStart(20, '0')}.log`;
}

/** The base offset in a segment's file name, or undefined for another file's name. */
export function segmentBase(name: string): number | undefined {
  const match = namePattern.exec(name);
  const base = match === null ? Number.NaN : Number(match[1]);
  return Number.isSafeInteger(base) ? base : undefined;
}

/**
 * One file of a log: batches back to back, then perhaps zeros that were written ahead.
 *
 * Whoever reads it or sends bytes of it holds a reference meanwhile. A segment that the log let go of (retention, trim)
 * stays on disk until the last reference is given back.
 */
export class Segment {
  readonly base: number;
  readonly path: string;
  /** Open for writing in the last segment, undefined in the others and before the file is created. */
  handle: FileHandle | undefined;
  /** Bytes of batches placed here, on disk or on the way to it. */
  end: number;
  /** Bytes of batches that are on disk; readers stay below. */
  synced: number;
  /** Bytes that the file occupies: batches and zeros. */
  size: number;
  index: SparseIndex = new SparseIndex();
  /** The index knows nothing of the batches below this position. */
  indexedFrom: number;
  /** The index is in a file, too. */
  isIndexStored = false;
  /** The index came from its file, and nothing in the segment has contradicted it yet. */
  isIndexLoaded = false;
  firstTimestampMs: number | undefined;
  /** Of the last batch, where that is known. */
  lastTimestampMs: number | undefined;
  /** Position of the last batch; means nothing in a segment without one. */
  lastPosition = 0;
  /** The next batch begins a new segment, however much room there is. */
  isFull = false;
  /** Its file exists: a segment begins in memory, and gets its file with its first write. */
  isOnDisk: boolean;
  #references = 0;
  #onUnused: (() => void) | undefined;

  /** A segment with `end` bytes of batches in it which the index doesn't know yet. */
  constructor(base: number, path: string, end: number, size: number) {
    this.base = base;
    this.path = path;
    this.end = end;
    this.synced = end;
    this.size = size;
    this.indexedFrom = end;
    this.isOnDisk = size > 0;
  }

  get isReferenced(): boolean {
    return this.#references > 0;
  }

  /** Lets go of the index when it can be loaded again. */
  forgetIndex(): void {
    if (!this.isIndexStored) return;
    this.index = new SparseIndex();
    this.indexedFrom = this.end;
    this.isIndexLoaded = false;
  }

  /** The file stays as long as not every `acquire` is followed by a `release`. */
  acquire(): void {
    this.#references++;
  }

  release(): void {
    this.#references--;
    if (this.#references === 0) this.#onUnused?.();
  }

  /** Calls `unused` as soon as nobody refers to the segment; nobody may begin to any more. */
  retire(unused: () => void): void {
    this.#onUnused = unused;
    if (this.#references === 0) unused();
  }
}
