/**
 * The port `TaskLog` on a partition of this very process: no wire, no retries in doubt, and committed batches handed to
 * readers in the turn in which their sync came back.
 */
import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import { recordBatchBytesMax } from '../base/limits.js';
import { BatchBuilder } from '../batch/builder.js';
import { type BatchClass, batchClass as classOf, headerBytes, isControl, readHeader } from '../batch/header.js';
import { type NewRecord, RecordError, readRecords, recordProblem, type StoredRecord } from '../batch/record.js';
import type { CommittedBatch, LogReader, LogSubscription, TaskLog } from '../coordinator/task-log.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Partition } from './partition.js';

/** A reader at the end is told so at least this often. */
const lookMs = 500;
/** After a read that failed in passing. */
const readAgainMs = 100;
/** An append that the disk does not take for so long is given up. */
const deliveryTimeoutMs = 120_000;
/** Bytes of appends that wait for the disk. */
const queuedBytesMax: number = 64 * 1024 * 1024;
/** What one reader takes from the log at once. */
const readBytes: number = 1024 * 1024;
/** What one reader is told in one turn, so that a long replay doesn't hold up the process. */
const turnBytes: number = 4 * 1024 * 1024;

interface SealedBatch {
  readonly bytes: Uint8Array;
  readonly recordCount: number;
}

interface PendingAppend {
  readonly batches: readonly SealedBatch[];
  readonly offsets: number[];
  readonly expiresMs: number;
  readonly resolve: (offsets: readonly number[]) => void;
  readonly reject: (error: TaskdError) => void;
  next: number;
}

export class PartitionTaskLog implements TaskLog {
  readonly #runtime: Runtime;
  readonly #partition: Partition;
  /** Appends that the disk had no room for, in order; nothing passes them. */
  readonly #queue: PendingAppend[] = [];
  #queuedBytes = 0;
  #isRetrying = false;

  constructor(runtime: Runtime, partition: Partition) {
    this.#runtime = runtime;
    this.#partition = partition;
  }

  append(records: readonly NewRecord[], batchClass: BatchClass): Promise<readonly number[]> {
    if (records.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      for (const record of records) {
        const problem = recordProblem(record);
        if (problem !== undefined) return reject(new TaskdError(ErrorCode.TOO_LARGE, problem));
      }
      const batches = this.#seal(records, batchClass);
      const expiresMs = this.#runtime.clock.monotonicMs() + deliveryTimeoutMs;
      const pending: PendingAppend = { batches, offsets: [], expiresMs, resolve, reject, next: 0 };
      if (this.#queuedBytes > queuedBytesMax) return reject(tooManyQueued());
      this.#queue.push(pending);
      this.#queuedBytes += bytesOf(pending);
      if (this.#queue.length === 1) this.#drain();
    });
  }

  read(offset: number, reader: LogReader): LogSubscription {
    return new PartitionReader(this.#runtime, this.#partition, offset, reader);
  }

  async recordAt(offset: number): Promise<StoredRecord | undefined> {
    if (offset < this.#partition.logStart || offset >= this.#partition.highWatermark) return undefined;
    const chunks = this.#partition.readHot(offset, 1) ?? (await this.#partition.read(offset, 1));
    const chunk = chunks[0];
    const header = chunk === undefined ? 'short' : readHeader(chunk, 0);
    if (chunk === undefined || typeof header === 'string') return undefined;
    const batch = committedBatch(chunk, 0);
    return batch?.records[offset - batch.baseOffset];
  }

  #seal(records: readonly NewRecord[], batchClass: BatchClass): SealedBatch[] {
    const batches: SealedBatch[] = [];
    const builder = new BatchBuilder(recordBatchBytesMax);
    const baseTimestamp = this.#runtime.clock.wallMs();
    const seal = (): void => {
      const recordCount = builder.recordCount;
      batches.push({ recordCount, bytes: builder.finish({ baseTimestamp, batchClass }) });
    };
    for (const record of records) {
      if (builder.append(record)) continue;
      seal();
      builder.append(record);
    }
    seal();
    return batches;
  }

  #drain(): void {
    while (this.#queue.length > 0) {
      const pending = this.#queue[0]!;
      const error = this.#tryAppend(pending);
      if (error?.retry === Retry.AFTER && this.#runtime.clock.monotonicMs() < pending.expiresMs) {
        this.#retryAfter(error.retryAfterMs);
        return;
      }
      this.#queue.shift();
      this.#queuedBytes -= bytesOf(pending);
      if (error !== undefined) pending.reject(pending.next === 0 ? error : partlyAppended(error));
    }
  }

  /** Appends what is left of `pending` and lets it wait for the commit; or says why not. */
  #tryAppend(pending: PendingAppend): TaskdError | undefined {
    const { batches, offsets, resolve, reject } = pending;
    try {
      for (; pending.next < batches.length; pending.next++) {
        const { bytes, recordCount } = batches[pending.next]!;
        const base = this.#partition.appendOwn(bytes, recordCount);
        for (let i = 0; i < recordCount; i++) offsets.push(base + i);
      }
    } catch (error) {
      if (error instanceof TaskdError) return error;
      throw error;
    }
    const endOffset = offsets[offsets.length - 1]! + 1;
    this.#partition.whenCommitted({ endOffset, committed: () => resolve(offsets), failed: reject });
    return undefined;
  }

