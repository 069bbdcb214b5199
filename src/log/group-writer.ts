/**
 * Puts write groups on disk, one after another: what gathered while the last one went there is the next one.
 *
 * ```
 * idle ── append ──► gathering ── end of turn, a turn at the device ──► writing ──┬─ more gathered ──► writing
 *                                                                        │  ▲     └─ nothing ──► idle
 *                                                          disk full ────┘  │ after a while: the same bytes again
 *                                                                        waiting
 * writing ── any other error ──► failed (final)
 * ```
 *
 * A write goes through to the disk (O_DSYNC): it is one with its fdatasync, for one trip through the thread pool. With a
 * flush interval a group stays open for that long, with ordinary writes, and an fdatasync ends it: gathering ⇄ writing ──►
 * syncing. It is one group all the same: until its sync the disk may have put any part of it down, and the next is not
 * written before.
 *
 * Order: a group's segment file is created and its folder synced, then the group is written and on disk, and only then
 * may the next be written. So a segment file exists only when all before it is on disk, and a crash can tear one group
 * only: the last. A failed write or sync is final, because the system reports it once and may forget the pages; a full
 * disk is not, since all of the group is written again.
 */

import { writeGroupBytesMax } from '../base/limits.js';
import type { Clock } from '../runtime/clock.js';
import { FileError, type FileHandle, type Files } from '../runtime/files.js';
import type { Device } from './device.js';
import { Segment, segmentName } from './segment.js';
import { describe, fullRetryMs, type Lack, lackOf } from './storage-error.js';
import { type GroupPart, WriteGroup } from './write-group.js';

/** Zeros are written ahead in such steps, so that the next small groups' syncs change no file size. */
const aheadBytes = 256 * 1024;
/** Zeros cost more than they give for larger groups, */
const smallGroupBytes = 32 * 1024;
/** and when groups come seldom. */
const aheadWithinMs = 1_000;
/** A log without a write for so long needs none. */
const restMs = 10_000;
const zeros = Buffer.alloc(aheadBytes);

/** What the writer tells its log. */
export interface GroupEvents {
  /** With a flush interval: all below `end` is in the file, but not on disk. */
  written(end: number): void;
  /** All up to the end of `group` is on disk. */
  synced(group: WriteGroup): void;
  /** The segment takes no more batches; all that is in it is on disk. */
  rolled(segment: Segment): void;
  /** Nothing can be written now, or (undefined) it can again; groups wait meanwhile. */
  full(lack: Lack | undefined): void;
  /** The disk is full: true when room was made. */
  makeRoom(): Promise<boolean>;
  /** On a full disk: false while what room there is is not for this log. */
  mayWrite(): boolean;
  /** Nothing more will be written. */
  failed(error: unknown): void;
}

export class GroupWriter {
  /** Its turns at the device come before those of others. */
  isUrgent = false;
  readonly #clock: Clock;
  readonly #files: Files;
  readonly #device: Device;
  readonly #folder: string;
  readonly #segments: Segment[];
  readonly #segmentBytes: number;
  readonly #events: GroupEvents;
  readonly #groups: WriteGroup[] = [];
  /** The first group is being written, */
  #isBegun = false;
  /** Each write of the first group goes through to the disk, so that no sync follows. */
  #isThrough = true;
  /** and takes no more batches. */
  #isSealed = false;
  #busy: Promise<void> | undefined;
  #failed = false;
  #flushIntervalMs = 0;
  /** The group being gathered is synced without waiting for the flush interval. */
  #isHurried = false;
  /** Ends the wait for more to write. */
  #wake: (() => void) | undefined;
  #lastSyncMs = -aheadWithinMs;
  /** A group that begins here or above is no longer wanted: it stops waiting for room on a full disk. */
  #cutEnd = Number.POSITIVE_INFINITY;

  /** `segments` is the log's own list, at least one in it; the writer appends to it when it rolls. */
  constructor(
    clock: Clock,
    files: Files,
    device: Device,
    folder: string,
    segments: Segment[],
    segmentBytes: number,
    events: GroupEvents,
  ) {
    this.#clock = clock;
    this.#files = files;
    this.#device = device;
    this.#folder = folder;
    this.#segments = segments;
    this.#segmentBytes = segmentBytes;
    this.#events = events;
  }

  get flushIntervalMs(): number {
    return this.#flushIntervalMs;
  }

