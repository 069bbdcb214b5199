import { ErrorCode, TaskdError } from '../base/errors.js';
import { type BatchHeader, headerBytes, readBatch, readHeader } from '../batch/header.js';
import type { FileHandle } from '../runtime/files.js';
import type { Runtime } from '../runtime/runtime.js';
import { dataLost, type Gaps } from './gaps.js';
import { type BatchRange, LogRegion } from './log-region.js';
import type { ReadHandles } from './read-handles.js';
import type { BatchPlace } from './replica-state.js';
import type { Segment } from './segment.js';
import { SegmentIndexes } from './segment-indexes.js';
import { readRange } from './segment-scan.js';
import { describe, restore } from './storage-error.js';

/** Read on top of what was asked: what lies between the index's entry and the batch sought. */
const slackBytes = 8 * 1024;

/** Reads synced batches from segment files, checking both CRCs. It holds a reference to each segment meanwhile. */
export class LogReader {
  readonly #runtime: Runtime;
  readonly #handles: ReadHandles;
  readonly #indexes: SegmentIndexes;
  /** The log's own list; segments come at its end and go at its beginning. */
  readonly #segments: readonly Segment[];
  readonly #gaps: Gaps;
  #indexing: Promise<void> = Promise.resolve();

  constructor(
    runtime: Runtime,
    handles: ReadHandles,
    segments: readonly Segment[],
    gaps: Gaps,
    salt: number,
    syncedEnd: () => number,
  ) {
    this.#runtime = runtime;
    this.#handles = handles;
    this.#indexes = new SegmentIndexes(runtime, segments, gaps, salt, syncedEnd);
    this.#segments = segments;
    this.#gaps = gaps;
  }