  #retryAfter(delayMs: number): void {
    if (this.#isRetrying) return;
    this.#isRetrying = true;
    this.#runtime.clock.timer(Math.max(1, delayMs), () => {
      this.#isRetrying = false;
      this.#drain();
    });
  }
}

class PartitionReader implements LogSubscription {
  readonly #runtime: Runtime;
  readonly #partition: Partition;
  readonly #reader: LogReader;
  #offset: number;
  #isAwake = false;
  #isReading = false;
  #isClosed = false;
  #lookedMs = 0;
  /** Read from the file, to be told in the next turn. */
  #coldChunks: Uint8Array[] = [];

  constructor(runtime: Runtime, partition: Partition, offset: number, reader: LogReader) {
    this.#runtime = runtime;
    this.#partition = partition;
    this.#offset = offset;
    this.#reader = reader;
    partition.listen(this);
    this.#armLook();
    this.poke();
  }

  poke(): void {
    if (this.#isAwake || this.#isReading || this.#isClosed) return;
    this.#isAwake = true;
    this.#runtime.clock.defer(() => {
      this.#isAwake = false;
      this.committed();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#partition.unlisten(this);
  }

  committed(): void {
    try {
      this.#advance();
    } catch (error) {
      // The reader's own bug. It must not stop the partition's other business half-way, nor go unnoticed.
      this.close();
      this.#runtime.clock.defer(() => {
        throw error;
      });
    }
  }

  /** Tells all that is committed: from memory in this very turn, from the file in later ones. */
  #advance(): void {
    if (this.#isReading || this.#isClosed) return;
    const { refusal, logStart } = this.#partition;
    if (!this.#partition.isServing) {
      if (refusal !== undefined) this.#reader.trouble?.(refusal);
      return;
    }
    if (this.#offset < logStart) {
      const message = `offset ${this.#offset} is no longer in the log, which begins at ${logStart}`;
      this.#lose(new TaskdError(ErrorCode.OFFSET_OUT_OF_RANGE, message));
      return;
    }
    const beganMs = this.#runtime.clock.monotonicMs();
    let bytes = 0;
    for (const chunk of this.#coldChunks.splice(0)) {
      bytes += chunk.length;
      if (!this.#tell(chunk)) return;
    }
    while (this.#offset < this.#partition.highWatermark) {
      if (bytes > turnBytes) {
        this.poke();
        return;
      }
      const chunks = this.#partition.readHot(this.#offset, readBytes);
      if (chunks === undefined) {
        this.#readCold();
        return;
      }
      for (const chunk of chunks) {
        bytes += chunk.length;
        if (!this.#tell(chunk)) return;
      }
    }
    if (refusal !== undefined) {
      this.#reader.trouble?.(refusal);
      return;
    }
    this.#lookedMs = beganMs;
    this.#reader.caughtUp(this.#offset, beganMs);
  }

  #readCold(): void {
    this.#isReading = true;
    this.#partition.read(this.#offset, readBytes).then(
      (chunks) => {
        this.#isReading = false;
        this.#coldChunks = chunks;
        this.poke();
      },
      (error) => {
        this.#isReading = false;
        if (isTaskdError(error, ErrorCode.OFFSET_OUT_OF_RANGE, ErrorCode.DATA_LOSS)) {
          this.#lose(error);
          return;
        }
        // Such as too many open files.
        this.#runtime.logger.warn({ error, offset: this.#offset }, 'a read of a log failed; trying again');
        this.#runtime.clock.timer(readAgainMs, () => this.poke());
      },
    );
  }

  /** False once closed, which a callback may do. */
  #tell(chunk: Uint8Array): boolean {
    for (let at = 0; at < chunk.length; ) {
      if (this.#isClosed) return false;
      const header = readHeader(chunk, at);
      if (typeof header === 'string') {
        this.#lose(new TaskdError(ErrorCode.DATA_LOSS, `the batch at offset ${this.#offset} is damaged (${header})`));
        return false;
      }
      const seen = this.#offset;
      this.#offset = header.baseOffset + header.recordCount;
      const batch = committedBatch(chunk, at);
      if (batch !== undefined) this.#reader.batch(seen <= batch.baseOffset ? batch : rest(batch, seen));
      at += header.length;
    }
    return !this.#isClosed;
  }

  #lose(error: TaskdError): void {
    if (this.#isClosed) return;
    this.close();
    const { topicId, partition, logStart } = this.#partition;
    this.#runtime.logger.error({ topicId, partition, logStart, reason: error.message }, 'a log can not be read on');
    this.#reader.lost(logStart, error);
  }

  #armLook(): void {
    this.#runtime.clock.timer(lookMs, () => {
      if (this.#isClosed) return;
      if (this.#runtime.clock.monotonicMs() - this.#lookedMs >= lookMs / 2) this.poke();
      this.#armLook();
    });
  }
}

