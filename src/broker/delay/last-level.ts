/**
 * Drives one partition of the last level: what its log says goes into the core, what the core wants goes out.
 *
 * The order of effects of a turn: read what is committed; let time pass; append the Fires of what has become due; produce
 * those Fires that were read back; now and then say what is done, and trim. A Fire is never produced before it is
 * committed, and its batch bears the Fire's own offset as its only sequence, so that producing it again does nothing.
 */
import { ErrorCode, Retry, TaskdError } from '../../base/errors.js';
import { BatchBuilder } from '../../batch/builder.js';
import { BatchClass, batchClass, headerBytes, isControl } from '../../batch/header.js';
import { type NewRecord, readRecords, type StoredRecord } from '../../batch/record.js';
import type { Runtime } from '../../runtime/runtime.js';
import { moverProducerId } from '../mover-table.js';
import type { CommitListener, Partition } from '../partition.js';
import { BatchCursor, type ReadBatch } from './batch-cursor.js';
import { eachDelayed, moverBatch, type Onward } from './delayed-record.js';
import {
  cancelRecord,
  FireRecord,
  fireDoneRecord,
  fireRecord,
  readCancel,
  readFire,
  readFireDone,
} from './fire-records.js';
import type { FireTarget, OpenFire, Pending } from './fire-target.js';
import { type AskedFire, LastLevelCore, liveCancelsMax } from './last-level-core.js';
import type { Lateness } from './lateness.js';
import { LogTrimmer } from './log-trimmer.js';
import { parkingLevel } from './parked-record.js';
import { Pump } from './pump.js';
import { readBack } from './read-back.js';
import type { StuckTargets } from './stuck-targets.js';

/** A record as its target gets it. */
export type Rewrite = (record: Pending, timestampDelta: number) => Onward;

/** Where a Fire's records go. */
export type Destination =
  | { readonly kind: 'serving'; readonly partition: Partition; readonly rewrite: Rewrite; readonly isLevel?: true }
  /** Its topic was deleted: the records go to the dead letters, which are `instead` once they are there. */
  | { readonly kind: 'gone'; readonly instead: number | undefined }
  | { readonly kind: 'away'; readonly why: string };

export interface LastLevelHost {
  readonly runtime: Runtime;
  readonly lateness: Lateness;
  readonly stuck: StuckTargets;
  readonly trimBytes: number;
  /** Records in memory from which on no more are taken; undefined: the usual. */
  readonly heldMax: number | undefined;
  /** Records that went to a level again; counted here. */
  parked: number;
  target(topicId: number, partition: number): Destination;
  /** The topic of a level whose partition takes records, made if it is not there; undefined as long as there is none. */
  parking(level: number, partition: number): number | undefined;
  /** True when no level above holds anything for this partition that is due by `dueMs`. */
  hasPassed(partition: number, dueMs: number): boolean;
}

interface CancelWaiter {
  readonly resolve: (cancelled: boolean) => void;
  readonly reject: (error: TaskdError) => void;
}

/** The number of this mover in producer ids. Format; 1 and 2 are the levels' cursors. */
const fireCursor = 3;
const doneEveryMs = 1_000;
const againMs = 100;
/** A clock that was set is noticed within so long. */
const lookMs = 1_000;
/** Bytes of the log that are read back in one turn. */
const turnBytes = 4 * 1024 * 1024;
/** Cancels that are written again at once. */
const carriedMax = 10_000;

export class LastLevel implements CommitListener {
  readonly core: LastLevelCore;
  readonly #host: LastLevelHost;
  readonly #partition: Partition;
  readonly #batches: BatchCursor;
  readonly #producerId: number;
  readonly #trimmer: LogTrimmer;
  readonly #pump: Pump;
  /** The log begins here; its first batch may begin before, with records that were trimmed away. */
  readonly #from: number;
  /** Once the log was read to here, time counts. */
  readonly #startEnd: number;
  readonly #cancels = new Map<number, CancelWaiter>();
  #isActive = false;
  #isSaying = false;
  #saidMs = 0;