  /**
   * Whole batches from the one that holds `offset`, from one segment and up to a gap at most. `offset` lies below the
   * synced end. Bytes that are no longer what was written become a gap.
   */
  async read(offset: number, bytesMax: number): Promise<Uint8Array[]> {
    for (let attempt = 0; ; attempt++) {
      const segment = this.#segmentWith(offset);
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
    await this.#indexes.ensure(segment, handle);
    if (this.#gaps.at(offset) !== undefined) return 'gap';
    let position = Math.max(segment.index.find(offset), this.#gaps.beginFor(segment.base, offset));
    for (;;) {
      const limit = this.#limitIn(segment, offset);
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
      if (header.baseOffset > offset) return this.#findGaps(segment, handle, 'order');
      if (header.baseOffset + header.recordCount > offset) return [whole.subarray(0, header.length)];
      position += header.length;
    }
  }

  /** What is wrong with the bytes, once it is known which offsets are gone. */
  async #findGaps(segment: Segment, handle: FileHandle, why: string): Promise<string> {
    // An index that came from a file may have led astray.
    if (segment.isIndexLoaded) await this.#indexes.rebuild(segment, handle);
    else await this.#indexes.findGaps(segment, handle);
    return why;
  }

  /**
   * Where the bytes lie that `read` would give, unchecked and perhaps with some batches before them. The segment is held
   * until each region is released.
   */
  async regions(offset: number, bytesMax: number): Promise<LogRegion[]> {
    for (let attempt = 0; ; attempt++) {
      const segment = this.#segmentWith(offset);
      const found = await this.#regionIn(segment, offset, bytesMax);
      if (typeof found !== 'string') return [found];
      if (attempt > 1) throw this.#lost(segment, offset, found);
    }
  }

  /** What `regions` would give, when the file is open and its index known; undefined: ask that. */
  regionsAt(offset: number, bytesMax: number): LogRegion[] | undefined {
    const segment = this.#segmentWith(offset);
    if (segment.indexedFrom > 0 || this.#gaps.at(offset) !== undefined) return undefined;
    const handle = this.#handles.openNow(segment);
    if (handle === undefined) return undefined;
    segment.acquire();
    return [new LogRegion(handle, this.#rangeIn(segment, offset, bytesMax), () => segment.release())];
  }

  /** Base offset of the first batch appended at `timestampMs` or later, or undefined when no synced one was. */
  async offsetForTime(timestampMs: number): Promise<number | undefined> {
    const segments = [...this.#segments];
    for (const segment of segments) segment.acquire();
    try {
      return await this.#firstIn(segments, timestampMs);
    } finally {
      for (const segment of segments) segment.release();
    }
  }

  /**
   * Visits the header of each synced batch that ends above `offset`, in order, and gets the whole batch for control
   * batches only; other bodies are not checked. `place` is where the first one should begin, if that is known. What
   * can't be read becomes a gap and is stepped over.
   */
  async eachHeader(
    offset: number,
    place: BatchPlace | undefined,
    visit: (header: BatchHeader, control: Uint8Array | undefined) => void,
  ): Promise<void> {
    const segments = this.#segments.slice(Math.max(0, this.#indexOf(offset)));
    for (const segment of segments) {
      if (segment.synced === 0) continue;
      await this.#withFile(segment, async (handle) => {
        const known = place?.segmentBase === segment.base ? place.position : 0;
        const isRight = await startsAt(handle, known, segment.synced, offset);
        const from = isRight ? { position: known, offset } : undefined;
        await this.#indexes.eachHeader(segment, handle, from, (header, _position, control) => {
          if (header.baseOffset + header.recordCount > offset) visit(header, control);
        });
      });
    }
  }

  /** The segment takes no more batches, and all of it is on disk: its index is written. */
  rolled(segment: Segment): void {
    this.#indexing = this.#indexing.then(() => this.#storeIndex(segment));
  }

  /** Resolves when the indexes of all segments that have rolled are written. */
  idle(): Promise<void> {
    return this.#indexing;
  }

  /** The time of the last batch in a segment that holds one. */
  async lastTimestampMs(segment: Segment): Promise<number | undefined> {
    if (segment.lastTimestampMs !== undefined || segment.synced === 0) return segment.lastTimestampMs;
    await this.#withFile(segment, (handle) => this.#indexes.ensure(segment, handle));
    return segment.lastTimestampMs;
  }

  /** Reads a full segment, bodies too, to learn what is gone; `pace` is awaited before so many bytes are read. */
  async scrub(segment: Segment, pace: (bytes: number) => Promise<void>): Promise<void> {
    segment.acquire();
    try {
      // A file of its own: the one that readers share would be kept open for them in vain.
      const handle = await this.#runtime.files.open(segment.path, 'background');
      try {
        await this.#indexes.ensure(segment, handle);
        await this.#indexes.findGaps(segment, pacedReads(handle, pace));
      } finally {
        await handle.close();
      }
    } finally {
      segment.release();
    }
  }

  async #storeIndex(segment: Segment): Promise<void> {
    segment.acquire();
    try {
      if (segment.indexedFrom === 0) await this.#indexes.store(segment);
      else await this.#withFile(segment, (handle) => this.#indexes.ensure(segment, handle));
    } catch (error) {
      const fields = { file: segment.path, error: describe(error) };
      this.#runtime.logger.info(fields, 'a full segment could not be indexed');
    } finally {
      segment.release();
    }
  }

  /** The region holds a reference until it is released. A string says what is wrong with the bytes. */
  async #regionIn(segment: Segment, offset: number, bytesMax: number): Promise<LogRegion | string> {
    const gap = this.#gaps.at(offset);
    if (gap !== undefined) throw dataLost(gap, `${segment.path}, byte ${gap.position}`, restore);
    segment.acquire();
    let region: LogRegion | undefined;
    try {
      const handle = await this.#handles.open(segment);
      await this.#indexes.ensure(segment, handle);
      if (this.#gaps.at(offset) !== undefined) return 'gap';
      const range = this.#rangeIn(segment, offset, bytesMax);
      const limit = this.#limitIn(segment, offset);
      const isRight = !segment.isIndexLoaded || (await bounds(handle, range, limit, offset));
      if (!isRight) return this.#findGaps(segment, handle, 'index');
      region = new LogRegion(handle, range, () => segment.release());
      return region;
    } finally {
      if (region === undefined) segment.release();
    }
  }

  #rangeIn(segment: Segment, offset: number, bytesMax: number): BatchRange {
    const { from, to, end } = segment.index.range(offset, bytesMax, this.#limitIn(segment, offset));
    const next = to === segment.synced ? this.#segments[this.#indexOf(offset) + 1]?.base : undefined;
    return { from: Math.max(from, this.#gaps.beginFor(segment.base, offset)), to, end: end ?? next };
  }

  /** Up to where whole batches lie without a gap from the one with `offset` on. */
  #limitIn(segment: Segment, offset: number): number {
    return Math.min(segment.synced, this.#gaps.limitFor(segment.base, offset) ?? segment.synced);
  }

  async #firstIn(segments: readonly Segment[], timestampMs: number): Promise<number | undefined> {
    // The answer lies in the last segment that begins before that time, or is the beginning of the next one.
    let low = 0;
    let high = segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const first = await this.#firstTimestamp(segments[middle]!);
      if (first !== undefined && first < timestampMs) low = middle + 1;
      else high = middle;
    }
    const next = segments[low];
    const nextBase = next !== undefined && next.synced > 0 ? next.base : undefined;
    const segment = segments[low - 1];
    if (segment === undefined) return nextBase;
    return this.#withFile(segment, async (handle) => {
      await this.#indexes.ensure(segment, handle);
      let first = await this.#firstSince(segment, handle, timestampMs);
      if (first === 'index') {
        await this.#indexes.rebuild(segment, handle);
        first = await this.#firstSince(segment, handle, timestampMs);
      }
      if (first === 'index') throw this.#lost(segment, segment.base, first);
      return first ?? nextBase;
    });
  }

  /** `index` says that the index can't be right. */
  async #firstSince(segment: Segment, handle: FileHandle, timestampMs: number): Promise<number | 'index' | undefined> {
    const from = segment.index.findTime(timestampMs);
    let position = from;
    while (position + headerBytes <= segment.synced) {
      const header = readHeader(await readRange(handle, position, position + headerBytes), 0);
      const isFirst = position === from && position > 0;
      if (isFirst && (typeof header === 'string' || header.appendTimestamp >= timestampMs)) return 'index';
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

  #segmentWith(offset: number): Segment {
    return this.#segments[Math.max(0, this.#indexOf(offset))]!;
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
    segment.acquire();
    try {
      return await use(await this.#handles.open(segment));
    } finally {
      segment.release();
    }
  }

  #lost(segment: Segment, offset: number, why: string): TaskdError {
    const where = `${segment.path} near offset ${offset}`;
    const message = `${where}: the disk no longer gives back the batch that was written (${why})`;
    return new TaskdError(ErrorCode.DATA_LOSS, `${message}; ${restore}`);
  }
}

