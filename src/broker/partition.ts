/**
 * One partition of which this broker has the only replica, so it leads it and what is synced here is committed.
 *
 * ```
 *  opening ──producers replayed, term raised, own no-op synced──▶ active ──write or sync error──▶ failed
 *     ├──────────── damage, or the disk refuses ─────────────────────────────────────────────────────┘
 *     └─disk full─▶ full ──room again, no-op synced──▶ active
 *  each ──stop──▶ stopped
 * ```
 *
 * - *opening*: nothing is served. The term is durable before the no-op is appended, and there is no "end" before the
 *   no-op is committed.
 * - *full*: the disk had no room for the no-op. What was found is read; appends are refused (STORAGE_FULL) until there is room.
 * - *active*: appends and reads.
 * - *failed*: reads of what was committed; every append is refused with the problem in words. A log that was damaged
 *   when it was opened is read around its gaps (DATA_LOSS names them), but not an internal one: whoever replays that
 *   must never take a part of it for the whole.
 *
 * The order of effects after a sync: the producers' committed state, then the waiting answers in log order, then the
 * in-process readers, then the waiting fetches.
 */
import { ErrorCode, errorCodeName, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import { placeOf } from '../base/place.js';
import type { FullTopicConfig } from '../base/topic-config.js';
import { BatchBuilder } from '../batch/builder.js';
import { Attribute, BatchClass } from '../batch/header.js';
import type { Gap } from '../log/gaps.js';
import type { LogStats } from '../log/log-keeper.js';
import type { LogRegion } from '../log/log-region.js';
import type { PartitionLog } from '../log/partition-log.js';
import { type CommitWaiter, CommitWaiters } from './commit-waiters.js';
import { ControlRecord, PartitionState, type StateHost, trimValue } from './partition-state.js';
import type { ProducedBatch } from './produced-batches.js';

/** Someone in this process who reads what is committed. */
export interface CommitListener {
  /** The watermark has moved, or the partition has failed. */
  committed(): void;
}

/** Where produced batches are, or will be once `endOffset` is committed. */
export interface Appended {
  /** Undefined for a duplicate whose place is no longer known. */
  readonly baseOffset: number | undefined;
  readonly endOffset: number;
  readonly appendTimestamp: number;
  /** True when nothing new was appended. */
  readonly duplicate: boolean;
  /**
   * Of a mover's batch that was not appended since a part of it is here: the last sequence that is. The mover is told
   * SEQUENCE_OVERLAP once `endOffset` is committed, and cuts anew after it.
   */
  readonly overlap?: number;
}

export class Partition {
  readonly topicId: number;
  readonly partition: number;
  readonly key: number;
  readonly internal: boolean;
  /** After each move of the watermark, and at failure: for fetches that wait. */
  onCommitted: (partition: Partition) => void = () => {};
  readonly #log: PartitionLog;
  readonly #state: PartitionState;
  readonly #waiters = new CommitWaiters();
  /** Those who are content with a batch that is in the file and not on disk yet. */
  readonly #early = new CommitWaiters();
  readonly #listeners = new Set<CommitListener>();
  /** Offset of the record that began a segment only so that the one before could go. */
  #restedAt = -1;
  #isActive = false;
  /** Not active yet since the disk is full; what was committed before this start can be read. */
  #isFullAtStart = false;
  #tellFull: () => void = () => {};
  readonly #whenFull = new Promise<void>((resolve) => {
    this.#tellFull = resolve;
  });
  #isStopped = false;
  #problem: string | undefined;
  /** Counters for metrics. */
  recordsAppended = 0;
  bytesAppended = 0;
  duplicates = 0;

  constructor(log: PartitionLog, internal: boolean, host: StateHost) {
    this.#log = log;
    this.#state = new PartitionState(log, host);
    this.topicId = log.topicId;
    this.partition = log.partition;
    this.key = placeOf(log.topicId, log.partition);
    this.internal = internal;
    log.isInternal = internal;
    log.onFull = () => this.#full();
    this.#problem = log.problem;
    log.isUrgent = internal;
    log.onSynced = (syncedEnd) => this.#committed(syncedEnd);
    log.onWritten = (writtenEnd) => this.#early.settle(writtenEnd);
    log.onFailed = (error) => this.#failed(error.message);
  }

  get term(): number {
    return this.#log.term;
  }

  /** See `TopicConfig.flush_interval_ms`; 0 unless set, and always for internal topics. May change at any time. */
  get flushIntervalMs(): number {
    return this.#log.flushIntervalMs;
  }

  set flushIntervalMs(ms: number) {
    this.#log.flushIntervalMs = this.internal ? 0 : ms;
  }

  get logStart(): number {
    return this.#log.logStart;
  }

  get logEnd(): number {
    return this.#log.logEnd;
  }

  /** One past the last committed record. Means something only while `isActive` or once failed after that. */
  get highWatermark(): number {
    return this.#log.syncedEnd;
  }

  /** One past the last committed record that is somebody's, not the broker's own note; `logStart` when there is none. */
  get recordsEnd(): number {
    return Math.max(this.logStart, Math.min(this.#state.recordsEnd, this.highWatermark));
  }

  get bytes(): number {
    return this.#log.bytes;
  }

  /** True from the commit of the own no-op on; a failed partition goes on serving what was committed. */
  get isActive(): boolean {
    return this.#isActive && !this.#isStopped;
  }

  /** True when all that was committed is served: active, or the disk was full at the start. */
  get isServing(): boolean {
    return (this.#isActive || this.#isFullAtStart) && !this.#isStopped;
  }

  /** True when fetches are served: active, or damaged and of use to a reader all the same. */
  get isReadable(): boolean {
    if (this.#isStopped) return false;
    if (this.#isActive || this.#isFullAtStart) return true;
    return this.#log.problem !== undefined && this.#log.isReadable && !this.internal;
  }

  /** Why it takes no appends. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** `problem` as those are told who want to append. */
  get refusal(): TaskdError | undefined {
    return this.#problem === undefined ? undefined : storageFailed(this.#name, this.#problem);
  }

  get producers(): number {
    return this.#state.producers.size;
  }

  /**
   * Learns the producers from the log, raises the term durably and commits the own no-op. Resolves when the partition
   * serves, or when it is known that it can't (then `problem` says why).
   */
  async activate(): Promise<void> {
    if (this.#problem !== undefined) return;
    try {
      await this.#state.load();
      await this.#log.raiseTerm();
      const noOp = this.#appendControl(ControlRecord.NO_OP).then(() => this.#begin());
      // On a full disk there is no telling when that is done; what is there can be read meanwhile.
      await Promise.race([noOp, this.#whenFull]);
      noOp.catch((error) => this.#failed(messageOf(error)));
    } catch (error) {
      this.#failed(messageOf(error));
      if (!(error instanceof TaskdError)) throw error;
    }
  }

  /**
   * Judges and appends what `readProduced` has passed; durable once the watermark has passed `endOffset`. Throws when
   * nothing was appended, with the reason; OUTCOME_UNKNOWN when only the first of several batches went in.
   */
  append(batches: readonly ProducedBatch[]): Appended {
    this.assertWritable();
    let result: Appended | undefined;
    for (const batch of batches) {
      const appended = this.#appendOne(batch, result !== undefined);
      result = result === undefined ? appended : joined(result, appended);
    }
    return result!;
  }

  /** Appends a batch of this process's own, without judging sequences. Returns its base offset. Throws like `append`. */
  appendOwn(batch: Uint8Array, recordCount: number): number {
    this.assertWritable();
    const baseOffset = this.#log.append(batch);
    this.#state.appended(baseOffset + recordCount);
    this.recordsAppended += recordCount;
    this.bytesAppended += batch.length;
    return baseOffset;
  }

  /**
   * With a flush interval the sync comes at once: somebody waits for it. One who does not wait for room on a full disk
   * fails with OUTCOME_UNKNOWN (retry AFTER), perhaps in this call; the batches stay, and are committed once there is room.
   */
  whenCommitted(waiter: CommitWaiter): void {
    if (this.#leaves(waiter)) return;
    if (this.flushIntervalMs > 0) this.#log.hurry();
    this.#waiters.add(waiter, this.#log.syncedEnd);
  }

  /**
   * With a flush interval: answers once the batches are in the file, so that they survive the death of this process but
   * not a power loss. Nothing else follows from it: the watermark, sequences and readers wait for the sync.
   */
  whenWritten(waiter: CommitWaiter): void {
    if (this.#leaves(waiter)) return;
    this.#early.add(waiter, this.#log.syncedEnd);
  }

  /**
   * Takes away what lies below `offset`, which is at most the watermark: a control record says so and is committed, then
   * the producers' state is saved, then the log's start moves. Durable when it resolves; a crash in between is made good
   * when the partition opens. No effect below the log's start.
   */
  async trimBefore(offset: number): Promise<void> {
    this.assertWritable();
    if (!(offset <= this.highWatermark)) {
      const message = `records below offset ${offset} are to go, but only those below ${this.highWatermark} are committed`;
      throw new TaskdError(ErrorCode.OFFSET_OUT_OF_RANGE, message);
    }
    if (offset <= this.logStart) return;
    await this.#appendControl(ControlRecord.TRIM, trimValue(offset));
    await this.#state.trimTo(offset);
  }

  /** To be called now and then: takes away what the topic's retention does not keep, and tidies up. */
  async maintain(): Promise<void> {
    if (!this.isActive || this.#problem !== undefined) return;
    await this.#state.trimAsTold();
    this.#log.maintain();
    const { start, isLastOld } = await this.#log.keeper.expired();
    if (isLastOld && this.#log.logEnd > this.#restedAt + 1) {
      // A record of our own begins the next segment; alone in it, it need not give way to another one.
      this.#restedAt = this.#log.logEnd;
      this.#log.keeper.rollNext();
      await this.#appendControl(ControlRecord.NO_OP);
      return this.maintain();
    }
    await this.#state.forgetBefore(Math.min(start, this.highWatermark));
  }

  /** Takes effect at once, also for what is there already. */
  configure({ retentionMs, retentionBytes, flushIntervalMs }: FullTopicConfig): void {
    this.#log.keeper.configure({ retentionMs, retentionBytes });
    this.flushIntervalMs = flushIntervalMs;
  }

  /** Its topic was deleted: whoever waits learns it, and nothing is served any more. */
  abandon(): void {
    this.#isStopped = true;
    const error = new TaskdError(ErrorCode.NOT_FOUND, `${this.#name} was deleted meanwhile`);
    this.#early.fail(error);
    this.#waiters.fail(error);
    this.onCommitted(this);
  }

  /** Serves nothing any more; what was appended is still answered when it is on disk. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Reads the full segments again; resolves with what is newly known to be gone. */
  async scrub(pace: (bytes: number) => Promise<void>): Promise<readonly Gap[]> {
    if (this.#isStopped) return [];
    const known = new Set(this.#log.gaps.map(({ from }) => from));
    await this.#log.keeper.scrub(pace);
    return this.#log.gaps.filter(({ from }) => !known.has(from));
  }

  /** What the disk has lost of it, in words for a person; undefined when nothing is known to be gone. */
  get loss(): string | undefined {
    const { gaps } = this.#log;
    if (gaps.length === 0) return undefined;
    const ranges = gaps.slice(0, 5).map(({ from, to }) => `${from} to ${to - 1}`);
    return `the disk has lost the records ${ranges.join(', ')}${gaps.length > 5 ? ' and others' : ''}`;
  }

  /** Numbers for metrics. */
  get logStats(): LogStats {
    return this.#log.keeper.stats;
  }

  /** Saves what an open would otherwise have to read the log for. */
  saveState(): Promise<void> {
    return this.#state.save();
  }

  /** Bytes of the log that an open would read beside what is saved. */
  get unsavedBytes(): number {
    return this.#state.unsavedBytes;
  }

  listen(listener: CommitListener): void {
    this.#listeners.add(listener);
  }

  unlisten(listener: CommitListener): void {
    this.#listeners.delete(listener);
  }

  /** See `PartitionLog.readHot`. */
  readHot(offset: number, bytesMax: number): Uint8Array[] | undefined {
    return this.#log.readHot(offset, bytesMax);
  }

  /** See `PartitionLog.hotBytes`. */
  hotBytes(offset: number): number | undefined {
    return this.#log.hotBytes(offset);
  }

  /** See `PartitionLog.regionsAt`. */
  regionsAt(offset: number, bytesMax: number): LogRegion[] | undefined {
    return this.#log.regionsAt(offset, bytesMax);
  }

  /** See `PartitionLog.regions`. */
  regions(offset: number, bytesMax: number): Promise<LogRegion[]> {
    return this.#log.regions(offset, bytesMax);
  }

  /** See `PartitionLog.read`. */
  read(offset: number, bytesMax: number): Promise<Uint8Array[]> {
    return this.#log.read(offset, bytesMax);
  }

  /** The base offset of the first batch appended at `timestampMs` or later, or the watermark. */
  offsetForTime(timestampMs: number): Promise<number> {
    return this.#log.offsetForTime(timestampMs);
  }

  /** Throws unless the end of this partition can be told. */
  assertServing(): void {
    if (this.#isStopped) throw new TaskdError(ErrorCode.DRAINING, 'this broker is stopping', { retry: Retry.OTHER });
    if (this.isReadable && this.#problem === undefined) return;
    if (this.#isActive) return;
    if (this.#problem !== undefined) throw storageFailed(this.#name, this.#problem);
    const message = `${this.#name} is being opened; ask again in a moment`;
    throw new TaskdError(ErrorCode.NOT_READY, message, { retry: Retry.AFTER, retryAfterMs: 50 });
  }

  /** Throws unless appends are taken. */
  assertWritable(): void {
    if (this.#problem !== undefined) throw storageFailed(this.#name, this.#problem);
    this.assertServing();
    if (!this.#isActive && this.#log.refusal !== undefined) throw this.#log.refusal;
  }

  get #name(): string {
    return `partition ${this.partition} of topic ${this.topicId}`;
  }

  #appendOne(batch: ProducedBatch, isLater: boolean): Appended {
    const { header, bytes } = batch;
    const verdict = this.#state.producers.check(header);
    if (verdict.kind === 'refuse') throw verdict.error;
    if (verdict.kind === 'overlap') {
      const { endOffset, lastSequence: overlap } = verdict;
      return { baseOffset: undefined, endOffset, appendTimestamp: 0, duplicate: true, overlap };
    }
    if (verdict.kind === 'repeat' || verdict.kind === 'duplicate') {
      this.duplicates++;
      const isKnown = verdict.kind === 'repeat';
      return {
        baseOffset: isKnown ? verdict.baseOffset : undefined,
        endOffset: verdict.endOffset,
        appendTimestamp: isKnown ? verdict.appendTimestamp : 0,
        duplicate: true,
      };
    }
    let baseOffset: number;
    try {
      baseOffset = this.#log.append(bytes);
    } catch (error) {
      if (isLater && error instanceof TaskdError) throw appendedInPart(error);
      throw error;
    }
    const { recordCount } = header;
    this.#state.appended(baseOffset + recordCount);
    const appendTimestamp = this.#log.lastTimestampMs;
    if (header.producerId !== 0) {
      const { producerId, producerEpoch, baseSequence, lastSequence } = header;
      const mark = { producerId, producerEpoch, baseSequence, lastSequence };
      this.#state.producers.appended({ ...mark, baseOffset, recordCount, appendTimestamp });
    }
    this.recordsAppended += recordCount;
    this.bytesAppended += bytes.length;
    return { baseOffset, endOffset: baseOffset + recordCount, appendTimestamp, duplicate: false };
  }

  /** Resolves when the record is committed. */
  #appendControl(type: number, value?: Uint8Array): Promise<void> {
    const builder = new BatchBuilder();
    builder.append(value === undefined ? { type } : { type, value });
    const attributes = Attribute.CONTROL;
    const batch = builder.finish({ baseTimestamp: 0, batchClass: BatchClass.OWNER, attributes });
    const endOffset = this.#log.append(batch, true) + 1;
    return new Promise<void>((resolve, reject) => {
      this.whenCommitted({ endOffset, committed: resolve, failed: reject });
    });
  }

  #begin(): void {
    this.#isActive = true;
    if (!this.#isFullAtStart) return;
    this.#isFullAtStart = false;
    for (const listener of this.#listeners) listener.committed();
    this.onCommitted(this);
  }

  #full(): void {
    if (!this.#isActive) this.#isFullAtStart = true;
    this.#tellFull();
    const error = this.#heldUp;
    if (error === undefined) return;
    this.#waiters.leave(error);
    this.#early.leave(error);
  }

  /** True when the waiter was told that the disk is full, and is done with. */
  #leaves(waiter: CommitWaiter): boolean {
    if (waiter.leavesWhenFull !== true || waiter.endOffset <= this.#log.syncedEnd) return false;
    const error = this.#heldUp;
    if (error === undefined) return false;
    waiter.failed(error);
    return true;
  }

  /** For records that were appended: the full disk that keeps them from being committed. */
  get #heldUp(): TaskdError | undefined {
    const { refusal } = this.#log;
    return isTaskdError(refusal, ErrorCode.STORAGE_FULL) ? heldUpByFull(refusal) : undefined;
  }

  #committed(end: number): void {
    this.#state.committed(end);
    this.#waiters.settle(end);
    this.#early.settle(end);
    for (const listener of this.#listeners) listener.committed();
    this.onCommitted(this);
  }

  #failed(problem: string): void {
    if (this.#problem !== undefined) return;
    this.#problem = problem;
    const message = `${this.#name} failed before the records were on disk: ${problem}`;
    const error = new TaskdError(ErrorCode.OUTCOME_UNKNOWN, message, { retry: Retry.SAME });
    this.#waiters.fail(error);
    this.#early.fail(error);
    for (const listener of this.#listeners) listener.committed();
    this.onCommitted(this);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function joined(first: Appended, next: Appended): Appended {
  return {
    baseOffset: first.baseOffset,
    endOffset: Math.max(first.endOffset, next.endOffset),
    appendTimestamp: first.appendTimestamp,
    duplicate: first.duplicate && next.duplicate,
  };
}

function appendedInPart(cause: TaskdError): TaskdError {
  const message = `only the first batches of the request were appended: ${cause.message}`;
  return new TaskdError(ErrorCode.OUTCOME_UNKNOWN, message, { retry: Retry.SAME, cause });
}

function heldUpByFull(cause: TaskdError): TaskdError {
  const message = `the broker has the records, but can't put them on its disk: ${cause.message}`;
  const { retryAfterMs } = cause;
  const hint = errorCodeName(ErrorCode.STORAGE_FULL);
  return new TaskdError(ErrorCode.OUTCOME_UNKNOWN, message, { retry: Retry.AFTER, retryAfterMs, hint, cause });
}

function storageFailed(name: string, problem: string): TaskdError {
  return new TaskdError(ErrorCode.STORAGE_FAILED, `${name} takes no records: ${problem}`);
}
