/**
 * Looks at one log on disk without changing anything: reads every batch, checks both CRCs, and says what is whole, what
 * the next start would cut, and what is gone.
 */
import type { BatchHeader } from '../batch/header.js';
import { readBatch } from '../batch/header.js';
import { FileError, type FileHandle, type Files } from '../runtime/files.js';
import { type Gap, Gaps, gapAfter } from './gaps.js';
import { readGaps } from './gaps-file.js';
import { findLaterGroup } from './look-ahead.js';
import type { ReplicaState } from './replica-state.js';
import { Segment, segmentBase } from './segment.js';
import { endOfContent, readRange, type ScanEnd, type ScanPoint, scanSegment } from './segment-scan.js';

/** One file of the log. */
export interface SegmentReport {
  readonly path: string;
  readonly base: number;
  readonly batches: number;
  readonly records: number;
  /** Of the file. */
  readonly bytes: number;
  readonly firstTimestampMs: number | undefined;
  readonly lastTimestampMs: number | undefined;
}

/** Records that are gone. */
export interface Fault {
  readonly gap: Gap;
  readonly path: string;
  readonly why: string;
  /** A person has decided to live with it. */
  readonly isRecorded: boolean;
  /** Nothing that can be read follows: how far the log really went is not known. */
  readonly isEnd: boolean;
}

/** What the next start cuts: the rest of a write group that was never acknowledged. */
export interface TornTail {
  readonly path: string;
  readonly position: number;
  readonly bytes: number;
}

/** A stretch of good batches. */
export interface Stretch {
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

export interface Examination {
  readonly state: ReplicaState;
  readonly segments: readonly SegmentReport[];
  readonly stretches: readonly Stretch[];
  readonly faults: readonly Fault[];
  readonly torn: TornTail | undefined;
  /** One past the last record that can be read. */
  readonly end: number;
  /** What can't be mended by recording a gap. */
  readonly problem: string | undefined;
}

interface Tally {
  batches: number;
  records: number;
  firstTimestampMs: number | undefined;
  lastTimestampMs: number | undefined;
}

/** Reads the log in `folder`. Rejects with `FileError` when the disk doesn't give the bytes. */
export async function examineLog(files: Files, folder: string, state: ReplicaState): Promise<Examination> {
  const recorded = await readGaps(files, folder);
  return new Examiner(files, folder, state, recorded === 'damaged' ? undefined : recorded).run();
}

class Examiner {
  readonly #files: Files;
  readonly #folder: string;
  readonly #state: ReplicaState;
  readonly #gaps: Gaps;
  readonly #segments: SegmentReport[] = [];
  readonly #stretches: Stretch[] = [];
  readonly #faults: Fault[] = [];
  #point: ScanPoint;
  #torn: TornTail | undefined;
  #problem: string | undefined;

  constructor(files: Files, folder: string, state: ReplicaState, recorded: readonly Gap[] | undefined) {
    this.#files = files;
    this.#folder = folder;
    this.#state = state;
    this.#gaps = new Gaps(recorded);
    if (recorded === undefined) this.#problem = `${folder}/gaps is damaged: remove it, then decide again`;
    this.#point = { position: 0, offset: state.logStart, term: 0, timestampMs: 0 };
  }

  async run(): Promise<Examination> {
    const segments = await this.#findSegments();
    if (segments.length === 0) this.#problem ??= 'there is no segment file: restore the folder from a copy';
    this.#begin(segments[0]);
    for (const [i, segment] of segments.entries()) await this.#one(segment, segments[i + 1]);
    if (this.#point.term > this.#state.term) {
      const terms = `the log holds term ${this.#point.term}, the state journal only ${this.#state.term}`;
      this.#problem ??= `${terms}: the journal is older than the log; restore the whole data folder from a copy`;
    }
    return {
      state: this.#state,
      segments: this.#segments,
      stretches: this.#stretches,
      faults: this.#faults,
      torn: this.#torn,
      end: this.#point.offset,
      problem: this.#problem,
    };
  }

  async #findSegments(): Promise<Segment[]> {
    const found: Segment[] = [];
    for (const { name } of await this.#list()) {
      const base = segmentBase(name);
      if (base === undefined || this.#gaps.covers(base)) continue;
      const path = `${this.#folder}/${name}`;
      const size = await this.#with(path, (handle) => handle.size());
      found.push(new Segment(base, path, size, size));
    }
    // Those that lie wholly below the log's start are leftovers of a trim.
    while (found.length > 1 && found[1]!.base <= this.#state.logStart) found.shift();
    return found;
  }

  async #list(): Promise<readonly { readonly name: string }[]> {
    try {
      return await this.#files.list(this.#folder);
    } catch (error) {
      if (error instanceof FileError && error.code === 'ENOENT') return [];
      throw error;
    }
  }

