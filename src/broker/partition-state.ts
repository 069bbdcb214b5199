/**
 * What a partition knows beside its records: its producers, and up to where it was told to forget. All of it follows
 * from the committed log; a snapshot now and then saves an open from reading all of that.
 *
 * A snapshot is of exactly what is committed at its end: it is taken in the turn in which the watermark got there. One
 * that can't be believed costs time, never truth: the log is read from its start then.
 */
import { readU64, writeU64 } from '../base/bytes.js';
import type { Logger } from '../base/logger.js';
import { headerBytes, isControl, readHeader } from '../batch/header.js';
import { readRecords } from '../batch/record.js';
import type { PartitionLog } from '../log/partition-log.js';
import { decodePartitionSnapshot, encodePartitionSnapshot } from './partition-snapshot.js';
import { ProducerTable } from './producer-table.js';

/** Types of records in control batches. */
export const ControlRecord = { NO_OP: 1, TRIM: 2 } as const;

/** What all partitions of a broker share. */
export interface StateHost {
  readonly logger: Logger;
  /** A snapshot is due when so many bytes were committed since the last one. */
  readonly snapshotBytes: number;
}

export class PartitionState {
  readonly producers: ProducerTable = new ProducerTable();
  readonly #log: PartitionLog;
  readonly #host: StateHost;
  #trimOffset = 0;
  #recordsEnd = 0;
  /** Where `log.logEnd` bytes stood when the last snapshot was taken. */
  #savedBytes = 0;
  /** Bytes of the last snapshot. */
  #snapshotBytes = 0;
  #saving: Promise<void> | undefined;

  constructor(log: PartitionLog, host: StateHost) {
    this.#log = log;
    this.#host = host;
  }

  /** The highest offset below which a committed record said that all is to go. */
  get trimOffset(): number {
    return this.#trimOffset;
  }

  /** One past the last record that is no control record, committed or not; what is behind it is of no use to readers. */
  get recordsEnd(): number {
    return this.#recordsEnd;
  }

  /** Records up to `endOffset` were appended, which are no control records. */
  appended(endOffset: number): void {
    this.#recordsEnd = endOffset;
  }

  /** Learns everything from the snapshot and what follows it in the log; then makes good a trim that a crash cut short. */
  async load(): Promise<void> {
    const snapshot = await this.#log.keeper.loadSnapshot(this.#log.syncedEnd);
    const known = snapshot === undefined ? undefined : decodePartitionSnapshot(snapshot.bytes, snapshot.end);
    if (known !== undefined) {
      this.#trimOffset = known.trimOffset;
      this.producers.restore(known);
      this.#snapshotBytes = snapshot!.bytes.length;
    } else if (snapshot !== undefined) {
      const { topicId, partition } = this.#log;
      this.#host.logger.error({ topicId, partition, end: snapshot.end }, 'the snapshot of a partition makes no sense');
    }
    this.#recordsEnd = known === undefined ? this.#log.logStart : snapshot!.end - known.controlTail;
    let bytes = 0;
    const from = known === undefined ? this.#log.logStart : snapshot!.end;
    await this.#log.eachHeader(from, known === undefined ? undefined : snapshot!.place, (header, control) => {
      bytes += header.length;
      if (control !== undefined) this.#replayControl(control);
      else if (!isControl(header)) {
        this.producers.replay(header);
        this.#recordsEnd = header.baseOffset + header.recordCount;
      }
    });
    this.#savedBytes = this.#log.bytesAppended - bytes;
    await this.trimAsTold();
  }

  /** Everything below `end` is committed now. */
  committed(end: number): void {
    this.producers.committed(end);
    const due = Math.max(this.#host.snapshotBytes, 4 * this.#snapshotBytes);
    if (this.#saving === undefined && this.unsavedBytes >= due) void this.save();
  }

  /** Saves what is committed now, if anything is new. A failure is logged: the next time may go better. */
  async save(): Promise<void> {
    while (this.#saving !== undefined) await this.#saving;
    if (this.unsavedBytes === 0) return;
    this.#saving = this.#saveNow().catch((error) => {
      const { topicId, partition } = this.#log;
      this.#host.logger.warn({ topicId, partition, error }, 'the snapshot of a partition could not be saved');
    });
    await this.#saving;
    this.#saving = undefined;
  }

  /** A record that says so was committed: what lies below `offset` goes. Durable when it resolves. */
  async trimTo(offset: number): Promise<void> {
    this.#trimOffset = Math.max(this.#trimOffset, offset);
    await this.#trim();
  }

  /** Makes good a trim that a crash or a full disk cut short; what fails is logged, and may go better later. */
  async trimAsTold(): Promise<void> {
    try {
      await this.#trim();
    } catch (error) {
      const { topicId, partition } = this.#log;
      this.#host.logger.warn({ topicId, partition, error }, 'a partition could not be trimmed');
    }
  }

  /** Retention: the log begins at `offset`, at most the watermark, from now on. Durable when it resolves. */
  async forgetBefore(offset: number): Promise<void> {
    if (offset <= this.#log.logStart) return;
    await this.#saveNow();
    await this.#log.trimTo(offset);
  }

  /** What the next open would read beside the snapshot. */
  get unsavedBytes(): number {
    return this.#log.bytesAppended - this.#savedBytes;
  }

  async #trim(): Promise<void> {
    const offset = Math.min(this.#trimOffset, this.#log.syncedEnd);
    await this.forgetBefore(offset);
  }

  async #saveNow(): Promise<void> {
    const { bytesAppended, syncedEnd } = this.#log;
    const controlTail = Math.max(0, syncedEnd - Math.max(this.#recordsEnd, this.#log.logStart));
    const bytes = encodePartitionSnapshot({
      trimOffset: this.#trimOffset,
      controlTail,
      ...this.producers.committedState(),
    });
    await this.#log.saveSnapshot(syncedEnd, bytes);
    this.#savedBytes = bytesAppended;
    this.#snapshotBytes = bytes.length;
  }

  #replayControl(batch: Uint8Array): void {
    const header = readHeader(batch, 0);
    if (typeof header === 'string') return;
    readRecords(batch.subarray(headerBytes), header.baseOffset, header.recordCount, ({ type, value }) => {
      const offset = type === ControlRecord.TRIM && value?.length === 8 ? readU64(value, 0) : undefined;
      if (offset !== undefined) this.#trimOffset = Math.max(this.#trimOffset, offset);
    });
  }
}

/** The value of a TRIM record: the offset as u64, big-endian. */
export function trimValue(offset: number): Uint8Array {
  const value = new Uint8Array(8);
  writeU64(value, 0, offset);
  return value;
}
