import fc from 'fast-check';
import t from 'tap';
import { BatchBuilder } from '../../src/batch/builder.js';
import {
  BatchClass,
  batchClass,
  headerBytes,
  isPlacedHere,
  placeBatch,
  readBatch,
  readHeader,
  sequenceBatch,
  stampBatch,
} from '../../src/batch/header.js';
import { type NewRecord, RecordError, readRecords, type StoredRecord } from '../../src/batch/record.js';

const record = fc.record(
  {
    key: fc.uint8Array({ maxLength: 300 }),
    value: fc.uint8Array({ maxLength: 300 }),
    headers: fc.array(fc.record({ name: fc.string(), value: fc.uint8Array({ maxLength: 20 }) }), { maxLength: 4 }),
    timestampDelta: fc.nat(),
    type: fc.nat(100_000),
    deliverAtMs: fc.maxSafeNat(),
    targetTopicId: fc.nat(),
    targetPartition: fc.nat(),
    origin: fc.maxSafeNat(),
  },
  { requiredKeys: [] },
);

function build(records: readonly NewRecord[]): Uint8Array {
  const builder = new BatchBuilder();
  for (const each of records) builder.append(each);
  return builder.finish({ baseTimestamp: 1_000, batchClass: BatchClass.OWNER });
}

function read(batch: Uint8Array): StoredRecord[] {
  const header = readBatch(batch, 0);
  if (typeof header === 'string') throw new Error(header);
  const records: StoredRecord[] = [];
  readRecords(batch.subarray(headerBytes), header.baseOffset, header.recordCount, (each) => records.push(each));
  return records;
}

t.test('records come back as they went in', (t) => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 20 }), (records) => {
      const stored = read(build(records));
      return stored.every((got, i) => {
        const put = records[i]!;
        return (
          Buffer.compare(got.key ?? Buffer.of(1), put.key ?? Buffer.of(1)) === 0 &&
          Buffer.compare(got.value ?? Buffer.of(1), put.value ?? Buffer.of(1)) === 0 &&
          got.headers.length === (put.headers?.length ?? 0) &&
          got.headers.every(
            (header, k) =>
              header.name === new TextDecoder().decode(new TextEncoder().encode(put.headers![k]!.name)) &&
              Buffer.compare(header.value, put.headers![k]!.value) === 0,
          ) &&
          got.timestampDelta === (put.timestampDelta ?? 0) &&
          got.type === (put.type ?? 0) &&
          got.deliverAtMs === (put.deliverAtMs ?? 0) &&
          got.targetTopicId === (put.targetTopicId ?? 0) &&
          got.targetPartition === (put.targetPartition ?? 0) &&
          got.origin === (put.origin ?? 0) &&
          got.offset === i
        );
      });
    }),
  );
  t.end();
});

t.test('the leader stamps without touching the body, and the place is bound to the header', (t) => {
  const batch = build([{ value: Buffer.from('a') }, { value: Buffer.from('b') }]);
  const body = Buffer.from(batch.subarray(headerBytes));
  sequenceBatch(batch, 0, 77, 3, 500);
  stampBatch(batch, 0, { baseOffset: 2 ** 40, appendTimestamp: 1_700_000_000_000, term: 9 });
  placeBatch(batch, 0, { salt: 5, segmentBase: 2 ** 40, position: 4_096, groupStart: 88 });
  const header = readBatch(batch, 0);
  if (typeof header === 'string') throw new Error(header);
  t.match(header, {
    baseOffset: 2 ** 40,
    appendTimestamp: 1_700_000_000_000,
    term: 9,
    producerId: 77,
    producerEpoch: 3,
    baseSequence: 500,
    lastSequence: 501,
    recordCount: 2,
    groupStart: 88,
  });
  t.equal(batchClass(header), BatchClass.OWNER);
  t.same(Buffer.from(batch.subarray(headerBytes)), body);
  t.ok(isPlacedHere(header, 5, 2 ** 40, 4_096));
  t.notOk(isPlacedHere(header, 6, 2 ** 40, 4_096), 'another replica');
  t.notOk(isPlacedHere(header, 5, 2 ** 40, 4_097), 'another place');
  t.end();
});

t.test('every flipped bit is noticed, except in the replica-local fields', (t) => {
  const batch = build([{ key: Buffer.from('key'), value: Buffer.from('value') }]);
  for (let bit = 0; bit < batch.length * 8; bit++) {
    const byte = bit >> 3;
    if (byte >= 4 && byte < 12) continue;
    batch[byte]! ^= 1 << (bit & 7);
    if (typeof readBatch(batch, 0) !== 'string') t.fail(`bit ${bit}`);
    batch[byte]! ^= 1 << (bit & 7);
  }
  t.equal(typeof readBatch(batch, 0), 'object');
  t.end();
});

t.test('a cut batch is short at every length', (t) => {
  const batch = build([{ value: Buffer.from('value') }]);
  for (let length = 0; length < batch.length; length++) t.equal(readBatch(batch.subarray(0, length), 0), 'short');
  t.end();
});

t.test('random bytes are neither a batch nor a crash', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      if (typeof readHeader(bytes, 0) !== 'string') return false;
      try {
        readRecords(bytes, 0, 3, () => {});
      } catch (error) {
        return error instanceof RecordError;
      }
      return true;
    }),
    { numRuns: 5_000 },
  );
  t.end();
});

t.test('a builder says when it is full and takes one large record alone', (t) => {
  const builder = new BatchBuilder(1_000);
  t.ok(builder.append({ value: new Uint8Array(5_000) }), 'the first record may be larger');
  t.notOk(builder.append({ value: new Uint8Array(10) }));
  const batch = builder.finish({ baseTimestamp: 0, batchClass: BatchClass.CLIENT });
  t.ok(batch.length > 5_000);
  t.equal(builder.recordCount, 0);
  t.ok(builder.append({ value: new Uint8Array(10) }));
  t.end();
});
