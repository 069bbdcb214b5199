import { ErrorCode, TaskdError } from '../base/errors.js';
import { type BatchHeader, headerBytes, readBatch, readHeader } from '../batch/header.js';
import { FileRegion } from '../runtime/file-region.js';
import type { FileHandle, Files } from '../runtime/files.js';
import { dataLost, type Gaps, gapAfter } from './gaps.js';
import type { Segment } from './segment.js';
import { readRange, type ScanEnd, scanSegment } from './segment-scan.js';
import { SparseIndex } from './sparse-index.js';
import { restore } from './storage-error.js';

/** Read on top of what was asked: what lies between the index's entry and the batch sought. */
const slackBytes = 8 * 1024;

/**
 * Reads synced batches from segment files, checking both CRCs. The index of a segment that was on disk before this
 * start is built when it is first needed.
 */
export class LogReader {
  readonly #files: Files;
  /** The log's own list; segments are only added at its end. */
  readonly #segments: readonly Segment[];
  readonly #gaps: Gaps;
  readonly #salt: number;
  readonly #syncedEnd: () => number;
  readonly #indexing = new Map<Segment, Promise<void>>();

  constructor(files: Files, segments: readonly Segment[], gaps: Gaps, salt: number, syncedEnd: () => number) {
    this.#files = files;
    this.#segments = segments;
    this.#gaps = gaps;
    this.#salt = salt;
    this.#syncedEnd = syncedEnd;
  }

  /**
   * Whole batches from the one that holds `offset`, from one segment and up to a gap at most. `offset` lies below the
   * synced end. Bytes that are no longer what was written become a gap.
   */
  async read(offset: number, bytesMax: number): Promise<Uint8Array[]> {
    for (let attempt = 0; ; attempt++) {
      const segment = this.#segments[Math.max(0, this.#indexOf(offset))]!;
      const gap = this.#gaps.at(offset);
      if (gap !== undefined) throw dataLost(gap, `${segment.path}, byte ${gap.position}`, restore);
      const found = await this.#withFile(segment, (handle) => this.#readFrom(segment, handle, offset, bytesMax));
      if (typeof found !== 'string') return found;
      // A second look finds what is gone; a third one would find nothing new.
      if (attempt > 1) throw this.#lost(segment, offset, found);
    }
  }

