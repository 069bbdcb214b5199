/**
 * The log of one partition.
 *
 * ```
 * open ──┬─ disk full ──► full ── room again ──► open
 *        ├─ a write or sync error, or the journal's ──► failed (final until the next start)
 *        └─ close ──► closed
 * read-only: recovery found a problem; reads below it go on (final until mended)
 * ```
 */
import { readU32 } from '../base/bytes.js';
import { assert, ErrorCode, isTaskdError, TaskdError } from '../base/errors.js';
import { type BatchHeader, headerBytes, placeBatch, stampBatch } from '../batch/header.js';
import type { Runtime } from '../runtime/runtime.js';
import { leaveClean } from './clean-end.js';
import type { Gap, Gaps } from './gaps.js';
import { GroupWriter } from './group-writer.js';
import { busy, closed, noCut, outOfRange, remedy, unsyncedBytesMax } from './log-errors.js';
import type { LogHost } from './log-host.js';
import { LogKeeper } from './log-keeper.js';
import { LogReader } from './log-reader.js';
import type { LogRegion } from './log-region.js';
import type { Recovered } from './recovery.js';
import { type BatchPlace, type ReplicaState, replicaFolder } from './replica-state.js';
import type { Segment } from './segment.js';
import { type Lack, storageFailed, storageFull, storageLow } from './storage-error.js';
import { Tail } from './tail.js';
import { type CutPlace, cutFiles, findCut } from './truncation.js';
import type { WriteGroup } from './write-group.js';

/** What must be written back after a crash is kept below this. */
const recoveryBytesMax = 64 * 1024 * 1024;

/**
 * Offsets are exclusive ends at batch boundaries: `logStart` ≤ `syncedEnd` ≤ `logEnd`. With one replica `syncedEnd` is
 * what is committed.
 */
export class PartitionLog {
  readonly topicId: number;
  readonly partition: number;
  readonly replicaId: number;
  /** False when recovery could not do its work: what was found may not be durable, so nobody may be given it. */
  readonly isReadable: boolean;
  /**
   * Called after each fdatasync, in the loop's own turn: everything below `syncedEnd` is on disk.
   * Every acknowledgement comes from here.
   */
  onSynced: (syncedEnd: number) => void = () => {};
  /**
   * With a flush interval: called after each write, everything below `writtenEnd` is in the file. It survives the death
   * of the process, not a power loss.
   */
  onWritten: (writtenEnd: number) => void = () => {};
  /** A topic of taskd itself: may use what is kept for it on a disk that is nearly full. */
  isInternal = false;
  /** Called when the disk is full and nothing can be written, until there is room again. */
  onFull: () => void = () => {};
  /** Called once when a write or a sync failed: nothing above `syncedEnd` will ever be acknowledged. */
  onFailed: (error: TaskdError) => void = () => {};
  /** What the log keeps, and for how long: its start, its retention, its snapshot. */
  readonly keeper: LogKeeper;
  readonly #runtime: Runtime;
  readonly #host: LogHost;
  readonly #folder: string;
  readonly #state: ReplicaState;
  readonly #segments: Segment[];
  readonly #writer: GroupWriter;
  readonly #reader: LogReader;
  readonly #tail: Tail;
  readonly #gaps: Gaps;
  #term: number;
  #logEnd: number;
  #syncedEnd: number;
  #lastTimestampMs: number;
  /** Bytes of all batches that were appended in this life. */
  bytesAppended = 0;
  #unsyncedBytes = 0;
  #bytesSincePoint = 0;
  /** A sync that ends tells of nothing above: it is being cut off. */
  #cutEnd = Number.POSITIVE_INFINITY;
  /** Where the last synced batch lies, once there was one in this life. */
  #lastSynced: BatchPlace | undefined;
  /** Why appends are refused now. */
  #refusal: TaskdError | undefined;
  #problem: string | undefined;
  #isClosed = false;