  constructor(host: LastLevelHost, partition: Partition) {
    this.#host = host;
    this.#partition = partition;
    this.#pump = new Pump(host.runtime.clock, () => this.#look());
    const { heldMax } = host;
    this.core = new LastLevelCore(host.runtime.clock.wallMs(), heldMax === undefined ? {} : { heldMax });
    this.#from = partition.logStart;
    this.#batches = new BatchCursor(host.runtime, partition, this.#from, () => this.wake());
    this.#producerId = moverProducerId(fireCursor, partition.topicId, partition.partition);
    this.#trimmer = new LogTrimmer(host.runtime.logger, partition, host.trimBytes);
    this.#startEnd = partition.highWatermark;
  }

  start(): void {
    this.#partition.listen(this);
    this.wake();
  }

  stop(): void {
    this.#pump.stop();
    this.#partition.unlisten(this);
    this.#batches.close();
    const error = new TaskdError(ErrorCode.DRAINING, 'this broker is stopping; ask again', { retry: Retry.OTHER });
    for (const { reject } of this.#cancels.values()) reject(error);
    this.#cancels.clear();
  }

  /** Whether records may be moved here. */
  get hasRoom(): boolean {
    return this.#isActive && this.core.hasRoom;
  }

  /** True when everything that is in the log was read back. */
  get isCaughtUp(): boolean {
    return this.#isActive && this.#batches.offset >= this.#partition.logEnd;
  }

  /** Resolves when the Cancel is committed and read back: true when the record will not be delivered. */
  cancel(origin: number, dueMs: number): Promise<boolean> {
    if (!this.#isActive || this.#pump.isStopped) return Promise.reject(notReady());
    if (this.core.liveCancels + this.#cancels.size >= liveCancelsMax) return Promise.reject(tooManyCancels());
    return new Promise((resolve, reject) => {
      const offset = this.#append([cancelRecord({ origin, dueMs, carried: false })], reject);
      if (offset === undefined) return;
      this.#cancels.set(offset, { resolve, reject });
      const failed = (error: TaskdError): void => {
        this.#cancels.delete(offset);
        reject(error);
      };
      this.#partition.whenCommitted({ endOffset: offset + 1, committed: () => {}, failed });
    });
  }

  committed(): void {
    this.wake();
  }

  wake(): void {
    this.#pump.wake();
  }

  #look(): void {
    if (!this.#partition.isActive) return;
    this.#readLog();
    if (!this.#isActive) {
      if (this.#batches.offset < this.#startEnd) return;
      this.#isActive = true;
      this.core.activate();
    }
    this.core.advance(this.#host.runtime.clock.wallMs());
    this.#fire();
    for (const fire of this.core.toProduce()) this.#produce(fire);
    this.#housekeep();
    this.#arm();
  }

  #readLog(): void {
    let bytes = 0;
    for (let batch = this.#batches.peek(); batch !== undefined; batch = this.#batches.peek()) {
      this.#replay(batch);
      this.#batches.step();
      bytes += batch.bytes.length;
      if (bytes > turnBytes) {
        this.wake();
        break;
      }
    }
    this.#settleLost();
  }

  /** Cancels that were passed and not read: the disk has lost them. */
  #settleLost(): void {
    for (const [offset, { reject }] of this.#cancels) {
      if (offset >= this.#batches.offset) return;
      this.#cancels.delete(offset);
      reject(lostCancel());
    }
  }

  #replay(batch: ReadBatch): void {
    const { header, bytes } = batch;
    eachDelayed(batch, this.#from, (delayed) => this.core.arrived(delayed));
    if (batchClass(header) !== BatchClass.OWNER || isControl(header)) return;
    readRecords(bytes.subarray(headerBytes), header.baseOffset, header.recordCount, (record) => {
      if (record.offset >= this.#from) this.#replayOwn(record, header.appendTimestamp);
    });
  }

  #replayOwn({ type, value, offset }: StoredRecord, appendTimestampMs: number): void {
    if (value === undefined) return;
    if (type === FireRecord.FIRE) this.core.fired(offset, readFire(value), appendTimestampMs);
    else if (type === FireRecord.FIRE_DONE) this.core.fireDone(readFireDone(value));
    else if (type === FireRecord.CANCEL) {
      const isCancelled = this.core.cancelled(offset, readCancel(value), appendTimestampMs);
      this.#cancels.get(offset)?.resolve(isCancelled);
      this.#cancels.delete(offset);
    }
  }

  /** What is ready is fired; for targets that take nothing it waits, and goes round when memory for others is short. */
  #fire(): void {
    const stuck: FireTarget[] = [];
    const fires = this.core.compose((target) => {
      const takes = this.#takes(target);
      if (!takes) stuck.push(target);
      return takes;
    });
    for (const fire of fires) this.#appendFire(fire);
    if (stuck.length === 0) return;
    this.#pump.wakeIn(againMs);
    for (const target of stuck) if (this.core.isCrowded) this.#park(target);
  }

  #takes({ topicId, partition }: FireTarget): boolean {
    const destination = this.#host.target(topicId, partition);
    if (destination.kind === 'serving') return true;
    this.#tellStuck(topicId, partition, destination);
    return destination.kind === 'gone' && destination.instead !== undefined;
  }

  #tellStuck(topicId: number, partition: number, destination: Exclude<Destination, { kind: 'serving' }>): void {
    if (destination.kind === 'gone') this.#host.stuck.went(topicId, partition);
    else this.#host.stuck.refused(topicId, partition, destination.why);
  }

  #park(target: FireTarget): void {
    const lateMs = this.#host.runtime.clock.wallMs() - target.readySinceMs;
    const { partition } = this.#partition;
    const topicId = this.#host.parking(parkingLevel(lateMs), partition);
    const fire = topicId === undefined ? undefined : this.core.divert(target, topicId, partition);
    if (fire !== undefined) this.#appendFire(fire);
  }

