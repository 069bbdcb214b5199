import { ErrorCode, TaskdError } from '../base/errors.js';
import type { BatchClass } from '../batch/header.js';
import type { NewRecord } from '../batch/record.js';
import type { Guest, Round } from './send-room.js';

/** Who puts a delivery's records into batches, and learns its end. */
export interface DeliveryHost {
  enter(delivery: Delivery): void;
  settled(delivery: Delivery): void;
}

/** The records of one call to a producer, which may end up in several batches. */
export class Delivery implements Guest {
  readonly topicId: number;
  readonly partition: number;
  readonly batchClass: BatchClass;
  readonly bytes: number;
  readonly sinceMs: number;
  round: Round | undefined;
  /** Until they are in batches. */
  records: readonly NewRecord[];
  /** Of the records, by their place in the call. */
  readonly offsets: number[];
  /** The latest of them. */
  appendTimestampMs = 0;
  error: TaskdError | undefined;
  #left: number;
  #isStored = false;
  readonly #host: DeliveryHost;
  readonly #done: (delivery: Delivery) => void;

  /** `done` is called once, when every record has its outcome: see `error`, then `offsets`. */
  constructor(
    host: DeliveryHost,
    call: Pick<Delivery, 'topicId' | 'partition' | 'batchClass' | 'bytes' | 'sinceMs' | 'records'>,
    done: (delivery: Delivery) => void,
  ) {
    this.#host = host;
    this.topicId = call.topicId;
    this.partition = call.partition;
    this.batchClass = call.batchClass;
    this.bytes = call.bytes;
    this.sinceMs = call.sinceMs;
    this.records = call.records;
    this.offsets = new Array<number>(call.records.length).fill(0);
    this.#left = call.records.length;
    this.#done = done;
  }

  enter(): void {
    this.#host.enter(this);
  }

  refuse(error: TaskdError): void {
    this.error = error;
    this.#done(this);
  }

  /** `count` records from the call's `from`th on are at `baseOffset`. Batches may be answered in any order. */
  stored(from: number, count: number, baseOffset: number, appendTimestampMs: number): void {
    for (let i = 0; i < count; i++) this.offsets[from + i] = baseOffset + i;
    this.appendTimestampMs = Math.max(this.appendTimestampMs, appendTimestampMs);
    this.#isStored = true;
    this.#settle(count);
  }

  failed(count: number, error: TaskdError): void {
    this.error ??= error;
    this.#settle(count);
  }

  #settle(count: number): void {
    this.#left -= count;
    if (this.#left > 0) return;
    if (this.error !== undefined && this.#isStored && this.error.code !== ErrorCode.OUTCOME_UNKNOWN) {
      const message = `a part of the records was stored, a part not: ${this.error.message}`;
      this.error = new TaskdError(ErrorCode.OUTCOME_UNKNOWN, message, { cause: this.error });
    }
    this.#done(this);
    this.#host.settled(this);
  }
}