  /**
   * 0: each group is written once and synced at once. Else it takes batches for so long, which are written as they come,
   * and is synced then, or when it is full.
   */
  set flushIntervalMs(ms: number) {
    if (ms < this.#flushIntervalMs) this.hurry();
    this.#flushIntervalMs = ms;
  }

  /** The group that takes a batch of `length` bytes whose first offset is `base`; the caller adds it in this turn. */
  groupFor(length: number, base: number): WriteGroup {
    const { segment, isNew } = this.#segmentFor(length, base);
    const count = this.#groups.length;
    const last = this.#groups[count - 1];
    const isOpen = last !== undefined && !(this.#isSealed && count === 1);
    if (isOpen && !isNew && last.length + length <= writeGroupBytesMax) {
      this.#wake?.();
      return last;
    }
    const group = new WriteGroup(segment, segment.end, base);
    this.#groups.push(group);
    if (this.#busy === undefined) this.#busy = this.#run();
    else this.#wake?.();
    return group;
  }

  #segmentFor(length: number, base: number): { segment: Segment; isNew: boolean } {
    const last = this.#segments.at(-1)!;
    const hasRoom = !last.isFull && last.end + length <= this.#segmentBytes;
    if (last.end === 0 || hasRoom) return { segment: last, isNew: false };
    const segment = new Segment(base, `${this.#folder}/${segmentName(base)}`, 0, 0);
    this.#segments.push(segment);
    return { segment, isNew: true };
  }

  /** What was appended so far is synced without waiting for the flush interval. */
  hurry(): void {
    if (this.#groups.length === 0) return;
    this.#isHurried = true;
    this.#wake?.();
  }

  /** Gives back the zeros that were written ahead, when nothing has been written for a while. */
  rest(): void {
    const segment = this.#segments.at(-1)!;
    const { handle, end } = segment;
    if (this.#busy !== undefined || this.#failed || handle === undefined || segment.size <= end) return;
    if (this.#clock.monotonicMs() - this.#lastSyncMs < restMs) return;
    // What a failure leaves is as good as before: zeros.
    const truncated = handle.truncate(end).then(() => {
      segment.size = end;
    });
    this.#busy = truncated
      .catch(() => {})
      .then(() => {
        this.#busy = this.#groups.length > 0 ? this.#run() : undefined;
      });
  }

  /** Resolves when everything appended so far is on disk, or the writer has failed. */
  async idle(): Promise<void> {
    while (this.#busy !== undefined) {
      this.hurry();
      await this.#busy;
    }
  }

  /**
   * Drops the groups that begin at or above `end`, in files not yet made too. Resolves when the others are on disk, or
   * the writer has failed. Nothing may be appended meanwhile.
   */
  async cutAt(end: number): Promise<void> {
    this.#cutEnd = end;
    while (this.#groups.length > (this.#isBegun ? 1 : 0) && this.#groups.at(-1)!.base >= end) this.#groups.pop();
    await this.idle();
    this.#cutEnd = Number.POSITIVE_INFINITY;
  }

  /** Nothing more is written; a group that is being written may still reach the disk, but nobody is told. */
  stop(): void {
    this.#failed = true;
    this.#groups.length = 0;
    this.#wake?.();
  }

  async #run(): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.defer(resolve));
    for (let group = this.#groups[0]; group !== undefined; group = this.#groups[0]) {
      try {
        this.#isBegun = true;
        const isWritten = await this.#writeAll(group);
        if (this.#failed) break;
        if (!isWritten) {
          this.#groups.length = 0;
          this.#events.full(undefined);
          break;
        }
        if (!this.#isThrough) await this.#device.sync(this.isUrgent, () => group.segment.handle!.dataSync());
      } catch (error) {
        if (!this.#failed) {
          this.stop();
          this.#events.failed(error);
        }
        break;
      }
      if (this.#failed) break;
      this.#groups.shift();
      this.#isBegun = this.#isSealed = false;
      group.segment.synced = group.position + group.length;
      this.#lastSyncMs = this.#clock.monotonicMs();
      this.#events.synced(group);
    }
    this.#isBegun = this.#isSealed = false;
    this.#busy = undefined;
  }

  /** Puts the whole group into the file; with a flush interval it goes on taking batches until that is over. */
  async #writeAll(group: WriteGroup): Promise<boolean> {
    const dueMs = this.#clock.monotonicMs() + this.#flushIntervalMs;
    this.#isThrough = this.#flushIntervalMs === 0;
    for (;;) {
      this.#isSealed = this.#isDue(dueMs);
      if (group.hasMore) {
        const part = group.take();
        if (!(await this.#writeWhenRoom(group, part)) || this.#failed) return false;
        if (this.#flushIntervalMs > 0) this.#events.written(part.end);
      }
      if (this.#isSealed) return true;
      if (!group.hasMore) await this.#change(dueMs);
      if (this.#failed) return false;
    }
  }

  /** True when the first group must be closed and synced now. */
  #isDue(dueMs: number): boolean {
    const isLast = this.#groups.length === 1;
    const isDue = !isLast || this.#isHurried || this.#clock.monotonicMs() >= dueMs;
    if (isLast) this.#isHurried = false;
    return isDue;
  }

  /** Resolves at the end of a turn that appended or hurries, at `dueMs` at the latest. */
  async #change(dueMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#clock.timer(dueMs - this.#clock.monotonicMs(), resolve);
      this.#wake = () => {
        this.#wake = undefined;
        timer.cancel();
        this.#clock.defer(resolve);
      };
    });
    this.#wake = undefined;
  }

  /**
   * While the disk is full nothing of the part counts: the same bytes are written to the same place again, first at
   * once without zeros ahead, then each second. False when it failed or is no longer wanted.
   */
  async #writeWhenRoom(group: WriteGroup, part: GroupPart): Promise<boolean> {
    let isFull = false;
    for (let attempt = 0; !this.#failed; attempt++) {
      if (attempt > 1 && group.base >= this.#cutEnd) return false;
      try {
        await this.#write(group, part, attempt === 0);
        if (isFull) this.#events.full(undefined);
        return true;
      } catch (error) {
        const lack = lackOf(error);
        if (lack === undefined) throw error;
        if (attempt === 0) continue;
        if (lack === 'the disk is full' && (await this.#events.makeRoom())) continue;
        if (!isFull) this.#events.full(lack);
        isFull = true;
        do await new Promise<void>((resolve) => this.#clock.timer(fullRetryMs, resolve));
        while (!this.#failed && group.base < this.#cutEnd && !this.#events.mayWrite());
      }
    }
    return false;
  }

  async #write(group: WriteGroup, part: GroupPart, mayWriteAhead: boolean): Promise<void> {
    const { segment } = group;
    const handle = await this.#handleOf(segment);
    const chunks = [...part.chunks];
    let end = part.position;
    for (const chunk of chunks) end += chunk.length;
    let ahead = 0;
    if (mayWriteAhead && end > segment.size && this.#isSmallAndFrequent(group)) {
      ahead = Math.max(0, Math.min(Math.ceil((end + 1) / aheadBytes) * aheadBytes, this.#segmentBytes) - end);
      if (ahead > 0) chunks.push(zeros.subarray(0, ahead));
    }
    await this.#device.sync(this.isUrgent, () => handle.write(chunks, part.position));
    segment.size = Math.max(segment.size, end + ahead);
  }

  /** The file of a segment, opened so as this group wants it. What was written before is on disk. */
  async #handleOf(segment: Segment): Promise<FileHandle> {
    const handle = segment.handle ?? (await this.#createFile(segment));
    if (handle.isThrough === this.#isThrough) return handle;
    segment.handle = await this.#files.open(segment.path, this.#isThrough ? 'through' : 'write');
    await handle.close();
    return segment.handle;
  }

  #isSmallAndFrequent(group: WriteGroup): boolean {
    if (this.#flushIntervalMs > 0 || group.length > smallGroupBytes) return false;
    return this.#clock.monotonicMs() - this.#lastSyncMs < aheadWithinMs;
  }

  /** Creates the file of a new last segment; all before it is on disk by then. */
  async #createFile(segment: Segment): Promise<FileHandle> {
    const before = this.#segments[this.#segments.indexOf(segment) - 1];
    if (before?.handle !== undefined) {
      if (before.size > before.end) await before.handle.truncate(before.end);
      before.size = before.end;
      const { handle } = before;
      before.handle = undefined;
      await handle.close();
    }
    if (before !== undefined) this.#events.rolled(before);
    const handle = await this.#openNew(segment.path);
    try {
      await this.#files.syncFolder(this.#folder);
    } catch (error) {
      await handle.close();
      if (!(error instanceof FileError && error.code === 'ENOSPC')) throw error;
      // A full disk, too, is final where a sync met it: what failed once is never synced again.
      throw new Error(`the folder could not be synced: ${describe(error)}`, { cause: error });
    }
    segment.handle = handle;
    segment.isOnDisk = true;
    return handle;
  }

  /** A file of this name can only be left of an attempt on a full disk: nothing in it was ever synced. */
  async #openNew(path: string): Promise<FileHandle> {
    try {
      return await this.#files.open(path, 'create');
    } catch (error) {
      if (!(error instanceof FileError && error.code === 'EEXIST')) throw error;
      const handle = await this.#files.open(path, 'write');
      try {
        await handle.truncate(0);
      } catch (truncateError) {
        await handle.close();
        throw truncateError;
      }
      return handle;
    }
  }
}