  /** Only `LogStore` makes logs; `folder` is the absolute path. */
  constructor(runtime: Runtime, host: LogHost, folder: string, state: ReplicaState, recovered: Recovered) {
    this.topicId = state.topicId;
    this.partition = state.partition;
    this.replicaId = state.replicaId;
    this.#runtime = runtime;
    this.#host = host;
    this.#folder = folder;
    this.#state = state;
    this.#segments = recovered.segments;
    this.#term = state.term;
    this.#logEnd = this.#syncedEnd = recovered.end;
    this.#lastTimestampMs = recovered.timestampMs;
    this.#gaps = recovered.gaps;
    this.isReadable = recovered.isReadable;
    this.#tail = new Tail(host.tails, recovered.end);
    this.#reader = new LogReader(runtime, host.handles, this.#segments, this.#gaps, state.salt, () => this.#syncedEnd);
    this.keeper = new LogKeeper(runtime, host.journal, host.handles, folder, state, this.#segments, this.#reader);
    const last = recovered.segments.at(-1);
    if (last !== undefined && last.end > 0) {
      this.#lastSynced = { segmentBase: last.base, position: last.lastPosition };
    }
    const { clock, files } = runtime;
    this.#writer = new GroupWriter(clock, files, host.device, folder, this.#segments, host.segmentBytes, {
      written: (end) => this.onWritten(end),
      synced: (group) => this.#synced(group),
      rolled: (segment) => this.#reader.rolled(segment),
      full: (lack) => this.#full(lack),
      makeRoom: () => (this.isInternal ? host.space.makeRoom() : Promise.resolve(false)),
      mayWrite: () => this.isInternal || host.space.isOpenToUsers,
      failed: (error) => this.fail(storageFailed(`${this.#name} could not be written`, remedy, error)),
    });
    if (recovered.problem !== undefined) {
      this.#problem = recovered.problem;
      this.#refusal = new TaskdError(ErrorCode.STORAGE_FAILED, recovered.problem);
    }
  }

  /** The term that the next append gets; raised by `raiseTerm`. */
  get term(): number {
    return this.#term;
  }

  get logStart(): number {
    return this.keeper.logStart;
  }

  /** One past the last appended record. */
  get logEnd(): number {
    return this.#logEnd;
  }

  /** One past the last record that is on disk. Reads end here. */
  get syncedEnd(): number {
    return this.#syncedEnd;
  }

  /** The append timestamp of the latest batch, so the one that the last `append` gave; 0 for an empty log. */
  get lastTimestampMs(): number {
    return this.#lastTimestampMs;
  }

  /** Its syncs come before those of other logs, when more than the device takes at once want one. */
  set isUrgent(isUrgent: boolean) {
    this.#writer.isUrgent = isUrgent;
  }

  /** See `TopicConfig.flush_interval_ms`; 0 (every write group is synced at once) unless set. May change at any time. */
  get flushIntervalMs(): number {
    return this.#writer.flushIntervalMs;
  }

  set flushIntervalMs(ms: number) {
    this.#writer.flushIntervalMs = ms;
  }

  /** Bytes of all batches in the log. */
  get bytes(): number {
    let bytes = 0;
    for (const segment of this.#segments) bytes += segment.end;
    return bytes;
  }

  /** Offsets below `syncedEnd` that are known to be gone, in order. `read` tells more of them when it meets them. */
  get gaps(): readonly Gap[] {
    return this.#gaps.all;
  }

  /** Why this log takes no appends, in words for a person: what, where, how to mend. Undefined when all is well. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Why appends are refused now, perhaps only for a while. */
  get refusal(): TaskdError | undefined {
    return this.#refusal;
  }

  /** Bytes that wait for the disk. */
  get unsyncedBytes(): number {
    return this.#unsyncedBytes;
  }

  /** Raises the term by one. Durable in the state journal when it resolves; resolves with the new term. */
  async raiseTerm(): Promise<number> {
    this.#refuse();
    const term = ++this.#state.term;
    this.#host.journal.put(this.#state);
    await this.#host.journal.flush();
    this.#term = Math.max(this.#term, term);
    return term;
  }

  /**
   * Appends one batch that the caller has checked with `readBatch`: copies it into the write group that is being
   * gathered and gives the copy its offset, term and append timestamp (`max(previous, clock)`). Returns the base
   * offset at once; durable when `onSynced` passes the batch's end. `batch` itself is not changed and not kept.
   * Throws STORAGE_FAILED (for good) after a failed write or sync or with a `problem`, STORAGE_FULL (retry AFTER) while
   * the disk is full or, unless `isOwn`, so low that only taskd's own records are taken, BUSY (retry AFTER) while too many bytes wait for the disk; nothing is appended then.
   */
  append(batch: Uint8Array, isOwn: boolean = this.isInternal): number {
    this.#refuse();
    const { length } = batch;
    const { space } = this.#host;
    if (space.isLow && !isOwn) throw storageLow(this.#name, space.leftBytes, space.minFreeBytes);
    assert(length >= headerBytes && readU32(batch, 16) === length, 'append takes one whole, checked batch');
    if (this.#unsyncedBytes + length > unsyncedBytesMax) throw busy(this.#name);
    const baseOffset = this.#logEnd;
    const end = baseOffset + readU32(batch, 72);
    const appendTimestamp = Math.max(this.#lastTimestampMs, this.#runtime.clock.wallMs());
    const group = this.#writer.groupFor(length, baseOffset);
    const { segment } = group;
    const position = segment.end;
    const slab = this.#tail.slabFor(length);
    const at = slab.length;
    slab.bytes.set(batch, at);
    stampBatch(slab.bytes, at, { baseOffset, appendTimestamp, term: this.#term });
    placeBatch(slab.bytes, at, {
      salt: this.#state.salt,
      segmentBase: segment.base,
      position,
      groupStart: position - group.position,
    });
    slab.added(baseOffset, end, length);
    group.add(slab, length, end);
    segment.index.add(baseOffset, position, appendTimestamp);
    segment.firstTimestampMs ??= position === 0 ? appendTimestamp : undefined;
    segment.lastPosition = position;
    segment.lastTimestampMs = appendTimestamp;
    segment.end = position + length;
    this.#logEnd = end;
    this.#lastTimestampMs = appendTimestamp;
    space.take(length);
    this.bytesAppended += length;
    this.#unsyncedBytes += length;
    return baseOffset;
  }

  /** What was appended so far is synced without waiting for the flush interval. */
  hurry(): void {
    this.#writer.hurry();
  }

  /**
   * Reads from the batch that holds `offset` up to `syncedEnd`, at most `bytesMax` bytes but at least one batch.
   * Each chunk is one or more whole batches back to back, the caller's to keep and not to change; no chunk at
   * `syncedEnd`. Rejects with OFFSET_OUT_OF_RANGE outside [logStart, syncedEnd], and with DATA_LOSS where records are
   * gone; its hint `from-to` says which offsets, and reading goes on at `to`.
   */
  async read(offset: number, bytesMax: number): Promise<Uint8Array[]> {
    return this.readHot(offset, bytesMax) ?? this.#reader.read(offset, bytesMax);
  }

  /**
   * Where on disk the bytes lie that `read` would give, to be sent as they are: not checked, and perhaps with batches
   * before the one that holds `offset`. Each region keeps its file until it is released. Rejects as `read` does.
   */
  async regions(offset: number, bytesMax: number): Promise<LogRegion[]> {
    this.#checkReadable(offset);
    return offset === this.#syncedEnd ? [] : this.#reader.regions(offset, bytesMax);
  }

  /** What `regions` would give, at once; undefined when it takes a read. Throws like it. */
  regionsAt(offset: number, bytesMax: number): LogRegion[] | undefined {
    this.#checkReadable(offset);
    return offset === this.#syncedEnd ? [] : this.#reader.regionsAt(offset, bytesMax);
  }

  /** What `read` would give, at once, when it is all in memory; undefined when the file must be read. Throws like it. */
  readHot(offset: number, bytesMax: number): Uint8Array[] | undefined {
    this.#checkReadable(offset);
    return offset === this.#syncedEnd ? [] : this.#tail.read(offset, bytesMax);
  }

  /** Bytes of what may be read from the batch that holds `offset` on, if that is in memory; else undefined. Throws like `read`. */
  hotBytes(offset: number): number | undefined {
    this.#checkReadable(offset);
    return offset === this.#syncedEnd ? 0 : this.#tail.bytesFrom(offset);
  }

  #checkReadable(offset: number): void {
    if (this.#isClosed) throw closed(this.#name);
    if (offset < this.logStart || offset > this.#syncedEnd) throw outOfRange(this, offset);
  }

  /** The base offset of the first batch appended at `timestampMs` or later; `syncedEnd` when there is none. */
  async offsetForTime(timestampMs: number): Promise<number> {
    if (this.#isClosed) throw closed(this.#name);
    const end = this.#syncedEnd;
    return Math.max((await this.#reader.offsetForTime(timestampMs)) ?? end, this.logStart);
  }

  /**
   * To be called now and then: a segment is closed after a day or when it holds all that is kept, and a log at rest
   * gives back zeros written ahead.
   */
  maintain(): void {
    if (this.#problem !== undefined || this.#isClosed) return;
    this.keeper.closeLast();
    this.#writer.rest();
  }

  /**
   * Moves the log's start up to `offset`: durable in the state journal when it resolves, and readers below get
   * OFFSET_OUT_OF_RANGE from then on. Segments that lie wholly below leave the disk as soon as nobody reads or sends
   * them. No effect below the start; OFFSET_OUT_OF_RANGE above `syncedEnd`. The caller has a snapshot at or above.
   */
  async trimTo(offset: number): Promise<void> {
    if (this.#isClosed) throw closed(this.#name);
    if (this.#problem !== undefined) this.#refuse();
    if (!(offset <= Math.min(this.#syncedEnd, this.#cutEnd))) throw outOfRange(this, offset);
    return this.keeper.trimTo(offset);
  }

  /**
   * Saves what must be known of everything below `end`, so that the next open need not read it; `end` is at most
   * `syncedEnd`. Its file and name are on disk before the state journal names it; the one before goes then. No effect
   * when one at or above `end` is saved.
   */
  async saveSnapshot(end: number, bytes: Uint8Array): Promise<void> {
    assert(end <= this.#syncedEnd, 'a snapshot holds only what is on disk');
    if (this.#isClosed) throw closed(this.#name);
    if (this.#problem !== undefined) return;
    return this.keeper.saveSnapshot({ end, bytes, place: end === this.#syncedEnd ? this.#endPlace() : undefined });
  }

  /**
   * Cuts the log to `end`, a batch boundary at or above the recovery point. Appends are refused (BUSY, retry AFTER)
   * until it resolves; then the cut is durable, and the caller rolls back what it derived from the records above `end`
   * before it appends again. `onSynced` never tells of an end above `end` from the call on. INVALID, with nothing
   * changed, when `end` is no batch boundary here; STORAGE_FAILED, for good, when the files can't be cut.
   */
  async truncateTo(end: number): Promise<void> {
    if (this.#problem !== undefined || this.#isClosed) this.#refuse();
    if (this.#cutEnd !== Number.POSITIVE_INFINITY) throw busy(this.#name);
    if (end === this.#logEnd) return;
    this.#refusal = busy(this.#name);
    this.#cutEnd = end;
    try {
      await this.keeper.alone(() => this.#cut(end));
    } catch (error) {
      if (isTaskdError(error, ErrorCode.INVALID)) throw error;
      this.fail(storageFailed(`${this.#name} could not be cut to offset ${end}`, remedy, error));
      throw this.#refusal!;
    } finally {
      this.#cutEnd = Number.POSITIVE_INFINITY;
      if (this.#problem === undefined) this.#refusal = this.#isClosed ? closed(this.#name) : undefined;
    }
  }

  /** Nobody else changes the list of segments meanwhile. */
  async #cut(end: number): Promise<void> {
    const { files } = this.#runtime;
    if (end < Math.max(this.#state.recoveryPoint, this.logStart) || end > this.#logEnd) throw noCut(this, end);
    // What is below the cut reaches the disk first; a sync that ends now tells of nothing above it.
    await this.#writer.cutAt(end);
    if (this.#problem !== undefined) throw this.#refusal;
    const place = await findCut(files, this.#segments, end);
    if (place === undefined) throw noCut(this, end);
    await this.#storeCut(end);
    const removed = await cutFiles(files, this.#folder, this.#segments, place);
    for (const segment of removed) segment.retire(() => this.#host.handles.drop(segment));
    this.#wasCut(end, place);
    await this.#storeCut(undefined);
  }

  async #storeCut(cutTo: number | undefined): Promise<void> {
    this.#state.cutTo = cutTo;
    this.#host.journal.put(this.#state);
    await this.#host.journal.flush();
  }

  #wasCut(end: number, place: CutPlace): void {
    this.#logEnd = this.#syncedEnd = end;
    this.#lastSynced = undefined;
    this.#lastTimestampMs = place.lastHeader?.appendTimestamp ?? 0;
    this.#unsyncedBytes = 0;
    this.#tail.clear(end);
    this.#runtime.logger.info({ topicId: this.topicId, partition: this.partition, end }, 'the log was cut');
  }

  /**
   * Visits the header of each batch that ends above `from`, in order, up to `syncedEnd`, and gets the whole batch for
   * control batches only; bodies are not checked. `place` is where a batch that begins at `from` lies, if that is known.
   * Rejects with DATA_LOSS where a header can't be read.
   */
  eachHeader(
    from: number,
    place: BatchPlace | undefined,
    visit: (header: BatchHeader, control: Uint8Array | undefined) => void,
  ): Promise<void> {
    return this.#reader.eachHeader(from, place, visit);
  }

  /** Writes and syncs what was appended, then closes the files. `LogStore.close` does it for all. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const wasHealthy = this.#refusal === undefined;
    this.#refusal ??= closed(this.#name);
    if (!wasHealthy) this.#writer.stop();
    await this.#writer.idle();
    await this.#reader.idle();
    await this.keeper.close();
    const last = this.#segments.at(-1);
    const isAllWritten = this.#syncedEnd === this.#logEnd;
    if (wasHealthy && isAllWritten && this.#problem === undefined && last?.handle !== undefined)
      await this.#endClean(last);
    for (const segment of this.#segments) {
      await segment.handle?.close();
      segment.handle = undefined;
      segment.retire(() => this.#host.handles.drop(segment));
    }
    while (this.#tail.dropFirst()) {}
  }

  async #endClean(last: Segment): Promise<void> {
    try {
      await leaveClean(last, this.#syncedEnd, this.#state);
      this.#host.journal.put(this.#state);
    } catch (error) {
      this.fail(storageFailed(`${this.#name} could not be closed`, remedy, error));
    }
  }

  /** For the store: moves the recovery point to what is synced; true when the journal has something to flush. */
  moveRecoveryPoint(): boolean {
    this.#bytesSincePoint = 0;
    const point = Math.min(this.#syncedEnd, this.#cutEnd);
    if (this.#state.recoveryPoint >= point || this.#problem !== undefined) return false;
    this.#state.recoveryPoint = point;
    this.#state.point = point === this.#syncedEnd ? this.#lastSynced : undefined;
    this.#host.journal.put(this.#state);
    return true;
  }

  /** Takes no more appends and tells so, once. For the store when its journal failed. */
  fail(error: TaskdError): void {
    if (this.#problem !== undefined) return;
    this.#problem = error.message;
    this.#refusal = error;
    this.#writer.stop();
    this.#runtime.logger.error(
      { topicId: this.topicId, partition: this.partition, error: error.message },
      'log failed',
    );
    this.onFailed(error);
  }

  /** Where the batch after the last synced one will lie, if it goes into the same segment. */
  #endPlace(): BatchPlace | undefined {
    const base = this.#lastSynced?.segmentBase;
    const segment = this.#segments.findLast((each) => each.base === base);
    return segment === undefined ? undefined : { segmentBase: segment.base, position: segment.synced };
  }

  get #name(): string {
    return `the log ${replicaFolder(this.#state)}`;
  }

  #refuse(): void {
    if (this.#refusal !== undefined) throw this.#refusal;
  }

  #synced(group: WriteGroup): void {
    this.#unsyncedBytes -= group.length;
    this.#bytesSincePoint += group.length;
    const end = Math.min(group.end, this.#cutEnd);
    if (end <= this.#syncedEnd) return;
    this.#syncedEnd = end;
    const isWhole = end === group.end;
    this.#lastSynced = isWhole ? { segmentBase: group.segment.base, position: group.lastPosition } : undefined;
    this.#tail.synced(end);
    this.#host.pointMoved(this.#bytesSincePoint > recoveryBytesMax);
    this.onSynced(end);
  }

  #full(lack: Lack | undefined): void {
    if (this.#isClosed && lack !== undefined) {
      // Nobody waits for room then: what is not on disk was acknowledged to nobody.
      this.#writer.stop();
      this.#runtime.logger.warn({ topicId: this.topicId, partition: this.partition }, `${lack}: not closed cleanly`);
    }
    if (this.#problem !== undefined || this.#isClosed) return;
    const isBeingCut = this.#cutEnd !== Number.POSITIVE_INFINITY;
    if (!isBeingCut) this.#refusal = lack === undefined ? undefined : storageFull(this.#name, lack);
    const fields = { topicId: this.topicId, partition: this.partition };
    if (lack === undefined) this.#runtime.logger.info(fields, 'appends are taken again');
    else this.#runtime.logger.warn(fields, `${lack}: appends are refused until that has changed`);
    if (lack !== undefined) this.onFull();
  }
}
