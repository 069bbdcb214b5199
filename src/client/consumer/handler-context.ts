import type { ConsumerRecord } from './consumer-record.js';
import type { Verdict } from './retry-topics.js';
import type { Task } from './work-queue.js';

/** Why a handler's signal was aborted. */
export type AbortCause = 'timed-out' | 'revoked' | 'lost' | 'closing';

/** Thrown by `context.signal.throwIfAborted()`, and the signal's reason. */
export class HandlingStopped extends Error {
  override readonly name = 'HandlingStopped';
  readonly why: AbortCause;

  constructor(cause: AbortCause) {
    super(`the handler was told to stop: ${cause}`);
    this.why = cause;
  }
}

/** What a handler can say and ask beside its record. */
export interface HandlerContext {
  /** Aborted when the handler should end: its time is over, its partition goes to another member, or the consumer closes. */
  readonly signal: AbortSignal;
  /** Once the handler returns, the record goes up the retry ladder, as if it had thrown. */
  retry(reason: string): void;
  /** Once the handler returns, the record becomes a dead letter: trying again would not help. */
  deadLetter(reason: string): void;
}

export interface BatchContext {
  readonly signal: AbortSignal;
  /** As `HandlerContext.retry`, for one record of the batch; the others are taken as processed when the handler returns. */
  retry(record: ConsumerRecord, reason: string): void;
  deadLetter(record: ConsumerRecord, reason: string): void;
}

export type RecordHandler = (record: ConsumerRecord, context: HandlerContext) => unknown;
export type BatchHandler = (records: readonly ConsumerRecord[], context: BatchContext) => unknown;

export interface Ruling {
  readonly verdict: Verdict;
  readonly reason: string;
}

/** One call of a handler, from its start until its outcome. */
export class Handling {
  readonly tasks: readonly Task<ConsumerRecord>[];
  /** By place in `tasks`. */
  readonly records: readonly ConsumerRecord[];
  readonly startedMs: number;
  /** The handler has settled, or is not waited for any more. */
  isOver = false;
  abortCause: AbortCause | undefined;
  /** Of the handler's time limit; 0: none. */
  timer = 0;
  wasReportedSlow = false;
  /** What the handler said of single records; undefined: nothing. */
  rulings: Map<ConsumerRecord, Ruling> | undefined;
  #controller: AbortController | undefined;

  constructor(tasks: readonly Task<ConsumerRecord>[], startedMs: number) {
    this.tasks = tasks;
    this.records = tasks.map(({ record }) => record!);
    this.startedMs = startedMs;
  }

  /** Made when somebody asks for it: most handlers don't. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.abortCause !== undefined) this.#controller.abort(new HandlingStopped(this.abortCause));
    }
    return this.#controller.signal;
  }

  abort(cause: AbortCause): void {
    if (this.abortCause !== undefined || this.isOver) return;
    this.abortCause = cause;
    this.#controller?.abort(new HandlingStopped(cause));
  }

  rule(record: ConsumerRecord, verdict: Verdict, reason: string): void {
    this.rulings ??= new Map();
    this.rulings.set(record, { verdict, reason });
  }
}

/** What a handler of single records gets. */
export class SingleContext implements HandlerContext {
  readonly #handling: Handling;

  constructor(handling: Handling) {
    this.#handling = handling;
  }

  get signal(): AbortSignal {
    return this.#handling.signal;
  }

  retry(reason: string): void {
    this.#handling.rule(this.#handling.records[0]!, 'retry', reason);
  }

  deadLetter(reason: string): void {
    this.#handling.rule(this.#handling.records[0]!, 'dead', reason);
  }
}

/** What a handler of batches gets. */
export class GatheredContext implements BatchContext {
  readonly #handling: Handling;

  constructor(handling: Handling) {
    this.#handling = handling;
  }

  get signal(): AbortSignal {
    return this.#handling.signal;
  }

  retry(record: ConsumerRecord, reason: string): void {
    this.#handling.rule(record, 'retry', reason);
  }

  deadLetter(record: ConsumerRecord, reason: string): void {
    this.#handling.rule(record, 'dead', reason);
  }
}
