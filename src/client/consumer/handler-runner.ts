/**
 * Calls the handler for what the work queue gives out, and sees each call to its end:
 * ```
 *   called ── returns ─────────────────────────────► done
 *     │ ├──── throws, asks for a retry ──► moving ──► done, once the record is stored further up the ladder
 *     │ └──── time limit ──► told to stop ── 10 s ──► as if it had thrown; it is not waited for any more
 *     └─ partition revoked, lost, closing ──► told to stop; what it throws then is no failure: the record comes again
 * ```
 * A handler that takes long holds its place and its key's (or partition's) later records, and nothing else: beats go on.
 */
import { isTaskdError, TaskdError } from '../../base/errors.js';
import { Backoff } from '../../rpc/backoff.js';
import type { Timer } from '../../runtime/clock.js';
import type { Runtime } from '../../runtime/runtime.js';
import { Timers } from '../../timer/timers.js';
import type { ConsumerRecord } from './consumer-record.js';
import { describeError } from './failure.js';
import { type AbortCause, Handling, type Ruling } from './handler-context.js';
import { elapse } from './leader-caller.js';
import type { Verdict } from './retry-topics.js';
import type { PartitionWork, Task, WorkQueue } from './work-queue.js';

export interface RunnerOptions {
  /** 0: no limit. */
  readonly handlerTimeoutMs: number;
}

export interface RunnerEvents {
  /** Calls the program's handler. */
  call(handling: Handling): unknown;
  mayStart(nowMs: number): boolean;
  /** Something of this partition is over. */
  finished(work: PartitionWork<ConsumerRecord>): void;
  /** Stores a record that was not processed elsewhere; durable when it resolves. Undefined: `failed` is told instead. */
  readonly moveUp: ((record: ConsumerRecord, reason: string, verdict: Verdict) => Promise<void>) | undefined;
  /** A handler threw this and there is no ladder. */
  failed(thrown: unknown, record: ConsumerRecord): void;
  /** A record can't be moved now, or a handler takes long; it goes on. */
  trouble(message: string, record: ConsumerRecord, cause?: unknown): void;
}

/** From telling a handler that its time is over until it is not waited for. */
const stopGraceMs = 10_000;
/** A handler that runs for so long is told of, once. */
const slowMs = 60_000;
const sweepMs = 5_000;
const moveBackoffFirstMs = 100;
const moveBackoffMaxMs = 10_000;

export class HandlerRunner {
  readonly #runtime: Runtime;
  readonly #queue: WorkQueue<ConsumerRecord>;
  readonly #events: RunnerEvents;
  readonly #handlerTimeoutMs: number;
  readonly #timers: Timers;
  readonly #running = new Set<Handling>();
  #sweep: Timer | undefined;
  #isPumpPlanned = false;
  #isClosed = false;
  handledTotal = 0;
  failedTotal = 0;

  constructor(
    runtime: Runtime,
    queue: WorkQueue<ConsumerRecord>,
    events: RunnerEvents,
    { handlerTimeoutMs }: RunnerOptions,
  ) {
    this.#runtime = runtime;
    this.#queue = queue;
    this.#events = events;
    this.#handlerTimeoutMs = handlerTimeoutMs;
    this.#timers = new Timers(runtime.clock);
  }

  /** How long the oldest handler under way has been running; 0 when none is. */
  oldestMs(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { startedMs } of this.#running) first = Math.min(first, startedMs);
    return first === Number.POSITIVE_INFINITY ? 0 : this.#runtime.clock.monotonicMs() - first;
  }