  #appendFire(fire: AskedFire): void {
    this.#append([fireRecord(fire)], () => {
      this.core.notAppended(fire);
      this.#pump.wakeIn(againMs);
    });
  }

  /** One batch of this level's own; `refused` when it can't be appended. Returns the offset of its first record. */
  #append(records: readonly NewRecord[], refused: (error: TaskdError) => void): number | undefined {
    const builder = new BatchBuilder();
    for (const record of records) {
      if (!builder.append(record)) throw new Error('taskd bug: the decisions of one turn do not fit in a batch');
    }
    const bytes = builder.finish({ baseTimestamp: 0, batchClass: BatchClass.OWNER });
    try {
      return this.#partition.appendOwn(bytes, records.length);
    } catch (error) {
      if (!(error instanceof TaskdError)) throw error;
      refused(error);
      return undefined;
    }
  }

  #produce(fire: OpenFire): void {
    const { topicId, partition } = fire.target;
    const destination = this.#host.target(topicId, partition);
    if (destination.kind === 'gone' && destination.instead !== undefined) this.#fireInstead(fire, destination.instead);
    if (destination.kind !== 'serving') {
      this.#tellStuck(topicId, partition, destination);
      this.#pump.wakeIn(againMs);
      return;
    }
    if (fire.records.some(({ record }) => record === undefined)) {
      void this.#readBack(fire);
      return;
    }
    const records = fire.records.map((pending) => {
      const { offset, timestampMs, bytes, record } = pending;
      return { offset, timestampMs, bytes, record: record!, pending };
    });
    const fields = { producerId: this.#producerId, baseSequence: fire.offset, lastSequence: fire.offset };
    const batch = moverBatch(records, fields, ({ pending }, delta) => destination.rewrite(pending, delta));
    const dueMs = fire.records.map((record) => record.dueMs);
    fire.isBusy = true;
    try {
      const { endOffset } = destination.partition.append([batch]);
      destination.partition.whenCommitted({
        endOffset,
        committed: () => {
          const nowMs = this.#host.runtime.clock.wallMs();
          if (destination.isLevel) this.#host.parked += dueMs.length;
          else for (const each of dueMs) this.#host.lateness.add(nowMs - each);
          this.#host.stuck.went(topicId, partition);
          this.core.produced(fire);
          this.wake();
        },
        failed: () => this.#again(fire),
      });
    } catch (error) {
      if (!(error instanceof TaskdError)) throw error;
      this.#host.stuck.refused(topicId, partition, error.message);
      this.#again(fire);
    }
  }

  #fireInstead(fire: OpenFire, topicId: number): void {
    fire.isBusy = true;
    const record = fireRecord({ topicId, partition: 0, offsets: [], insteadOf: fire.offset });
    this.#append([record], () => this.#again(fire));
  }

  async #readBack(fire: OpenFire): Promise<void> {
    fire.isBusy = true;
    try {
      const offsets = fire.records.filter(({ record }) => record === undefined).map(({ offset }) => offset);
      const found = await readBack(
        this.#partition,
        offsets.sort((a, b) => a - b),
      );
      this.core.readBack(fire, found);
      fire.isBusy = false;
      this.wake();
    } catch (error) {
      this.#host.runtime.logger.warn({ error }, 'delayed records could not be read back; trying again');
      this.#again(fire);
    }
  }

  #again(fire: OpenFire): void {
    fire.isBusy = false;
    this.#pump.wakeIn(againMs);
  }

  /** Every second: what is done, Cancels that have outlived their record, and the log's start. */
  #housekeep(): void {
    const nowMs = this.#host.runtime.clock.monotonicMs();
    if (this.#isSaying || nowMs - this.#saidMs < doneEveryMs) return;
    this.#saidMs = nowMs;
    if (this.isCaughtUp) this.core.dropCancels((dueMs) => this.#host.hasPassed(this.#partition.partition, dueMs));
    const records = this.core.dones().map(fireDoneRecord);
    if (this.#trimmer.isTime) {
      const next = this.#batches.offset;
      const { logStart } = this.#partition;
      if (!this.#trimmer.trim(this.core.low(next), () => this.core.trimmed(this.#partition.logStart))) {
        records.push(...this.core.carried((logStart + next) / 2, carriedMax).map(cancelRecord));
      }
    }
    if (records.length === 0) return;
    const offset = this.#append(records, () => {});
    if (offset === undefined) return;
    this.#isSaying = true;
    const over = (): void => {
      this.#isSaying = false;
    };
    this.#partition.whenCommitted({ endOffset: offset + records.length, committed: over, failed: over });
  }

  #arm(): void {
    const dueMs = this.core.nextDueMs;
    const waitMs = dueMs === undefined ? lookMs : dueMs - this.#host.runtime.clock.wallMs();
    if (dueMs !== undefined || this.core.hasWork) this.#pump.wakeIn(Math.min(Math.max(waitMs, 0), lookMs));
  }
}

function notReady(): TaskdError {
  const message = 'the delayed records are being read after a start; ask again in a moment';
  return new TaskdError(ErrorCode.NOT_READY, message, { retry: Retry.AFTER, retryAfterMs: 100 });
}

function lostCancel(): TaskdError {
  const message = 'the cancel was lost with the disk before it was read; ask again';
  return new TaskdError(ErrorCode.OUTCOME_UNKNOWN, message, { retry: Retry.SAME });
}

function tooManyCancels(): TaskdError {
  const message = `${liveCancelsMax} cancelled records have not come to their end yet; cancel fewer, or later`;
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 5_000 });
}
