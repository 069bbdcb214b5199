/**
 * Opens what a log left on disk.
 *
 * 1. The folder is synced: names that were found may not have been durable.
 * 2. A clean end is believed when the last segment matches it in every field. Otherwise all batches are read from the
 *    last one below the recovery point on (or, when the journal's note of its place does not fit, from the beginning of
 *    its segment): both CRCs, consecutive offsets, terms and timestamps that never fall.
 * 3. A bad batch is torn if it lies at or above the recovery point, in the last segment, and every valid batch after it
 *    belongs to the same write group: a crash may leave any part of the group that was being written. It is cut. A
 *    later segment or a batch of a later group proves that it had been synced: then synced data is gone, nothing is
 *    changed and the log is read-only.
 * 4. Recovered is not durable: what is kept above the recovery point may be in the page cache only. The same bytes are
 *    written back in place and synced before they count.
 *
 * The folder of a log is never left worse: a crash during recovery is followed by the same recovery.
 */
import type { Logger } from '../base/logger.js';
import { type BatchHeader, headerBytes, isPlacedHere, readHeader } from '../batch/header.js';
import type { FileHandle, Files } from '../runtime/files.js';
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
  /** Set when synced data is gone or can't be read; nothing was changed then. */
  readonly problem: string | undefined;
}

/** Thrown inside recovery; becomes the `problem`. */
class Damage extends Error {}

export async function recover(files: Files, folder: string, state: ReplicaState, logger: Logger): Promise<Recovered> {
  const recovery = new Recovery(files, folder, state, logger);
  try {
    return await recovery.run();
  } catch (error) {
    const lack = lackOf(error);
    const todo = lack === undefined ? 'mend the disk' : `${lack}: ${remedyOf(lack)}`;
    const problem =
      error instanceof Damage
        ? `${error.message}; the log is read-only and nothing was changed: ${restore}`
        : `${folder} could not be recovered (${describe(error)}); the log is read-only; ${todo}, then start taskd again`;
    return { ...(await recovery.abandon()), problem };
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
    await this.#closeHandles(last);
    last.handle = await this.#open(last);
    return {
      segments: this.#segments,
      end: this.#point.offset,
      timestampMs: this.#point.timestampMs,
      problem: undefined,
    };
  }

  /** What can still be read after a problem: everything below the bad place. */
  async abandon(): Promise<Omit<Recovered, 'problem'>> {
    await this.#closeHandles(undefined);
    for (const segment of this.#segments) segment.handle = undefined;
    return { segments: this.#segments, end: this.#point.offset, timestampMs: this.#point.timestampMs };
  }

  async #findSegments(): Promise<void> {
    const { logStart } = this.#state;
    for (const { name } of await this.#files.list(this.#folder)) {
      const base = segmentBase(name);
      if (base === undefined) {
        if (isSnapshotName(name)) continue;
        this.#logger.warn({ file: `${this.#folder}/${name}` }, 'a file that is no segment lies in the folder of a log');
        continue;
      }
      const segment = new Segment(base, `${this.#folder}/${segmentName(base)}`, 0, 0);
      const handle = await this.#files.open(segment.path, 'read');
      const size = await handle.size();
      await handle.close();
      segment.size = segment.end = segment.synced = segment.indexedFrom = size;
      segment.isOnDisk = true;
      this.#segments.push(segment);
    }
    const first = this.#segments[0];
    if (first === undefined || first.base > logStart) {
      this.#segments.length = 0;
      const found = first === undefined ? 'there is none' : `the first one found begins at ${first.base}`;
      throw new Damage(`${this.#folder}: the segment with offset ${logStart} is missing: ${found}`);
    }
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
    const first = at;
    const rewriteFrom = new Map<Segment, number>();
    let cut: ScanEnd | undefined;
    for (; at < segments.length; at++) {
      const segment = segments[at]!;
      const next = segments[at + 1];
      const end = await this.#scanOne(segment, at === first ? this.#point.position : 0, rewriteFrom);
      const isWhole = end.why === 'end' || end.why === 'zeros';
      if (next !== undefined && isWhole && end.offset === next.base) continue;
      if (next !== undefined) {
        const where = this.#describe(segment, end);
        throw new Damage(`${where}, but a later segment exists, so it had been synced whole`);
      }
      cut = end;
    }
    const last = segments.at(-1)!;
    if (this.#point.offset < recoveryPoint) {
      throw new Damage(`${this.#describe(last, cut!)}, but everything below offset ${recoveryPoint} had been synced`);
    }
    if (this.#point.term > term) {
      const found = `the log holds term ${this.#point.term}, the state journal only ${term}`;
      throw new Damage(`${this.#folder}: ${found}: the journal is older than the log`);
    }
    await this.#assertTorn(last, cut!);
    await this.#cut(last, cut!);
    for (const [segment, from] of rewriteFrom) await this.#rewrite(segment, from);
  }

  /** The last batch below the recovery point, if it lies where the journal says; else the segment's beginning. */
  async #startIn(segment: Segment): Promise<ScanPoint> {
    const { point, recoveryPoint, salt } = this.#state;
    const beginning = { position: 0, offset: segment.base, term: 0, timestampMs: 0 };
    if (point === undefined || point.segmentBase !== segment.base) return beginning;
    const { position } = point;
    const header = readHeader(await readRange(await this.#open(segment), position, position + headerBytes), 0);
    if (typeof header === 'string' || !isPlacedHere(header, salt, segment.base, position)) return beginning;
    if (header.baseOffset + header.recordCount !== recoveryPoint) return beginning;
    return { ...beginning, position, offset: header.baseOffset };
  }

  async #scanOne(segment: Segment, from: number, rewriteFrom: Map<Segment, number>): Promise<ScanEnd> {
    const handle = await this.#open(segment);
    const { recoveryPoint } = this.#state;
    const end = await scanSegment(handle, { ...this.#point, position: from }, segment.size, (header, position) => {
      segment.index.add(header.baseOffset, position, header.appendTimestamp);
      if (position === 0) segment.firstTimestampMs = header.appendTimestamp;
      if (header.baseOffset >= recoveryPoint && !rewriteFrom.has(segment)) rewriteFrom.set(segment, position);
      segment.lastPosition = position;
      this.#lastHeader = header;
    });
    segment.end = segment.synced = end.position;
    segment.indexedFrom = from;
    this.#point = end;
    return end;
  }

  /** Throws when what follows the last good batch proves that more had been synced. */
  async #assertTorn(last: Segment, end: ScanEnd): Promise<void> {
    const placed = { salt: this.#state.salt, segmentBase: last.base };
    const later = await findLaterGroup(await this.#open(last), placed, end.position, last.size);
    if (later === undefined) return;
    const proof = `a later write group at byte ${later.position}, offset ${later.header.baseOffset}`;
    throw new Damage(`${this.#describe(last, end)}, but ${proof} proves that it had been synced`);
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

  async #rewrite(segment: Segment, from: number): Promise<void> {
    const handle = await this.#open(segment);
    for (let at = from; at < segment.end; at += copyBytes) {
      const bytes = await readRange(handle, at, Math.min(segment.end, at + copyBytes));
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
