/**
 * One shard: a state machine whose database is one partition of a log.
 *
 * ```
 * write(records) ── append ──▶ log ── committed, in log order ──▶ Shard.replay(record) = verdict ──▶ write resolves
 * ```
 *
 * Nothing changes the state but `replay`, and nothing is answered from an append: whoever wrote waits until its records
 * were read back, after all that came before them, and is told what replay made of them.
 */
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import type { BatchClass } from '../batch/header.js';
import type { NewRecord, StoredRecord } from '../batch/record.js';
import type { CommittedBatch, LogReader, LogSubscription, TaskLog } from './task-log.js';

/** A state machine on a log. `V` is what replay makes of a record: applied, void, or a value of its own. */
export interface Shard<V> {
  /**
   * Applies one record. The only place that changes the state, and deterministic: it reads the record and its batch's
   * class, offset and append time, never a clock, a random number or another topic. Must not throw on any bytes.
   */
  replay(record: StoredRecord, batch: CommittedBatch): V;
  /** After the last record of a batch: the place to let effects go. */
  replayed?(nextOffset: number): void;
  /** See `LogReader.caughtUp`. */
  caughtUp?(nextOffset: number, beganMs: number): void;
  /** See `LogReader.lost`; nothing is replayed any more. */
  lost?(logStart: number): void;
  /** See `LogReader.trouble`. */
  trouble?(error: TaskdError): void;
}

interface Write<V> {
  readonly resolve: (verdicts: readonly V[]) => void;
  readonly reject: (error: unknown) => void;
  /** Known once the append has resolved. */
  offsets: readonly number[] | undefined;
}

interface Waiter {
  readonly nextOffset: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const stopped = (): TaskdError =>
  new TaskdError(ErrorCode.NOT_OWNER, 'this shard is not served here any more; ask its present owner', {
    retry: Retry.OTHER,
  });

/**
 * Reads `log` into `shard` and appends for it. One object a shard; `start` once, `close` once.
 *
 * A `write` may be many records; all are in the log, in order, or (after a rejection) none, or (OUTCOME_UNKNOWN) perhaps.
 */
export class ShardRuntime<V> {
  readonly #log: TaskLog;
  readonly #shard: Shard<V>;
  #subscription: LogSubscription | undefined;
  #nextOffset = 0;
  #isCaughtUp = false;
  #isClosed = false;
  /** Writes whose verdicts are outstanding, in the order of their appends. */
  #writes: Write<V>[] = [];
  /** Verdicts of records that some outstanding write may be waiting for. */
  readonly #verdicts: Map<number, V> = new Map<number, V>();
  #waiters: Waiter[] = [];

  constructor(log: TaskLog, shard: Shard<V>) {
    this.#log = log;
    this.#shard = shard;
  }

  /** The offset after the last record that was replayed. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  /** True once replay has reached what was the log's end after `start`. */
  get isCaughtUp(): boolean {
    return this.#isCaughtUp;
  }

  /** Begins to replay from `offset`. */
  start(offset = 0): void {
    this.#nextOffset = offset;
    this.#subscription = this.#log.read(offset, this.#reader());
  }

  /**
   * Appends `records` and resolves with one verdict a record once they are committed and replayed. Rejects as
   * `TaskLog.append` does, or with NOT_OWNER when the runtime is closed first.
   */
  write(records: readonly NewRecord[], batchClass: BatchClass): Promise<readonly V[]> {
    if (this.#isClosed) return Promise.reject(stopped());
    if (records.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const write: Write<V> = { resolve, reject, offsets: undefined };
      this.#writes.push(write);
      this.#log.append(records, batchClass).then(
        (offsets) => {
          write.offsets = offsets;
          this.#settleWrites();
        },
        (error) => {
          this.#forget(write);
          reject(error);
        },
      );
      this.#subscription?.poke();
    });
  }

  /** Resolves once everything below `nextOffset` has been replayed; for readers of their own writes. */
  replayedTo(nextOffset: number): Promise<void> {
    if (this.#nextOffset >= nextOffset) return Promise.resolve();
    if (this.#isClosed) return Promise.reject(stopped());
    return new Promise((resolve, reject) => this.#waiters.push({ nextOffset, resolve, reject }));
  }

  /** Asks the log for a fresh look at its end; a `caughtUp` that began later follows. */
  poke(): void {
    this.#subscription?.poke();
  }

  /** Stops reading. Outstanding writes and waiters reject with NOT_OWNER; their records may be in the log. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#subscription?.close();
    const writes = this.#writes;
    const waiters = this.#waiters;
    this.#writes = [];
    this.#waiters = [];
    this.#verdicts.clear();
    for (const write of writes) write.reject(stopped());
    for (const waiter of waiters) waiter.reject(stopped());
  }

  #reader(): LogReader {
    return {
      batch: (batch) => this.#replay(batch),
      caughtUp: (nextOffset, beganMs) => {
        if (this.#isClosed) return;
        this.#isCaughtUp = true;
        this.#shard.caughtUp?.(nextOffset, beganMs);
      },
      lost: (logStart) => {
        if (this.#isClosed) return;
        this.#shard.lost?.(logStart);
        this.close();
      },
      trouble: (error) => {
        if (!this.#isClosed) this.#shard.trouble?.(error);
      },
    };
  }

  #replay(batch: CommittedBatch): void {
    if (this.#isClosed) return;
    const isAwaited = this.#writes.length > 0;
    for (const record of batch.records) {
      const verdict = this.#shard.replay(record, batch);
      if (isAwaited) this.#verdicts.set(record.offset, verdict);
    }
    this.#nextOffset = batch.baseOffset + batch.records.length;
    this.#shard.replayed?.(this.#nextOffset);
    this.#settleWrites();
    this.#settleWaiters();
  }

  /** Answers the oldest writes whose records are all replayed. Appends of one log object land in order. */
  #settleWrites(): void {
    for (;;) {
      const write = this.#writes[0];
      const offsets = write?.offsets;
      if (write === undefined || offsets === undefined) return;
      const last = offsets[offsets.length - 1]!;
      if (last >= this.#nextOffset) return;
      this.#writes.shift();
      write.resolve(offsets.map((offset) => this.#verdicts.get(offset)!));
      this.#forgetVerdicts(last);
    }
  }

  #forget(write: Write<V>): void {
    this.#writes = this.#writes.filter((each) => each !== write);
    if (this.#writes.length === 0) this.#verdicts.clear();
  }

  /** Verdicts up to `offset` have no taker any more: later writes land behind it. */
  #forgetVerdicts(offset: number): void {
    if (this.#writes.length === 0) {
      this.#verdicts.clear();
      return;
    }
    for (const key of this.#verdicts.keys()) {
      if (key > offset) return;
      this.#verdicts.delete(key);
    }
  }

  #settleWaiters(): void {
    if (this.#waiters.length === 0) return;
    const left: Waiter[] = [];
    for (const waiter of this.#waiters) {
      if (waiter.nextOffset <= this.#nextOffset) waiter.resolve();
      else left.push(waiter);
    }
    this.#waiters = left;
  }
}