  /** A string says what is wrong with the bytes; the gap, if it is one, is noted then. */
  async #readFrom(
    segment: Segment,
    handle: FileHandle,
    offset: number,
    bytesMax: number,
  ): Promise<Uint8Array[] | string> {
    await this.#ensureIndex(segment, handle);
    if (this.#gaps.at(offset) !== undefined) return 'gap';
    let position = Math.max(segment.index.find(offset), this.#gaps.beginFor(segment.base, offset));
    for (;;) {
      const limit = Math.min(segment.synced, this.#gaps.limitFor(segment.base, offset) ?? segment.synced);
      const length = Math.min(limit - position, bytesMax + slackBytes);
      const bytes = await readRange(handle, position, position + Math.max(length, 0));
      const step = selectBatches(bytes, offset, bytesMax);
      if (typeof step === 'string') return this.#findGaps(segment, handle, step);
      if (step.chunk !== undefined) return [step.chunk];
      position += step.skipped;
      if (step.skipped > 0) continue;
      // The very first batch is larger than what was asked for: it comes alone.
      const whole = await readRange(handle, position, Math.min(limit, position + step.need));
      const header = readBatch(whole, 0);
      if (typeof header === 'string') return this.#findGaps(segment, handle, header);
      if (header.baseOffset + header.recordCount > offset) return [whole.subarray(0, header.length)];
      position += header.length;
    }
  }

  /** Reads a whole segment to learn which offsets are gone. */
  async #findGaps(segment: Segment, handle: FileHandle, why: string): Promise<string> {
    await this.#scanOverGaps(segment, handle, segment.synced, () => {});
    return why;
  }

  /**
   * Where the bytes lie that `read` would give, unchecked and perhaps with some batches before them. The segment is held
   * until each region is released.
   */
  async regions(offset: number, bytesMax: number): Promise<FileRegion[]> {
    const segment = this.#segments[this.#indexOf(offset)]!;
    segment.acquire();
    let handle: FileHandle | undefined;
    try {
      handle = await this.#files.open(segment.path, 'read');
      await this.#ensureIndex(segment, handle);
    } catch (error) {
      segment.release();
      void handle?.close();
      throw error;
    }
    const file = handle;
    const { from, to } = segment.index.range(offset, bytesMax, segment.synced);
    const released = (): void => {
      segment.release();
      void file.close();
    };
    return [new FileRegion(file, from, to - from, released)];
  }

  /** Base offset of the first batch appended at `timestampMs` or later, or undefined when no synced one was. */
  async offsetForTime(timestampMs: number): Promise<number | undefined> {
    // The answer lies in the last segment that begins before that time, or is the beginning of the next one.
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const first = await this.#firstTimestamp(this.#segments[middle]!);
      if (first !== undefined && first < timestampMs) low = middle + 1;
      else high = middle;
    }
    const next = this.#segments[low];
    const nextBase = next !== undefined && next.synced > 0 ? next.base : undefined;
    const segment = this.#segments[low - 1];
    if (segment === undefined) return nextBase;
    return this.#withFile(segment, async (handle) => {
      await this.#ensureIndex(segment, handle);
      return (await this.#firstSince(segment, handle, timestampMs)) ?? nextBase;
    });
  }

  async #firstSince(segment: Segment, handle: FileHandle, timestampMs: number): Promise<number | undefined> {
    let position = segment.index.findTime(timestampMs);
    while (position + headerBytes <= segment.synced) {
      const header = readHeader(await readRange(handle, position, position + headerBytes), 0);
      if (typeof header === 'string') throw this.#lost(segment, segment.base, header);
      if (header.appendTimestamp >= timestampMs) return header.baseOffset;
      position += header.length;
    }
    return undefined;
  }

  async #firstTimestamp(segment: Segment): Promise<number | undefined> {
    // A new segment may have no file yet, and nothing in it counts.
    if (segment.synced === 0) return undefined;
    if (segment.firstTimestampMs !== undefined) return segment.firstTimestampMs;
    return this.#withFile(segment, async (handle) => {
      const header = readHeader(await readRange(handle, 0, headerBytes), 0);
      if (typeof header === 'string') throw this.#lost(segment, segment.base, header);
      segment.firstTimestampMs = header.appendTimestamp;
      return header.appendTimestamp;
    });
  }

  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle]!.base <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  async #withFile<T>(segment: Segment, use: (handle: FileHandle) => Promise<T>): Promise<T> {
    const handle = await this.#files.open(segment.path, 'read');
    try {
      return await use(handle);
    } finally {
      await handle.close();
    }
  }

  #ensureIndex(segment: Segment, handle: FileHandle): Promise<void> {
    if (segment.indexedFrom === 0) return Promise.resolve();
    let building = this.#indexing.get(segment);
    if (building === undefined) {
      building = this.#buildIndex(segment, handle).finally(() => this.#indexing.delete(segment));
      this.#indexing.set(segment, building);
    }
    return building;
  }

  async #buildIndex(segment: Segment, handle: FileHandle): Promise<void> {
    const index = new SparseIndex();
    const end = await this.#scanOverGaps(segment, handle, segment.indexedFrom, (header, position) => {
      index.add(header.baseOffset, position, header.appendTimestamp);
    });
    const isSealed = this.#next(segment)?.base === end.offset && (end.why === 'zeros' || end.why === 'end');
    if (isSealed) segment.synced = segment.end = end.position;
    segment.index.prepend(index);
    segment.indexedFrom = 0;
  }

  #next(segment: Segment): Segment | undefined {
    return this.#segments[this.#segments.indexOf(segment) + 1];
  }

  /** Scans a segment from its beginning up to byte `limit`; what can't be read becomes a gap. */
  async #scanOverGaps(
    segment: Segment,
    handle: FileHandle,
    limit: number,
    visit: (header: BatchHeader, position: number) => void,
  ): Promise<ScanEnd> {
    for (let from = { position: 0, offset: segment.base, term: 0, timestampMs: 0 }; ; ) {
      const end = await scanSegment(handle, from, limit, visit);
      const { synced } = segment;
      const next = this.#next(segment)?.base;
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

  #lost(segment: Segment, offset: number, why: string): TaskdError {
    const where = `${segment.path} near offset ${offset}`;
    const message = `${where}: the disk no longer gives back the batch that was written (${why})`;
    return new TaskdError(ErrorCode.DATA_LOSS, `${message}; ${restore}`);
  }
}

interface Selection {
  /** Whole batches, when the first one wanted is all there. */
  readonly chunk: Uint8Array | undefined;
  /** Bytes of batches that end at or before the offset sought. */
  readonly skipped: number;
  /** Bytes from there that the next batch takes. */
  readonly need: number;
}

/** Steps over the batches before `offset`, then takes whole ones up to `bytesMax`. A string says what is wrong. */
function selectBatches(bytes: Uint8Array, offset: number, bytesMax: number): Selection | string {
  let at = 0;
  let from = -1;
  for (;;) {
    const header: BatchHeader | string = readBatch(bytes, at);
    if (header === 'short') break;
    if (typeof header === 'string') {
      if (at > from && from >= 0) break;
      return header;
    }
    if (from < 0 && header.baseOffset + header.recordCount > offset) from = at;
    if (from >= 0 && at > from && at + header.length - from > bytesMax) break;
    at += header.length;
    if (from >= 0 && at - from >= bytesMax) break;
  }
  if (from >= 0 && at > from) return { chunk: bytes.subarray(from, at), skipped: from, need: 0 };
  const next = readHeader(bytes, at);
  return { chunk: undefined, skipped: at, need: typeof next === 'string' ? headerBytes : next.length };
}