/** The batch at `at` as readers see it; undefined for a control batch. A body that is no records has none. */
function committedBatch(chunk: Uint8Array, at: number): CommittedBatch | undefined {
  const header = readHeader(chunk, at);
  if (typeof header === 'string' || isControl(header)) return undefined;
  const records: StoredRecord[] = [];
  try {
    const body = chunk.subarray(at + headerBytes, at + header.length);
    readRecords(body, header.baseOffset, header.recordCount, (record) => records.push(record));
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    records.length = 0;
  }
  const { baseOffset, appendTimestamp } = header;
  return { baseOffset, appendTimestampMs: appendTimestamp, batchClass: classOf(header), records };
}

/** The part of a batch from `offset` on. */
function rest(batch: CommittedBatch, offset: number): CommittedBatch {
  return { ...batch, baseOffset: offset, records: batch.records.slice(offset - batch.baseOffset) };
}

function bytesOf(pending: PendingAppend): number {
  let bytes = 0;
  for (const batch of pending.batches) bytes += batch.bytes.length;
  return bytes;
}

function partlyAppended(cause: TaskdError): TaskdError {
  return new TaskdError(ErrorCode.OUTCOME_UNKNOWN, `a part of the records was appended: ${cause.message}`, { cause });
}

function tooManyQueued(): TaskdError {
  const message = `more than ${queuedBytesMax} bytes wait for the disk already`;
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 50 });
}
