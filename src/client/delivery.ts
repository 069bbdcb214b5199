import { ErrorCode, TaskdError } from '../base/errors.js';

/** The records of one call to a producer, which may end up in several batches. */
export class Delivery {
  readonly bytes: number;
  /** Of the records in the order in which they were given. */
  readonly offsets: number[] = [];
  appendTimestampMs = 0;
  error: TaskdError | undefined;
  #left: number;
  #isStored = false;
  /** A batch was answered after one behind it, whose first answer was lost. */
  #isShuffled = false;
  readonly #settled: (delivery: Delivery) => void;

  constructor(records: number, bytes: number, settled: (delivery: Delivery) => void) {
    this.#left = records;
    this.bytes = bytes;
    this.#settled = settled;
  }

  stored(baseOffset: number, count: number, appendTimestampMs: number): void {
    if (baseOffset < (this.offsets.at(-1) ?? -1)) this.#isShuffled = true;
    for (let i = 0; i < count; i++) this.offsets.push(baseOffset + i);
    this.appendTimestampMs = appendTimestampMs;
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
    // One partition stores records in the order in which they were given, whatever order the answers came in.
    if (this.#isShuffled) this.offsets.sort((a, b) => a - b);
    if (this.error !== undefined && this.#isStored && this.error.code !== ErrorCode.OUTCOME_UNKNOWN) {
      const message = `a part of the records was stored, a part not: ${this.error.message}`;
      this.error = new TaskdError(ErrorCode.OUTCOME_UNKNOWN, message, { cause: this.error });
    }
    this.#settled(this);
  }
}
