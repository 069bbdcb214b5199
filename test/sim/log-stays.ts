/**
 * Checker: *what a consumer was given stays.* A record that was readable once is found at its place, unchanged, by all
 * who read later, whatever crashed in between.
 */
import { crc32 } from '../../src/base/crc32.js';
import type { CommittedBatch } from '../../src/coordinator/task-log.js';

export class LogStays {
  readonly #logs = new Map<number, Map<number, number>>();
  readonly #ends = new Map<number, number>();
  readonly #fail: (error: Error) => void;
  #count = 0;

  constructor(fail: (error: Error) => void) {
    this.#fail = fail;
  }

  /** Records seen so far, each once. */
  get count(): number {
    return this.#count;
  }

  /** A reader of `shard` was given this batch. */
  saw(shard: number, batch: CommittedBatch): void {
    const log = this.#logs.get(shard) ?? new Map<number, number>();
    this.#logs.set(shard, log);
    for (const { offset, type, value } of batch.records) {
      const digest = crc32(value ?? new Uint8Array(0), type);
      const known = log.get(offset);
      if (known === undefined) this.#count++;
      else if (known !== digest) this.#fail(new Error(`shard ${shard}: the record at offset ${offset} is another one`));
      log.set(offset, digest);
      this.#ends.set(shard, Math.max(this.endOf(shard), offset + 1));
    }
  }

  /** One past the last record that anybody was given so far. */
  endOf(shard: number): number {
    return this.#ends.get(shard) ?? 0;
  }

  /** A look at the log that began when `expected` was its `endOf` found `end`. */
  sawEnd(shard: number, end: number, expected: number): void {
    if (end < expected) this.#fail(new Error(`shard ${shard} ends at ${end}, but was read up to ${expected} before`));
  }

  /** A reader's place does not exist any more. */
  lost(shard: number, logStart: number): void {
    this.#fail(new Error(`shard ${shard}: a reader lost its place; the log begins at ${logStart}`));
  }
}
