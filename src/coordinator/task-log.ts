import type { TaskdError } from '../base/errors.js';
import type { BatchClass } from '../batch/header.js';
import type { NewRecord, StoredRecord } from '../batch/record.js';

/** Records that were committed together, in log order. `records` and their bytes are the reader's to keep. */
export interface CommittedBatch {
  readonly baseOffset: number;
  readonly appendTimestampMs: number;
  readonly batchClass: BatchClass;
  readonly records: readonly StoredRecord[];
}

/** Told to a reader, in order, in the loop's own turn. */
export interface LogReader {
  batch(batch: CommittedBatch): void;
  /**
   * A look at the log's end that began at monotonic time `beganMs` has been answered, and everything committed by then
   * was told by `batch`. Comes at least every second while the log can be reached.
   */
  caughtUp(nextOffset: number, beganMs: number): void;
  /** Reading can't go on from here: the log begins at `logStart` now, or bytes were lost. `error` says which, to people. */
  lost(logStart: number, error: TaskdError): void;
  /**
   * A look failed; reading goes on by itself. STORAGE_FAILED: not before somebody has mended the log. May come again
   * and again.
   */
  trouble?(error: TaskdError): void;
}

export interface LogSubscription {
  /** Asks for a fresh look at the end, so that a `caughtUp` with a later `beganMs` comes soon. */
  poke(): void;
  close(): void;
}

/**
 * The port through which a coordinator sees one partition: the broker's own log in process, the same over the wire,
 * memory in tests, another queue's adapter in a fleet that has one. One conformance suite holds for all
 * (test/conformance/task-log.ts).
 */
export interface TaskLog {
  /**
   * Appends `records` in one or more batches of `batchClass`, in order after every earlier append of this object.
   * Resolves with the offset of each record once all are durable. Repeats by itself as long as the outcome is unknown,
   * with the same sequences, so nothing is appended twice; rejects with a `TaskdError` only when it is certain that
   * the records were not appended, or after the delivery timeout with OUTCOME_UNKNOWN.
   */
  append(records: readonly NewRecord[], batchClass: BatchClass): Promise<readonly number[]>;
  /** Reads everything committed from `offset` on, and goes on reading. */
  read(offset: number, reader: LogReader): LogSubscription;
  /** Reads the one record at `offset` again, or undefined where it is no longer there. */
  recordAt(offset: number): Promise<StoredRecord | undefined>;
}
