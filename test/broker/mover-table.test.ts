import fc from 'fast-check';
import t from 'tap';
import { isMoverId, moverProducerId } from '../../src/broker/mover-table.js';
import { type PlacedMark, ProducerTable, producerExpiryMs } from '../../src/broker/producer-table.js';

const mover = moverProducerId(2, 7, 3);

function mark(producerId: number, first: number, last: number): Omit<PlacedMark, 'baseOffset'> {
  const producer = { producerId, producerEpoch: 0, baseSequence: first, lastSequence: last };
  return { ...producer, recordCount: 2, appendTimestamp: 5 };
}

t.test('a mover id names cursor, topic and partition, and is no ordinary id', (t) => {
  t.equal(moverProducerId(1, 0, 0), 2 ** 48);
  t.equal(mover, 2 * 2 ** 48 + 7 * 2 ** 16 + 3);
  t.ok(isMoverId(moverProducerId(15, 0xffff_ffff, 0xffff)) && !isMoverId(2 ** 48 - 1));
  t.throws(() => moverProducerId(16, 1, 1));
  t.end();
});

t.test('each row of the table of verdicts', (t) => {
  const table = new ProducerTable(1);
  t.match(table.check(mark(mover, 500, 520)), { kind: 'append' }, 'any sequence may be the first');
  table.appended({ ...mark(mover, 500, 520), baseOffset: 0 });
  t.match(table.check(mark(mover, 500, 520)), { kind: 'duplicate', endOffset: 2 });
  t.match(table.check(mark(mover, 1, 2)), { kind: 'duplicate', endOffset: 2 });
  t.match(table.check(mark(mover, 520, 521)), { kind: 'overlap', lastSequence: 520, endOffset: 2 });
  t.match(table.check(mark(mover, 900, 900)), { kind: 'append' }, 'gaps are allowed');
  t.match(table.check(mark(mover + 1, 0, 0)), { kind: 'append' }, 'another partition is another mover');
  t.equal(table.size, 0, 'movers do not count');
  t.end();
});

t.test('a mover is never forgotten, however long nothing came', (t) => {
  const table = new ProducerTable();
  table.replay({ ...mark(mover, 0, 9), baseOffset: 0 });
  table.replay({ ...mark(8, 0, 1), baseOffset: 2, appendTimestamp: 3 * producerExpiryMs });
  t.match(table.check(mark(mover, 5, 9)), { kind: 'duplicate' });
  t.end();
});

t.test('it judges like the highest last sequence in the whole log, across commits, truncations and reopening', (t) => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        op: fc.constant('batch' as const),
        id: fc.integer({ min: 0, max: 1 }),
        first: fc.nat(60),
        span: fc.nat(4),
      }),
    },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('commit' as const), share: fc.nat(100) }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('truncate' as const), share: fc.nat(100) }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('reopen' as const), share: fc.constant(0) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let table = new ProducerTable();
      let log: PlacedMark[] = [];
      let committed = 0;
      for (const each of steps) {
        if (each.op === 'batch') {
          const batch = mark(mover + each.id, each.first, each.first + each.span);
          const before = log.filter(({ producerId }) => producerId === batch.producerId);
          const highest = Math.max(-1, ...before.map(({ lastSequence }) => lastSequence));
          const { kind } = table.check(batch);
          const expected =
            batch.lastSequence <= highest ? 'duplicate' : batch.baseSequence > highest ? 'append' : 'overlap';
          if (kind !== expected) return false;
          if (kind !== 'append') continue;
          const placed = { ...batch, baseOffset: log.length * 2 };
          table.appended(placed);
          log.push(placed);
        } else if (each.op === 'reopen') {
          log = log.slice(0, committed);
          table = new ProducerTable();
          for (const batch of log) table.replay(batch);
        } else {
          const at = committed + Math.floor(((log.length - committed) * each.share) / 100);
          if (each.op === 'commit') {
            committed = at;
            table.committed(committed * 2);
          } else {
            log = log.slice(0, at);
            table.truncated(log.length * 2);
          }
        }
      }
      return true;
    }),
    { numRuns: 500 },
  );
  t.end();
});
