/**
 * Opens what a log left on disk.
 *
 * 1. The folder is synced: names that were found may not have been durable.
 * 2. A clean end is believed when the last segment matches it in every field. Otherwise all batches are read from the
 *    last one below the recovery point on (or, when the journal's note of its place does not fit, from the beginning of
 *    its segment): both CRCs, consecutive offsets, terms and timestamps that never fall.
 * 3. A bad batch is torn if it lies at or above the recovery point, in the last segment, and every valid batch after it
 *    belongs to the same write group: a crash may leave any part of the group that was being written. It is cut. A
 *    later segment or a batch of a later group proves that it had been synced: then synced data is gone, every byte
 *    is kept and the log is read-only. What lies beyond the bad place is found and can be read. Gaps that a person has
 *    decided to live with (`gaps`) are stepped over.
 * 4. Recovered is not durable: what is kept above the recovery point may be in the page cache only. The same bytes are
 *    written back in place and synced before they count.
 *
 * The folder of a log is never left worse: a crash during recovery is followed by the same recovery.
 */
import type { Logger } from '../base/logger.js';
import { type BatchHeader, headerBytes, isPlacedHere, readHeader } from '../batch/header.js';
import type { FileHandle, Files } from '../runtime/files.js';
import { type Gap, Gaps, gapAfter } from './gaps.js';
import { isGapsName, readGaps } from './gaps-file.js';
import { isIndexName } from './index-file.js';
import { findLaterGroup } from './look-ahead.js';
import type { CleanEnd, ReplicaState } from './replica-state.js';
import { Segment, segmentBase, segmentName } from './segment.js';
import { endOfContent, readRange, type ScanEnd, type ScanPoint, scanSegment } from './segment-scan.js';
import { isSnapshotName } from './snapshot-file.js';
import { describe, lackOf, remedyOf, restore } from './storage-error.js';
import { cutFiles, findCut } from './truncation.js';

const copyBytes = 1 << 20;

export interface Recovered {
  /** In order; the last one has its file open for writing, unless there is a problem. */
  readonly segments: Segment[];
  /** One past the last good record. */
  readonly end: number;
  readonly timestampMs: number;
  /** Set when synced data is gone or can't be read; the log takes no appends then. */
  readonly problem: string | undefined;
  /** Offsets that are gone, recorded and found. */
  readonly gaps: Gaps;
  /** False when recovery itself could not do its work: what was found may not be durable. */
  readonly isReadable: boolean;
}

/** Thrown inside recovery when nothing is left to read; becomes the `problem`. */
class Damage extends Error {}

/** A stretch of good batches that may be in the page cache only. */
interface Stretch {
  readonly segment: Segment;
  readonly from: number;
  readonly to: number;
}

export async function recover(files: Files, folder: string, state: ReplicaState, logger: Logger): Promise<Recovered> {
  const recovery = new Recovery(files, folder, state, logger);
  try {
    return await recovery.run();
  } catch (error) {
    if (error instanceof Damage) return recovery.abandon(error.message);
    const lack = lackOf(error);
    const todo = lack === undefined ? 'mend the disk' : `${lack}: ${remedyOf(lack)}`;
    const problem = `${folder} could not be recovered (${describe(error)}); the log is read-only; ${todo}, then start taskd again`;
    return { ...(await recovery.abandon(problem)), problem, isReadable: false };
  }
}

class Recovery {
  readonly #files: Files;
  readonly #folder: string;
  readonly #state: ReplicaState;
  readonly #logger: Logger;
  readonly #segments: Segment[] = [];
  readonly #handles = new Map<Segment, FileHandle>();
  #point: ScanPoint;
  #lastHeader: BatchHeader | undefined;
  #gaps = new Gaps();
  /** The first thing that is wrong. */
  #damage: string | undefined;

  constructor(files: Files, folder: string, state: ReplicaState, logger: Logger) {
    this.#files = files;
    this.#folder = folder;
    this.#state = state;
    this.#logger = logger.child({ topicId: state.topicId, partition: state.partition });
    this.#point = { position: 0, offset: state.logStart, term: 0, timestampMs: 0 };
  }

