import { writeU16, writeU32, writeU64 } from '../../src/base/bytes.js';
import { crc32 } from '../../src/base/crc32.js';
import { BatchBuilder } from '../../src/batch/builder.js';
import { BatchClass, headerBytes, type ProducerFields } from '../../src/batch/header.js';
import type { NewRecord } from '../../src/batch/record.js';

/** A whole batch of these records. */
export function batchOf(records: readonly NewRecord[], fields: Partial<ProducerFields> = {}): Uint8Array {
  const builder = new BatchBuilder();
  for (const record of records) builder.append(record);
  return builder.finish({ baseTimestamp: 1_000, batchClass: BatchClass.CLIENT, ...fields });
}

/** Computes both CRCs of a batch anew, so that only what was changed before is wrong with it. */
export function resealed(batch: Uint8Array): Uint8Array {
  writeU32(batch, 20, crc32(batch.subarray(headerBytes)));
  writeU32(batch, 0, crc32(batch.subarray(12, headerBytes)));
  return batch;
}

/** A copy with one header field changed and CRCs that fit. */
export function altered(batch: Uint8Array, at: number, bits: 16 | 32 | 64, value: number): Uint8Array {
  const copy = batch.slice();
  if (bits === 16) writeU16(copy, at, value);
  else if (bits === 32) writeU32(copy, at, value);
  else writeU64(copy, at, value);
  return resealed(copy);
}

/** A batch whose body is these bytes, whatever they are. */
export function batchWithBody(body: Uint8Array, recordCount: number): Uint8Array {
  const batch = new Uint8Array(headerBytes + body.length);
  batch.set(batchOf([{ type: 1 }]).subarray(0, headerBytes));
  batch.set(body, headerBytes);
  writeU32(batch, 16, batch.length);
  writeU32(batch, 72, recordCount);
  writeU64(batch, 64, recordCount - 1);
  return resealed(batch);
}