  #begin(first: Segment | undefined): void {
    const { logStart } = this.#state;
    if (first === undefined) return;
    this.#point = { ...this.#point, offset: first.base };
    if (first.base <= logStart) return;
    const gap = { from: logStart, to: first.base, segmentBase: logStart, position: 0, resume: undefined };
    const isRecorded = (this.#gaps.at(logStart)?.to ?? 0) >= first.base;
    this.#faults.push({ gap, path: this.#folder, why: 'the segment is missing', isRecorded, isEnd: false });
  }

  async #one(segment: Segment, next: Segment | undefined): Promise<void> {
    const tally: Tally = { batches: 0, records: 0, firstTimestampMs: undefined, lastTimestampMs: undefined };
    await this.#with(segment.path, (handle) => this.#scan(segment, next, handle, tally));
    this.#segments.push({ path: segment.path, base: segment.base, bytes: segment.size, ...tally });
  }

  async #scan(segment: Segment, next: Segment | undefined, handle: FileHandle, tally: Tally): Promise<void> {
    for (let position = 0; ; ) {
      const end = await scanSegment(handle, { ...this.#point, position }, segment.size, (header) => {
        tally.batches++;
        tally.records += header.recordCount;
        tally.firstTimestampMs ??= header.appendTimestamp;
        tally.lastTimestampMs = header.appendTimestamp;
      });
      if (end.position > position) this.#stretches.push({ path: segment.path, from: position, to: end.position });
      this.#point = end;
      const gap = await this.#judge(segment, next, handle, end);
      if (gap === undefined) return;
      this.#point = { ...end, offset: gap.to };
      if (gap.resume === undefined) return;
      position = gap.resume;
    }
  }

  /** The gap where a scan ended, noted as a fault; undefined where nothing is gone. */
  async #judge(
    segment: Segment,
    next: Segment | undefined,
    handle: FileHandle,
    end: ScanEnd,
  ): Promise<Gap | undefined> {
    const { path, base, size } = segment;
    const isWhole = end.why === 'end' || end.why === 'zeros';
    if (isWhole && end.offset === next?.base) return undefined;
    const recorded = this.#gaps.beginningAt(base, end);
    const why = isWhole ? 'batches are missing' : `the batch is not whole or intact (${end.why})`;
    if (recorded !== undefined) {
      this.#faults.push({ gap: recorded, path, why, isRecorded: true, isEnd: false });
      return recorded;
    }
    const { salt, recoveryPoint } = this.#state;
    if (next === undefined && end.offset >= recoveryPoint) {
      const later = await findLaterGroup(handle, { salt, segmentBase: base }, end.position, size);
      if (later === undefined) {
        const bytes = (await endOfContent(handle, end.position, size)) - end.position;
        if (bytes > 0) this.#torn = { path, position: end.position, bytes };
        return undefined;
      }
    }
    const found = await gapAfter(handle, salt, segment, end, size, next?.base);
    const place = { from: end.offset, segmentBase: base, position: end.position };
    const gap = found ?? { ...place, to: Math.max(recoveryPoint, end.offset), resume: undefined };
    this.#faults.push({ gap, path, why, isRecorded: false, isEnd: found === undefined });
    return gap;
  }

  async #with<T>(path: string, use: (handle: FileHandle) => Promise<T>): Promise<T> {
    const handle = await this.#files.open(path, 'read');
    try {
      return await use(handle);
    } finally {
      await handle.close();
    }
  }
}

/** The batches of good stretches, in order, each with its bytes. */
export async function* goodBatches(
  files: Files,
  stretches: readonly Stretch[],
): AsyncGenerator<{ readonly header: BatchHeader; readonly bytes: Uint8Array }, void> {
  for (const { path, from, to } of stretches) {
    const handle = await files.open(path, 'read');
    try {
      for (let at = from; at < to; ) {
        const window = await readRange(handle, at, Math.min(to, at + windowBytes));
        let used = 0;
        for (let header = readBatch(window, 0); typeof header !== 'string'; header = readBatch(window, used)) {
          yield { header, bytes: window.subarray(used, used + header.length) };
          used += header.length;
        }
        if (used === 0) throw new FileError('EIO', path, new Error(`the bytes at ${at} have changed since`));
        at += used;
      }
    } finally {
      await handle.close();
    }
  }
}

/** Room for the largest batch. */
const windowBytes = 16 * 1024 * 1024;
