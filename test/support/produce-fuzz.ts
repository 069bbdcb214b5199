import { TaskdError } from '../../src/base/errors.js';
import { Codec, codecOf } from '../../src/batch/body.js';
import { BatchClass, headerBytes, readBatch } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import { readProduced } from '../../src/broker/produced-batches.js';
import type { Random } from '../../src/runtime/random.js';
import { batchOf, resealed } from './produce-payload.js';

/** Damaged produce payloads through the broker's gate: what passes must be what a reader can read. */
export class ProduceFuzz {
  readonly #random: Random;
  passed = 0;
  refusals = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** One payload. Throws when anything but a clean refusal, or a batch that holds what it says, comes out. */
  step(): void {
    const random = this.#random;
    let payload = this.#batch();
    if (random.below(4) === 0) payload = Buffer.concat([payload, this.#batch()]);
    for (let changes = random.below(5); changes > 0; changes--) {
      payload[random.below(payload.length)] = random.below(256);
    }
    // With CRCs that fit the gate has to look at what they cover.
    if (random.below(3) > 0) resealed(payload);
    if (random.below(10) === 0) payload = payload.subarray(0, random.below(payload.length + 1));
    try {
      const destination = { batchClass: BatchClass.CLIENT, internal: random.below(2) === 0 };
      for (const { bytes } of readProduced(payload, destination)) check(bytes);
      this.passed++;
    } catch (error) {
      if (!(error instanceof TaskdError)) throw error;
      this.refusals++;
    }
  }

  #batch(): Uint8Array {
    const random = this.#random;
    const records = Array.from({ length: 1 + random.below(5) }, () => ({
      key: random.bytes(random.below(5)),
      value: random.bytes(random.below(100)),
      headers: Array.from({ length: random.below(3) }, () => ({ name: 'h', value: random.bytes(random.below(9)) })),
    }));
    return batchOf(records, { producerId: random.below(3), baseSequence: random.below(4) }).slice();
  }
}

function check(bytes: Uint8Array): void {
  const header = readBatch(bytes, 0);
  if (typeof header === 'string') throw new Error(`a batch passed that is bad (${header})`);
  if (codecOf(header) === Codec.NONE) readRecords(bytes.subarray(headerBytes), 0, header.recordCount, () => {});
}