  /** Starts at the end of this turn what may start. */
  plan(): void {
    if (this.#isPumpPlanned || this.#isClosed) return;
    this.#isPumpPlanned = true;
    this.#runtime.clock.defer(this.#pump);
  }

  /** Tells the handlers of a partition, or all of them, to stop. */
  abort(work: PartitionWork<ConsumerRecord> | undefined, cause: AbortCause): void {
    for (const handling of this.#running) {
      if (work === undefined || handling.tasks[0]!.work === work) handling.abort(cause);
    }
  }

  /** Starts nothing more. */
  close(): void {
    this.#isClosed = true;
    this.#timers.close();
    this.#sweep?.cancel();
  }

  readonly #pump = (): void => {
    this.#isPumpPlanned = false;
    const nowMs = this.#runtime.clock.monotonicMs();
    if (this.#isClosed || !this.#events.mayStart(nowMs)) return;
    for (let tasks = this.#queue.next(); tasks.length > 0; tasks = this.#queue.next()) {
      this.#start(tasks, nowMs);
    }
    if (this.#running.size > 0 && this.#sweep === undefined) this.#planSweep();
  };

  #start(tasks: readonly Task<ConsumerRecord>[], nowMs: number): void {
    const handling = new Handling(tasks, nowMs);
    this.#running.add(handling);
    if (this.#handlerTimeoutMs > 0) {
      handling.timer = this.#timers.after(this.#handlerTimeoutMs, () => this.#timedOut(handling));
    }
    try {
      const result = this.#events.call(handling);
      if (!isThenable(result)) this.#returned(handling);
      else {
        result.then(
          () => this.#returned(handling),
          (error: unknown) => this.#threw(handling, error),
        );
      }
    } catch (error) {
      this.#threw(handling, error);
    }
  }

  #returned(handling: Handling): void {
    if (!this.#end(handling)) return;
    if (handling.rulings === undefined) this.#finish(handling, true);
    else this.#move(handling, [...handling.rulings], undefined);
  }

  #threw(handling: Handling, thrown: unknown): void {
    if (!this.#end(handling)) return;
    const { abortCause, records, rulings } = handling;
    if (abortCause !== undefined && abortCause !== 'timed-out') {
      // The record is somebody else's to handle, or comes again.
      this.#queue.drop(handling.tasks[0]!.work);
      this.#finish(handling, false);
      return;
    }
    const reason = describeError(thrown);
    const all = records.map((record): [ConsumerRecord, Ruling] => [
      record,
      rulings?.get(record) ?? { verdict: 'retry', reason },
    ]);
    this.#move(handling, all, thrown);
  }

  #timedOut(handling: Handling): void {
    handling.abort('timed-out');
    handling.timer = this.#timers.after(stopGraceMs, () => {
      const limit = `the handler ran for more than ${this.#handlerTimeoutMs} ms`;
      const text = `${limit}, went on for ${stopGraceMs} ms after its signal, and is not waited for`;
      this.#events.trouble(text, handling.records[0]!);
      this.#threw(handling, new Error(text));
    });
  }

  /** False when it was over before. */
  #end(handling: Handling): boolean {
    if (handling.isOver) return false;
    handling.isOver = true;
    this.#timers.cancel(handling.timer);
    return true;
  }

  #move(handling: Handling, moves: readonly [ConsumerRecord, Ruling][], thrown: unknown): void {
    this.failedTotal += moves.length;
    const { moveUp } = this.#events;
    if (moveUp !== undefined) {
      void this.#moveAll(handling, moves, moveUp);
      return;
    }
    const [record, { reason }] = moves[0]!;
    this.#queue.drop(handling.tasks[0]!.work);
    this.#finish(handling, false);
    this.#events.failed(thrown ?? new Error(reason), record);
  }

  /** Each record is stored further up before its offset counts as done; tried until then, or until it is another's. */
  async #moveAll(
    handling: Handling,
    moves: readonly [ConsumerRecord, Ruling][],
    moveUp: NonNullable<RunnerEvents['moveUp']>,
  ): Promise<void> {
    const { work } = handling.tasks[0]!;
    const backoff = new Backoff(this.#runtime.random, moveBackoffFirstMs, moveBackoffMaxMs);
    for (const [record, { verdict, reason }] of moves) {
      for (;;) {
        if (work.isDropped) {
          this.#finish(handling, false);
          return;
        }
        try {
          await moveUp(record, reason, verdict);
          break;
        } catch (error) {
          const problem = isTaskdError(error) ? error.message : String(error);
          this.#events.trouble(`it can't be stored for another try: ${problem}`, record, error);
          const leastMs = error instanceof TaskdError ? error.retryAfterMs : 0;
          await elapse(this.#runtime.clock, Math.max(leastMs, backoff.failed()));
        }
      }
    }
    this.#finish(handling, true);
  }

  #finish(handling: Handling, isDone: boolean): void {
    const { tasks } = handling;
    this.#running.delete(handling);
    if (isDone) this.handledTotal += tasks.length;
    this.#queue.finished(tasks, isDone);
    this.#events.finished(tasks[0]!.work);
    this.plan();
  }

  #planSweep(): void {
    this.#sweep = this.#runtime.clock.timer(sweepMs, () => {
      this.#sweep = undefined;
      const beforeMs = this.#runtime.clock.monotonicMs() - slowMs;
      for (const handling of this.#running) {
        if (handling.startedMs > beforeMs || handling.wasReportedSlow || handling.isOver) continue;
        handling.wasReportedSlow = true;
        this.#events.trouble(`the handler has been running for ${slowMs / 1_000} s`, handling.records[0]!);
      }
      if (this.#running.size > 0) this.#planSweep();
    });
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
