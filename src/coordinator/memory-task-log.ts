import { BatchBuilder } from '../batch/builder.js';
import { type BatchClass, headerBytes } from '../batch/header.js';
import { type NewRecord, readRecords, type StoredRecord } from '../batch/record.js';
import type { Clock } from '../runtime/clock.js';
import type { CommittedBatch, LogReader, LogSubscription, TaskLog } from './task-log.js';

/** Batches told to one reader in one turn. */
const batchesPerTurn = 64;
/** A reader at the end is told so at least this often. */
const lookMs = 1_000;

/**
 * A `TaskLog` that keeps its batches in memory: for tests, and for trying a shard without a disk. "Durable" means that
 * it outlives whoever appends to it. Appends become readable at the end of the turn, in the order of the calls.
 */
export class MemoryTaskLog implements TaskLog {
  readonly #clock: Clock;
  readonly #batches: CommittedBatch[] = [];
  readonly #readers: Set<MemoryReader> = new Set<MemoryReader>();
  #nextOffset = 0;
  #lastTimestampMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The offset that the next record gets. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  append(records: readonly NewRecord[], batchClass: BatchClass): Promise<readonly number[]> {
    return new Promise((resolve) => {
      this.#clock.defer(() => {
        const offsets = this.#commit(records, batchClass);
        for (const reader of this.#readers) reader.wake();
        resolve(offsets);
      });
    });
  }

  read(offset: number, reader: LogReader): LogSubscription {
    const subscription = new MemoryReader(this.#clock, this.#batches, offset, reader, () => {
      this.#readers.delete(subscription);
    });
    this.#readers.add(subscription);
    subscription.wake();
    return subscription;
  }

  recordAt(offset: number): Promise<StoredRecord | undefined> {
    const batch = this.#batches[batchIndex(this.#batches, offset)];
    return Promise.resolve(batch?.records[offset - batch.baseOffset]);
  }

  #commit(records: readonly NewRecord[], batchClass: BatchClass): number[] {
    const offsets: number[] = [];
    const builder = new BatchBuilder();
    const cut = (): void => {
      if (builder.recordCount === 0) return;
      const count = builder.recordCount;
      const bytes = builder.finish({ baseTimestamp: 0, batchClass });
      const stored: StoredRecord[] = [];
      readRecords(bytes.subarray(headerBytes), this.#nextOffset, count, (record) => stored.push(record));
      this.#lastTimestampMs = Math.max(this.#lastTimestampMs, this.#clock.wallMs());
      this.#batches.push({
        baseOffset: this.#nextOffset,
        appendTimestampMs: this.#lastTimestampMs,
        batchClass,
        records: stored,
      });
      for (const { offset } of stored) offsets.push(offset);
      this.#nextOffset += count;
    };
    for (const record of records) {
      if (builder.append(record)) continue;
      cut();
      builder.append(record);
    }
    cut();
    return offsets;
  }
}

class MemoryReader implements LogSubscription {
  readonly #clock: Clock;
  readonly #batches: readonly CommittedBatch[];
  readonly #reader: LogReader;
  readonly #closed: () => void;
  #offset: number;
  #isAwake = false;
  #isClosed = false;

  constructor(clock: Clock, batches: readonly CommittedBatch[], offset: number, reader: LogReader, closed: () => void) {
    this.#clock = clock;
    this.#batches = batches;
    this.#offset = offset;
    this.#reader = reader;
    this.#closed = closed;
    this.#look();
  }

  poke(): void {
    this.wake();
  }

  close(): void {
    this.#isClosed = true;
    this.#closed();
  }

  wake(): void {
    if (this.#isAwake || this.#isClosed) return;
    this.#isAwake = true;
    this.#clock.defer(() => this.#turn());
  }

  #turn(): void {
    this.#isAwake = false;
    const beganMs = this.#clock.monotonicMs();
    let at = batchIndex(this.#batches, this.#offset);
    for (let told = 0; told < batchesPerTurn && at < this.#batches.length; told++, at++) {
      if (this.#isClosed) return;
      const batch = this.#batches[at]!;
      const next = batch.baseOffset + batch.records.length;
      const seen = this.#offset;
      this.#offset = next;
      this.#reader.batch(seen <= batch.baseOffset ? batch : rest(batch, seen));
    }
    if (this.#isClosed) return;
    if (at < this.#batches.length) this.wake();
    else this.#reader.caughtUp(this.#offset, beganMs);
  }

  #look(): void {
    this.#clock.timer(lookMs, () => {
      if (this.#isClosed) return;
      this.wake();
      this.#look();
    });
  }
}

/** The part of a batch from `offset` on. */
function rest(batch: CommittedBatch, offset: number): CommittedBatch {
  return { ...batch, baseOffset: offset, records: batch.records.slice(offset - batch.baseOffset) };
}

/** The index of the batch that holds `offset`, or of the end. */
function batchIndex(batches: readonly CommittedBatch[], offset: number): number {
  let low = 0;
  let high = batches.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const batch = batches[middle]!;
    if (batch.baseOffset + batch.records.length <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
