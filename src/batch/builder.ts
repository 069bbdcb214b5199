import { batchRecordsMax, recordBatchBytesMax } from '../base/limits.js';
import { headerBytes, type ProducerFields, writeHeader } from './header.js';
import { type NewRecord, recordLength, writeRecord } from './record.js';

/**
 * Gathers records into one batch. `append` refuses a record that doesn't fit beside the others; a single record may
 * make the batch larger than `bytesWanted`, up to the limit of a batch.
 */
export class BatchBuilder {
  readonly #bytesWanted: number;
  #bytes: Uint8Array;
  #length: number = headerBytes;
  #count = 0;

  constructor(bytesWanted: number = recordBatchBytesMax) {
    this.#bytesWanted = Math.min(bytesWanted, recordBatchBytesMax);
    this.#bytes = new Uint8Array(1024);
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
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#length = writeRecord(this.#bytes, this.#length, record);
    this.#count++;
    return true;
  }

  /** Seals the batch and gives its bytes away; the builder is empty again. Needs at least one record. */
  finish(fields: Omit<ProducerFields, 'recordCount'>): Uint8Array {
    const batch = this.#bytes.subarray(0, this.#length);
    writeHeader(batch, { ...fields, recordCount: this.#count });
    this.#bytes = new Uint8Array(1024);
    this.#length = headerBytes;
    this.#count = 0;
    return batch;
  }
}
