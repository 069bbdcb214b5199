import type { Logger } from '../base/logger.js';
import { type BatchHeader, headerBytes, isPlacedHere, readHeader } from '../batch/header.js';
import type { FileHandle, Files } from '../runtime/files.js';
import type { Runtime } from '../runtime/runtime.js';
import { type Gaps, gapAfter } from './gaps.js';
import { encodeIndex, indexPath, type LoadedIndex, loadIndex, writeIndex } from './index-file.js';
import type { Segment } from './segment.js';
import { readRange, type ScanEnd, type ScanPoint, scanSegment } from './segment-scan.js';
import { SparseIndex } from './sparse-index.js';
import { describe } from './storage-error.js';

/**
 * The indexes of one log's segments. One that is needed and not in memory comes from its file, when that fits the
 * segment, else from the headers of the segment's batches; then its file is written. Where the disk lost a header, the
 * search goes on behind it, and the gap is noted.
 */
export class SegmentIndexes {
  readonly #files: Files;
  readonly #logger: Logger;
  readonly #salt: number;
  /** The log's own list. */
  readonly #segments: readonly Segment[];
  readonly #gaps: Gaps;
  readonly #syncedEnd: () => number;
  readonly #making = new Map<Segment, Promise<void>>();

  constructor(
    { files, logger }: Pick<Runtime, 'files' | 'logger'>,
    segments: readonly Segment[],
    gaps: Gaps,
    salt: number,
    syncedEnd: () => number,
  ) {
    this.#files = files;
    this.#logger = logger;
    this.#segments = segments;
    this.#gaps = gaps;
    this.#salt = salt;
    this.#syncedEnd = syncedEnd;
  }

  /** Resolves when the segment's index knows all of it. The caller holds a reference; `handle` is its file. */
  ensure(segment: Segment, handle: FileHandle): Promise<void> {
    if (segment.indexedFrom === 0) return Promise.resolve();
    return this.#once(segment, async () => {
      const next = this.#after(segment);
      if (next !== undefined && (await this.#load(segment, handle, next))) return;
      await this.#build(segment, handle, next);
      await this.store(segment);
    });
  }

