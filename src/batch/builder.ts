import { gzip } from '../base/gzip.js';
import { batchRecordsMax, recordBatchBytesMax } from '../base/limits.js';
import { BatchMemory } from './batch-memory.js';
import { Codec } from './body.js';
import { Attribute, headerBytes, type ProducerFields, writeHeader } from './header.js';
import { type NewRecord, recordLength, writeRecord } from './record.js';

const nothing = new Uint8Array(0);

/**
 * Gathers records into one batch. `append` refuses a record that doesn't fit beside the others; a single record may
 * make the batch larger than `bytesWanted`, up to the limit of a batch.
 */
export class BatchBuilder {
  readonly #bytesWanted: number;
  readonly #memory: BatchMemory;
  /** Allocated with the first record, as large as the batch before it turned out. */
  #bytes: Uint8Array = nothing;
  #capacity = 1024;
  #length: number = headerBytes;
  #count = 0;
  #isDelayed = false;

  /** The memory of a finished batch may be given back to `memory`. */
  constructor(bytesWanted: number = recordBatchBytesMax, memory: BatchMemory = new BatchMemory()) {
    this.#bytesWanted = Math.min(bytesWanted, recordBatchBytesMax);
    this.#memory = memory;
  }

  get recordCount(): number {
    return this.#count;
  }

  /** Bytes of the batch so far, header included. */
  get length(): number {
    return this.#length;
  }

  /** Adds `record`; false when the batch is full and must be finished first. */
  append(record: NewRecord): boolean {
    const end = this.#length + recordLength(record);
    if (this.#count >= batchRecordsMax) return false;
    if (end > (this.#count === 0 ? recordBatchBytesMax : this.#bytesWanted)) return false;
    if (end > this.#bytes.length) {
      const larger = this.#memory.take(Math.max(end, this.#capacity, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, this.#length));
      if (this.#bytes !== nothing) this.#memory.recycle(this.#bytes);
      this.#bytes = larger;
    }
    this.#length = writeRecord(this.#bytes, this.#length, record);
    this.#count++;
    if (record.deliverAtMs) this.#isDelayed = true;
    return true;
  }

  /**
   * Seals the batch and gives its bytes away; the builder is empty again. Needs at least one record. With `codec` GZIP
   * the body is compressed, unless that makes it no smaller; a batch of delayed records is marked as one and never
   * compressed, as brokers read it.
   */
  finish(fields: Omit<ProducerFields, 'recordCount'>, codec: Codec = Codec.NONE): Uint8Array {
    let batch = this.#bytes.subarray(0, this.#length);
    this.#capacity = Math.max(1024, Math.min(batch.length, this.#bytesWanted));
    let attributes = fields.attributes ?? 0;
    if (this.#isDelayed) attributes |= Attribute.DELAYED;
    else if (codec === Codec.GZIP) {
      const body = gzip(batch.subarray(headerBytes));
      if (headerBytes + body.length < batch.length) {
        batch = new Uint8Array(headerBytes + body.length);
        batch.set(body, headerBytes);
        this.#memory.recycle(this.#bytes);
        attributes |= Codec.GZIP;
      }
    }
    writeHeader(batch, { ...fields, attributes, recordCount: this.#count });
    this.#bytes = nothing;
    this.#length = headerBytes;
    this.#count = 0;
    this.#isDelayed = false;
    return batch;
  }
}
