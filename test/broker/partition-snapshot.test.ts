import fc from 'fast-check';
import t from 'tap';
import {
  decodePartitionSnapshot,
  encodePartitionSnapshot,
  type PartitionSnapshot,
} from '../../src/broker/partition-snapshot.js';
import { ProducerTable } from '../../src/broker/producer-table.js';

const batch = { baseSequence: 5, lastSequence: 9, baseOffset: 100, endOffset: 105, appendTimestamp: 1_000 };
const snapshot: PartitionSnapshot = {
  trimOffset: 40,
  logTimeMs: 2_000,
  controlTail: 3,
  producers: new Map([[7, { epoch: 3, window: [batch] }]]),
  movers: new Map([[2 ** 48 + 65_536, { lastSequence: 77, endOffset: 120 }]]),
};

t.test('a snapshot comes back as it went in: these bytes are the format', (t) => {
  const bytes = encodePartitionSnapshot(snapshot);
  t.same(
    Buffer.from(bytes)
      .toString('hex')
      .match(/.{1,32}/g),
    [
      '00000001000000010000000100000003',
      '000000000000002800000000000007d0',
      '00000000000000070003000100000000',
      '00000000000000050000000000000009',
      '00000000000000640000000000000069',
      '00000000000003e80001000000010000',
      '000000000000004d0000000000000078',
    ],
  );
  t.same(decodePartitionSnapshot(bytes, 120), snapshot);
  t.end();
});

t.test('what can not be true at its end, and what is no snapshot, is refused', (t) => {
  const good = encodePartitionSnapshot(snapshot);
  t.equal(decodePartitionSnapshot(good, 119), undefined, 'a mover that lies above the end');
  const wrong: PartitionSnapshot[] = [
    { ...snapshot, trimOffset: 121 },
    { ...snapshot, controlTail: 121 },
    { ...snapshot, producers: new Map([[7, { epoch: 3, window: [{ ...batch, endOffset: 121 }] }]]) },
    { ...snapshot, producers: new Map([[7, { epoch: 3, window: [batch, batch] }]]) },
    { ...snapshot, producers: new Map([[7, { epoch: 3, window: [] }]]) },
    { ...snapshot, producers: new Map([[2 ** 49, { epoch: 3, window: [batch] }]]) },
    { ...snapshot, movers: new Map([[7, { lastSequence: 1, endOffset: 2 }]]) },
  ];
  for (const each of wrong) t.equal(decodePartitionSnapshot(encodePartitionSnapshot(each), 120), undefined);
  for (let length = 0; length < good.length; length++) {
    t.equal(decodePartitionSnapshot(good.subarray(0, length), 120), undefined);
  }
  t.end();
});

t.test('random bytes, and random changes to a snapshot, never throw', (t) => {
  const good = encodePartitionSnapshot(snapshot);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(good.length - 1), fc.nat(255), (noise, at, value) => {
      decodePartitionSnapshot(noise, 120);
      const bytes = good.slice();
      bytes[at] = value;
      decodePartitionSnapshot(bytes, 120);
    }),
    { numRuns: 500 },
  );
  t.end();
});

const appends = fc.array(
  fc.record({ producerId: fc.constantFrom(1, 2, 3, 2 ** 48 + 1, 2 ** 48 + 2), count: fc.integer({ min: 1, max: 4 }) }),
  { maxLength: 40 },
);

t.test('a table from a snapshot judges as the one that was committed there, and knows nothing uncommitted', (t) => {
  fc.assert(
    fc.property(appends, fc.nat(40), (list, committed) => {
      const table = new ProducerTable();
      const next = new Map<number, number>();
      let end = 0;
      let committedEnd = 0;
      const seen = new Map<number, number>();
      for (const [i, { producerId, count }] of list.entries()) {
        const baseSequence = next.get(producerId) ?? 0;
        const lastSequence = baseSequence + count - 1;
        const placed = { baseOffset: end, recordCount: count, appendTimestamp: 1_000 + i };
        table.appended({ producerId, producerEpoch: 0, baseSequence, lastSequence, ...placed });
        next.set(producerId, lastSequence + 1);
        end += count;
        if (i >= committed) continue;
        committedEnd = end;
        seen.set(producerId, lastSequence + 1);
      }
      table.committed(committedEnd);
      const bytes = encodePartitionSnapshot({ trimOffset: 0, controlTail: 0, ...table.committedState() });
      const again = new ProducerTable();
      again.restore(decodePartitionSnapshot(bytes, committedEnd)!);
      for (const producerId of [1, 2, 3, 2 ** 48 + 1, 2 ** 48 + 2]) {
        const sequence = seen.get(producerId) ?? 0;
        const mark = { producerId, producerEpoch: 0 };
        const following = again.check({ ...mark, baseSequence: sequence, lastSequence: sequence });
        if (following.kind !== 'append') return false;
        if (sequence === 0) continue;
        const last = { ...mark, baseSequence: sequence - 1, lastSequence: sequence - 1 };
        if (again.check(last).kind === 'append') return false;
      }
      return true;
    }),
    { numRuns: 200 },
  );
  t.end();
});