  async run(): Promise<Recovered> {
    await this.#files.syncFolder(this.#folder);
    await this.#findSegments();
    const { clean, cutTo } = this.#state;
    if (cutTo !== undefined) await this.#finishCut(cutTo);
    const last = this.#segments.at(-1)!;
    if (clean === undefined || !(await this.#matches(last, clean))) await this.#scan();
    if (this.#damage !== undefined) return this.abandon(this.#damage);
    await this.#closeHandles(last);
    last.handle = await this.#open(last);
    return { ...this.#found(), problem: undefined, isReadable: true };
  }

  /** What can still be read after a problem: all but the gaps. */
  async abandon(damage: string): Promise<Recovered> {
    await this.#closeHandles(undefined);
    for (const segment of this.#segments) segment.handle = undefined;
    const problem = `${damage}; the log is read-only and nothing was changed: ${restore}`;
    return { ...this.#found(), problem, isReadable: true };
  }

  #found(): Pick<Recovered, 'segments' | 'end' | 'timestampMs' | 'gaps'> {
    const { offset, timestampMs } = this.#point;
    return { segments: this.#segments, end: offset, timestampMs, gaps: this.#gaps };
  }

  async #findSegments(): Promise<void> {
    const { logStart } = this.#state;
    const recorded = await readGaps(this.#files, this.#folder);
    if (recorded === 'damaged') this.#damage = `${this.#folder}/gaps is damaged`;
    else this.#gaps = new Gaps(recorded.map((gap) => ({ ...gap, isGivenUp: true })));
    for (const { name } of await this.#files.list(this.#folder)) {
      const base = segmentBase(name);
      if (base === undefined) {
        if (isSnapshotName(name) || isIndexName(name) || isGapsName(name)) continue;
        this.#logger.warn({ file: `${this.#folder}/${name}` }, 'a file that is no segment lies in the folder of a log');
        continue;
      }
      if (this.#gaps.covers(base)) continue;
      const segment = new Segment(base, `${this.#folder}/${segmentName(base)}`, 0, 0);
      const handle = await this.#files.open(segment.path, 'read');
      const size = await handle.size();
      await handle.close();
      segment.size = segment.end = segment.synced = segment.indexedFrom = size;
      segment.isOnDisk = true;
      this.#segments.push(segment);
    }
    const first = this.#segments[0];
    if (first === undefined) {
      throw new Damage(`${this.#folder}: the segment with offset ${logStart} is missing: there is none`);
    }
    const gap = this.#gaps.at(logStart);
    if (first.base <= logStart || (gap !== undefined && gap.to >= first.base)) return;
    const found = `the first one found begins at ${first.base}`;
    this.#damage ??= `${this.#folder}: the segment with offset ${logStart} is missing: ${found}`;
    this.#gaps.add({ from: logStart, to: first.base, segmentBase: logStart, position: 0, resume: undefined });
  }

  /** A cut that a crash interrupted; what lies above it may be in any state. */
  async #finishCut(end: number): Promise<void> {
    const place = await findCut(this.#files, this.#segments, end);
    if (place === undefined) throw new Damage(`${this.#folder}: the log was being cut to offset ${end}, which is gone`);
    this.#logger.warn({ folder: this.#folder, end }, 'finishing a cut of the log that was interrupted');
    await cutFiles(this.#files, this.#folder, this.#segments, place);
    const last = this.#segments.at(-1)!;
    this.#handles.set(last, last.handle!);
  }

  async #matches(last: Segment, clean: CleanEnd): Promise<boolean> {
    if (last.base !== clean.segmentBase || last.size !== clean.segmentBytes) return false;
    const handle = await this.#open(last);
    const header = readHeader(await readRange(handle, clean.lastPosition, clean.lastPosition + headerBytes), 0);
    if (typeof header === 'string' || header.headerCrc !== clean.lastHeaderCrc) return false;
    if (clean.lastPosition + header.length !== last.size) return false;
    if (header.baseOffset + header.recordCount !== clean.end || clean.end < this.#state.recoveryPoint) return false;
    this.#point = {
      position: last.size,
      offset: clean.end,
      term: header.term,
      timestampMs: header.appendTimestamp,
    };
    last.lastPosition = clean.lastPosition;
    last.lastTimestampMs = header.appendTimestamp;
    return true;
  }

  /** Rules 2 to 4, from the segment that holds the recovery point. */
  async #scan(): Promise<void> {
    const { recoveryPoint, term } = this.#state;
    const segments = this.#segments;
    // Strictly below: an empty last segment would not tell the last term and timestamp.
    let at = segments.length - 1;
    while (at > 0 && segments[at]!.base >= recoveryPoint) at--;
    this.#point = await this.#startIn(segments[at]!);
    const stretches: Stretch[] = [];
    let end: ScanEnd | undefined;
    for (let position = this.#point.position; at < segments.length; at++, position = 0) {
      end = await this.#scanWhole(segments[at]!, segments[at + 1], position, stretches);
    }
    if (this.#point.term > term) {
      const found = `the log holds term ${this.#point.term}, the state journal only ${term}`;
      this.#damage ??= `${this.#folder}: ${found}: the journal is older than the log`;
    }
    if (this.#damage === undefined) await this.#cut(segments.at(-1)!, end!);
    for (const stretch of stretches) await this.#rewrite(stretch);
  }

  /** Scans a segment from `position` on, over gaps; `#point` is where the log goes on after it. */
  async #scanWhole(
    segment: Segment,
    next: Segment | undefined,
    position: number,
    stretches: Stretch[],
  ): Promise<ScanEnd> {
    segment.indexedFrom = position;
    for (let from = position; ; ) {
      const end = await this.#scanOne(segment, from, stretches);
      const isWhole = end.why === 'end' || end.why === 'zeros';
      if (isWhole && end.offset === next?.base) return end;
      let gap: Gap | undefined = this.#gaps.beginningAt(segment.base, end);
      if (gap === undefined) {
        const damage = await this.#judge(segment, next, end);
        if (damage === undefined) return end;
        this.#damage ??= damage;
        gap = await gapAfter(await this.#open(segment), this.#state.salt, segment, end, segment.size, next?.base);
        if (gap === undefined) return end;
        this.#gaps.add(gap);
      }
      this.#point = { ...end, offset: gap.to };
      if (gap.resume === undefined) return end;
      from = gap.resume;
    }
  }

  /** Why something that had been synced is gone where a scan ended; undefined when it may be torn, or all is there. */
  async #judge(segment: Segment, next: Segment | undefined, end: ScanEnd): Promise<string | undefined> {
    const where = this.#describe(segment, end);
    const { recoveryPoint, salt } = this.#state;
    if (next !== undefined) return `${where}, but a later segment exists, so it had been synced whole`;
    if (end.offset < recoveryPoint) return `${where}, but everything below offset ${recoveryPoint} had been synced`;
    const placed = { salt, segmentBase: segment.base };
    const later = await findLaterGroup(await this.#open(segment), placed, end.position, segment.size);
    if (later === undefined) return undefined;
    const proof = `a later write group at byte ${later.position}, offset ${later.header.baseOffset}`;
    return `${where}, but ${proof} proves that it had been synced`;
  }

  /** The last batch below the recovery point, if it lies where the journal says; else the segment's beginning. */
  async #startIn(segment: Segment): Promise<ScanPoint> {
    const { point, recoveryPoint, salt } = this.#state;
    const beginning = { position: 0, offset: segment.base, term: 0, timestampMs: 0 };
    if (point === undefined || point.segmentBase !== segment.base) return beginning;
    const { position } = point;
    if (this.#gaps.endBefore(segment.base, position)) return beginning;
    const header = readHeader(await readRange(await this.#open(segment), position, position + headerBytes), 0);
    if (typeof header === 'string' || !isPlacedHere(header, salt, segment.base, position)) return beginning;
    if (header.baseOffset + header.recordCount !== recoveryPoint) return beginning;
    return { ...beginning, position, offset: header.baseOffset };
  }

  async #scanOne(segment: Segment, from: number, stretches: Stretch[]): Promise<ScanEnd> {
    const handle = await this.#open(segment);
    const { recoveryPoint } = this.#state;
    let rewriteFrom: number | undefined;
    const end = await scanSegment(handle, { ...this.#point, position: from }, segment.size, (header, position) => {
      segment.index.add(header.baseOffset, position, header.appendTimestamp);
      if (position === 0) segment.firstTimestampMs = header.appendTimestamp;
      if (header.baseOffset >= recoveryPoint) rewriteFrom ??= position;
      segment.lastPosition = position;
      segment.lastTimestampMs = header.appendTimestamp;
      this.#lastHeader = header;
    });
    segment.end = segment.synced = end.position;
    if (rewriteFrom !== undefined) stretches.push({ segment, from: rewriteFrom, to: end.position });
    this.#point = end;
    return end;
  }

  /** Takes what follows the last good batch away: zeros, or the torn rest of one write group. */
  async #cut(last: Segment, end: ScanEnd): Promise<void> {
    if (last.size === last.end) return;
    const handle = await this.#open(last);
    const content = await endOfContent(handle, last.end, last.size);
    const bytes = content - last.end;
    if (bytes > 0) {
      const after = this.#lastHeader === undefined ? 'an empty log' : `offset ${this.#lastHeader.baseOffset}`;
      const fields = { file: last.path, fromByte: last.end, bytes, fromOffset: end.offset, why: end.why, after };
      this.#logger.warn(fields, 'cut what a crash left of a write group that was never acknowledged');
    }
    await handle.truncate(last.end);
    last.size = last.end;
    await handle.dataSync();
  }

  async #rewrite({ segment, from, to }: Stretch): Promise<void> {
    const handle = await this.#open(segment);
    for (let at = from; at < to; at += copyBytes) {
      const bytes = await readRange(handle, at, Math.min(to, at + copyBytes));
      await handle.write([bytes], at);
    }
    await handle.dataSync();
  }

  #describe(segment: Segment, end: ScanEnd): string {
    const what = end.why === 'end' || end.why === 'zeros' ? 'it ends' : `the batch is not whole or intact (${end.why})`;
    return `${segment.path} at byte ${end.position}, offset ${end.offset}: ${what}`;
  }

  async #open(segment: Segment): Promise<FileHandle> {
    let handle = this.#handles.get(segment);
    if (handle === undefined) {
      handle = await this.#files.open(segment.path, 'write');
      this.#handles.set(segment, handle);
    }
    return handle;
  }

  async #closeHandles(except: Segment | undefined): Promise<void> {
    for (const [segment, handle] of this.#handles) {
      if (segment === except) continue;
      this.#handles.delete(segment);
      await handle.close();
    }
  }
}