  /** Makes the index anew from the segment itself; for one that turned out to be wrong. */
  rebuild(segment: Segment, handle: FileHandle): Promise<void> {
    return this.#once(segment, async () => {
      const next = this.#after(segment);
      if (next === undefined) return;
      this.#logger.warn({ file: segment.path }, 'the index of a segment was wrong and is made anew');
      segment.isIndexStored = segment.isIndexLoaded = false;
      segment.index = new SparseIndex();
      segment.indexedFrom = segment.end;
      await this.#build(segment, handle, next);
      await this.store(segment);
    });
  }

  /** Visits the headers from a batch that is known, or from the segment's beginning; what can't be read becomes a gap. */
  async eachHeader(
    segment: Segment,
    handle: FileHandle,
    from: { readonly position: number; readonly offset: number } | undefined,
    visit: (header: BatchHeader, position: number, control: Uint8Array | undefined) => void,
  ): Promise<void> {
    await this.#scanOverGaps(segment, handle, segment.synced, visit, true, from);
  }

  /** Reads a whole segment, bodies too, to learn which offsets are gone. */
  async findGaps(segment: Segment, handle: FileHandle): Promise<void> {
    await this.#scanOverGaps(segment, handle, segment.synced, () => {}, false);
  }

  /** Writes the index of a full segment that is known whole into its file. A failure costs only time, later. */
  async store(segment: Segment): Promise<void> {
    const next = this.#after(segment);
    const { firstTimestampMs, lastTimestampMs, base, end: bytes, lastPosition } = segment;
    if (next === undefined || segment.indexedFrom > 0 || segment.isIndexStored) return;
    if (this.#gaps.all.some((gap) => gap.segmentBase === base)) return;
    if (firstTimestampMs === undefined || lastTimestampMs === undefined) return;
    const all = { salt: this.#salt, base, end: next.base, firstTimestampMs, lastTimestampMs, bytes, lastPosition };
    try {
      await writeIndex(this.#files, indexPath(segment.path), encodeIndex(all, segment.index));
      segment.isIndexStored = true;
    } catch (error) {
      this.#logger.info({ file: segment.path, error: describe(error) }, 'the index of a segment could not be written');
    }
  }

  #after(segment: Segment): Segment | undefined {
    const at = this.#segments.indexOf(segment);
    return at < 0 ? undefined : this.#segments[at + 1];
  }

  #once(segment: Segment, make: () => Promise<void>): Promise<void> {
    let making = this.#making.get(segment);
    if (making === undefined) {
      making = make().finally(() => this.#making.delete(segment));
      this.#making.set(segment, making);
    }
    return making;
  }

  async #load(segment: Segment, handle: FileHandle, next: Segment): Promise<boolean> {
    const loaded = await loadIndex(this.#files, indexPath(segment.path));
    if (loaded === undefined || !(await this.#fits(loaded, segment, handle, next))) return false;
    segment.index = loaded.index;
    segment.indexedFrom = 0;
    segment.isIndexStored = segment.isIndexLoaded = true;
    segment.end = segment.synced = loaded.bytes;
    segment.lastPosition = loaded.lastPosition;
    segment.firstTimestampMs = loaded.firstTimestampMs;
    segment.lastTimestampMs = loaded.lastTimestampMs;
    return true;
  }

  /** Whether the last batch is where the index says, put there by this replica, and ends where the next segment begins. */
  async #fits(loaded: LoadedIndex, { base, size }: Segment, handle: FileHandle, next: Segment): Promise<boolean> {
    const { salt, lastPosition, bytes } = loaded;
    if (salt !== this.#salt || loaded.base !== base || loaded.end !== next.base || bytes > size) return false;
    const header = readHeader(await readRange(handle, lastPosition, lastPosition + headerBytes), 0);
    if (typeof header === 'string' || !isPlacedHere(header, salt, base, lastPosition)) return false;
    if (header.appendTimestamp !== loaded.lastTimestampMs) return false;
    return header.baseOffset + header.recordCount === next.base && lastPosition + header.length === bytes;
  }

  /** Reads the headers below `indexedFrom`. In a full segment, zeros may follow the last batch. */
  async #build(segment: Segment, handle: FileHandle, next: Segment | undefined): Promise<void> {
    const limit = segment.indexedFrom;
    const index = new SparseIndex();
    let last: { position: number; timestampMs: number } | undefined;
    const note = (header: BatchHeader, position: number): void => {
      if (position === 0) segment.firstTimestampMs = header.appendTimestamp;
      index.add(header.baseOffset, position, header.appendTimestamp);
      last = { position, timestampMs: header.appendTimestamp };
    };
    const end = await this.#scanOverGaps(segment, handle, limit, note, true);
    if (next !== undefined && limit === segment.end) {
      if (end.offset === next.base && isGood(end)) segment.end = segment.synced = end.position;
      if (last !== undefined) {
        segment.lastPosition = last.position;
        segment.lastTimestampMs = last.timestampMs;
      }
    }
    segment.index.prepend(index);
    segment.indexedFrom = 0;
  }

  /** Scans a segment up to byte `limit`; what can't be read becomes a gap. */
  async #scanOverGaps(
    segment: Segment,
    handle: FileHandle,
    limit: number,
    visit: (header: BatchHeader, position: number, control: Uint8Array | undefined) => void,
    headersOnly: boolean,
    begin: { readonly position: number; readonly offset: number } = { position: 0, offset: segment.base },
  ): Promise<ScanEnd> {
    for (let from: ScanPoint = { ...begin, term: 0, timestampMs: 0 }; ; ) {
      const end = await scanSegment(handle, from, limit, visit, headersOnly);
      const { synced } = segment;
      const next = this.#after(segment)?.base;
      const isWhole = end.why === 'end' || (end.why === 'zeros' && end.offset === next);
      if (isWhole && (limit < synced || next === undefined || end.offset === next)) return end;
      let gap = this.#gaps.beginningAt(segment.base, end);
      if (gap === undefined) {
        gap = await gapAfter(handle, this.#salt, segment, end, synced, next ?? this.#syncedEnd());
        if (gap === undefined) return end;
        this.#gaps.add(gap);
      }
      if (gap.resume === undefined) return end;
      from = { ...end, position: gap.resume, offset: gap.to };
    }
  }
}

const isGood = (end: ScanEnd): boolean => end.why === 'zeros' || end.why === 'end';
