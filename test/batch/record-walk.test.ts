import fc from 'fast-check';
import t from 'tap';
import { BatchBuilder } from '../../src/batch/builder.js';
import { BatchClass, headerBytes } from '../../src/batch/header.js';
import { type NewRecord, RecordError, readRecords } from '../../src/batch/record.js';
import { walkRecords } from '../../src/batch/record-walk.js';

const record = fc.record(
  {
    key: fc.uint8Array({ maxLength: 200 }),
    value: fc.uint8Array({ maxLength: 200 }),
    headers: fc.array(fc.record({ name: fc.string(), value: fc.uint8Array({ maxLength: 20 }) }), { maxLength: 4 }),
    timestampDelta: fc.nat(),
    type: fc.nat(100_000),
    deliverAtMs: fc.maxSafeNat(),
  },
  { requiredKeys: [] },
);

function batchOf(records: readonly NewRecord[]): Uint8Array {
  const builder = new BatchBuilder();
  for (const each of records) builder.append(each);
  return builder.finish({ baseTimestamp: 0, batchClass: BatchClass.CLIENT });
}

/** How many records a reader finds in the body, if it can read it. */
function readable(batch: Uint8Array): number | undefined {
  for (let count = 0; count < 60; count++) {
    try {
      readRecords(batch.subarray(headerBytes), 0, count, () => {});
      return count;
    } catch {
      // Another count, or none.
    }
  }
  return undefined;
}

function walked(batch: Uint8Array): number | undefined {
  try {
    return walkRecords(batch, headerBytes);
  } catch (error) {
    if (error instanceof RecordError) return undefined;
    throw error;
  }
}

t.test('it counts what was written', (t) => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 30 }), (records) => {
      return walkRecords(batchOf(records), headerBytes) === records.length;
    }),
  );
  t.end();
});

t.test('it passes exactly what a reader can read, whatever the bytes', (t) => {
  const change = fc.tuple(fc.nat(2_000), fc.nat(255));
  fc.assert(
    fc.property(
      fc.array(record, { minLength: 1, maxLength: 4 }),
      fc.array(change, { maxLength: 4 }),
      (records, changes) => {
        const batch = batchOf(records).slice();
        const body = batch.length - headerBytes;
        for (const [at, byte] of changes) batch[headerBytes + (at % body)] = byte;
        return walked(batch) === readable(batch);
      },
    ),
    { numRuns: 1_000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (body) => {
      const batch = Buffer.concat([new Uint8Array(headerBytes), body]);
      return walked(batch) === readable(batch);
    }),
    { numRuns: 2_000 },
  );
  t.end();
});
