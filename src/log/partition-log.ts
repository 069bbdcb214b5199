import type { TaskdError } from '../base/errors.js';

/**
 * The log of one partition on this disk. Offsets are exclusive ends at batch boundaries: `logStart` ≤ `syncedEnd` ≤
 * `logEnd`. With one replica `syncedEnd` is what is committed.
 */
export class PartitionLog {
  readonly topicId: number = 0;
  readonly partition: number = 0;
  readonly replicaId: number = 0;
  /**
   * Called after each fdatasync, in the loop's own turn: everything below `syncedEnd` is on disk.
   * Every acknowledgement comes from here.
   */
  onSynced: (syncedEnd: number) => void = () => {};
  /** Called once when a write or a sync failed: nothing above `syncedEnd` will ever be acknowledged. */
  onFailed: (error: TaskdError) => void = () => {};

  /** The term that the next append gets; raised by `raiseTerm`. */
  get term(): number {
    throw new Error('not built yet');
  }

  get logStart(): number {
    throw new Error('not built yet');
  }

  /** One past the last appended record. */
  get logEnd(): number {
    throw new Error('not built yet');
  }

  /** One past the last record that is on disk. Reads end here. */
  get syncedEnd(): number {
    throw new Error('not built yet');
  }

  /** The append timestamp of the latest batch, so the one that the last `append` gave; 0 for an empty log. */
  get lastTimestampMs(): number {
    throw new Error('not built yet');
  }

  /** Bytes of all batches in the log. */
  get bytes(): number {
    throw new Error('not built yet');
  }

  /** Why this log takes no appends, in words for a person: what, where, how to mend. Undefined when all is well. */
  get problem(): string | undefined {
    throw new Error('not built yet');
  }

  /** Raises the term by one. Durable in the state journal when it resolves; resolves with the new term. */
  async raiseTerm(): Promise<number> {
    throw new Error('not built yet');
  }

  /**
   * Appends one batch that the caller has checked with `readBatch`: copies it into the write group that is being
   * gathered and gives the copy its offset, term and append timestamp (`max(previous, clock)`). Returns the base
   * offset at once; durable when `onSynced` passes the batch's end. `batch` itself is not changed and not kept.
   * Throws STORAGE_FAILED (for good) after a failed write or sync or with a `problem`, STORAGE_FULL (retry AFTER) while
   * the disk is full, BUSY (retry AFTER) while too many bytes wait for the disk; nothing is appended then.
   */
  append(_batch: Uint8Array): number {
    throw new Error('not built yet');
  }

  /**
   * Reads from the batch that holds `offset` up to `syncedEnd`, at most `bytesMax` bytes but at least one batch.
   * Each chunk is one or more whole batches back to back, the caller's to keep and not to change; no chunk at
   * `syncedEnd`. Rejects with OFFSET_OUT_OF_RANGE outside [logStart, syncedEnd], DATA_LOSS where the disk returned
   * bytes that are no longer what was written.
   */
  async read(_offset: number, _bytesMax: number): Promise<Uint8Array[]> {
    throw new Error('not built yet');
  }

  /** What `read` would give, at once, when it is all in memory; undefined when the file must be read. Throws like it. */
  readHot(_offset: number, _bytesMax: number): Uint8Array[] | undefined {
    throw new Error('not built yet');
  }

  /** The base offset of the first batch appended at `timestampMs` or later; `syncedEnd` when there is none. */
  async offsetForTime(_timestampMs: number): Promise<number> {
    throw new Error('not built yet');
  }

  /** Writes and syncs what was appended, then closes the files. `LogStore.close` does it for all. */
  async close(): Promise<void> {
    throw new Error('not built yet');
  }
}