/** The same file, with a wait before each read. */
function pacedReads(handle: FileHandle, pace: (bytes: number) => Promise<void>): FileHandle {
  const read = async (into: Uint8Array, position: number): Promise<number> => {
    await pace(into.length);
    return handle.read(into, position);
  };
  return new Proxy(handle, {
    get: (target, name) => {
      if (name === 'read') return read;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

/** True when a batch that begins with `offset` lies at `position`, or nothing does since the batches end there. */
async function startsAt(handle: FileHandle, position: number, limit: number, offset: number): Promise<boolean> {
  if (position === 0) return false;
  if (position === limit) return true;
  const header = readHeader(await readRange(handle, position, position + headerBytes), 0);
  return typeof header !== 'string' && header.baseOffset === offset;
}

/** True when batches begin at both ends of a range, the first one at or before `offset`; `limit` is an end anyway. */
async function bounds(handle: FileHandle, range: BatchRange, limit: number, offset: number): Promise<boolean> {
  const { from, to } = range;
  const first = readHeader(await readRange(handle, from, from + headerBytes), 0);
  if (typeof first === 'string' || first.baseOffset > offset) return false;
  return to === limit || typeof readHeader(await readRange(handle, to, to + headerBytes), 0) !== 'string';
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
    if (from < 0 && header.baseOffset + header.recordCount > offset) {
      if (header.baseOffset > offset) return 'order';
      from = at;
    }
    if (from >= 0 && at > from && at + header.length - from > bytesMax) break;
    at += header.length;
    if (from >= 0 && at - from >= bytesMax) break;
  }
  if (from >= 0 && at > from) return { chunk: bytes.subarray(from, at), skipped: from, need: 0 };
  const next = readHeader(bytes, at);
  return { chunk: undefined, skipped: at, need: typeof next === 'string' ? headerBytes : next.length };
}
