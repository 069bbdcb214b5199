import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import type { StoredRecord } from '../batch/record.js';
import type { LogSubscription, TaskLog } from '../coordinator/task-log.js';
import type { Clock } from '../runtime/clock.js';

/** Records wanted at once. */
export const wantedMax = 100_000;
/** A scan goes on over so many offsets that nobody wants, rather than begin anew behind them. */
const gapMax = 4_096;

interface Waiting {
  readonly resolve: (record: StoredRecord | undefined) => void;
  readonly reject: (error: TaskdError) => void;
}

/**
 * Reads single records again, many in one pass: arguments that the core keeps no more, results, errors. What is wanted
 * in one turn, and while a pass goes on, is read in the order of the offsets, so a backlog that is dispatched in order
 * costs one sequential read, and never more than one batch at a time in memory.
 */
export class RecordReader {
  readonly #log: TaskLog;
  readonly #clock: Clock;
  readonly #wanted: Map<number, Waiting[]> = new Map<number, Waiting[]>();
  #scan: LogSubscription | undefined;
  #isPlanned = false;
  #isClosed = false;
  /** What this pass looks for, ascending. */
  #targets: number[] = [];
  #next = 0;

  constructor(log: TaskLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  get wantedCount(): number {
    return this.#wanted.size;
  }

  /**
   * The record at `offset`, or undefined where there is none any more. Rejects with BUSY above `wantedMax`, and with
   * DRAINING once closed.
   */
  at(offset: number): Promise<StoredRecord | undefined> {
    return new Promise((resolve, reject) => {
      const waiting = this.#wanted.get(offset);
      if (this.#isClosed) reject(closed());
      else if (waiting !== undefined) waiting.push({ resolve, reject });
      else if (this.#wanted.size >= wantedMax) reject(tooMany());
      else {
        this.#wanted.set(offset, [{ resolve, reject }]);
        this.#plan();
      }
    });
  }

  /** Whoever waits is told DRAINING. */
  close(): void {
    this.#isClosed = true;
    const all = [...this.#wanted.values()].flat();
    this.#wanted.clear();
    this.#stop();
    for (const { reject } of all) reject(closed());
  }

  #plan(): void {
    if (this.#isPlanned || this.#scan !== undefined || this.#isClosed || this.#wanted.size === 0) return;
    this.#isPlanned = true;
    this.#clock.defer(() => {
      this.#isPlanned = false;
      if (!this.#isClosed && this.#wanted.size > 0) this.#start();
    });
  }

  #start(): void {
    this.#targets = [...this.#wanted.keys()].sort((a, b) => a - b);
    this.#next = 0;
    this.#scan = this.#log.read(this.#targets[0]!, {
      batch: ({ baseOffset, records }) => {
        for (const record of records) this.#found(record);
        this.#passed(baseOffset + records.length);
      },
      // Nothing that was committed when the pass began lies beyond: what is left does not exist.
      caughtUp: () => this.#passed(Number.POSITIVE_INFINITY),
      lost: (logStart) => this.#passed(Math.max(logStart, (this.#targets[this.#next] ?? 0) + 1), true),
    });
  }

  #found(record: StoredRecord): void {
    while (this.#next < this.#targets.length && this.#targets[this.#next]! < record.offset) this.#settle(undefined);
    if (this.#targets[this.#next] === record.offset) this.#settle(record);
  }

  /** All below `offset` has been read. */
  #passed(offset: number, isOver = false): void {
    while (this.#next < this.#targets.length && this.#targets[this.#next]! < offset) this.#settle(undefined);
    const target = this.#targets[this.#next];
    if (!isOver && target !== undefined && target - offset <= gapMax) return;
    this.#stop();
    this.#plan();
  }

  #settle(record: StoredRecord | undefined): void {
    const offset = this.#targets[this.#next++]!;
    const waiting = this.#wanted.get(offset);
    this.#wanted.delete(offset);
    for (const { resolve } of waiting ?? []) resolve(record);
  }

  #stop(): void {
    this.#scan?.close();
    this.#scan = undefined;
    this.#targets = [];
    this.#next = 0;
  }
}

function closed(): TaskdError {
  return new TaskdError(ErrorCode.DRAINING, 'this log is not read here any more', { retry: Retry.OTHER });
}

function tooMany(): TaskdError {
  return new TaskdError(ErrorCode.BUSY, `${wantedMax} records are being read again already`, {
    retry: Retry.AFTER,
    retryAfterMs: 100,
  });
}
