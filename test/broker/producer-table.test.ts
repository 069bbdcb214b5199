import fc from 'fast-check';
import t from 'tap';
import { type PlacedMark, ProducerTable, producerExpiryMs } from '../../src/broker/producer-table.js';

/** A log with a table beside it. */
class Log {
  readonly table: ProducerTable;
  end = 0;
  timeMs = 1_000;

  constructor(producersMax = 1_000) {
    this.table = new ProducerTable(producersMax);
  }

  check(producerId: number, producerEpoch: number, baseSequence: number, count = 1): string {
    const verdict = this.table.check({
      producerId,
      producerEpoch,
      baseSequence,
      lastSequence: baseSequence + count - 1,
    });
    return verdict.kind === 'refuse' ? verdict.error.codeName : verdict.kind;
  }

  append(producerId: number, producerEpoch: number, baseSequence: number, count = 1): void {
    t.equal(this.check(producerId, producerEpoch, baseSequence, count), 'append');
    this.table.appended({
      producerId,
      producerEpoch,
      baseSequence,
      lastSequence: baseSequence + count - 1,
      baseOffset: this.end,
      recordCount: count,
      appendTimestamp: this.timeMs,
    });
    this.end += count;
  }
}

t.test('each row of the table of verdicts', (t) => {
  const log = new Log();
  t.equal(log.check(0, 0, 99), 'append', 'without an id nothing is judged');
  t.equal(log.check(7, 0, 3), 'UNKNOWN_PRODUCER');
  for (let i = 0; i < 7; i++) log.append(7, 0, i * 10, 10);
  t.equal(log.check(7, 0, 60, 10), 'repeat');
  t.equal(log.check(7, 0, 20, 10), 'repeat', 'the oldest of the last five');
  t.equal(log.check(7, 0, 10, 10), 'duplicate', 'the sixth');
  t.equal(log.check(7, 0, 20, 9), 'OUT_OF_ORDER_SEQUENCE', 'another cut');
  t.equal(log.check(7, 0, 15, 10), 'OUT_OF_ORDER_SEQUENCE', 'across the edge of the window');
  t.equal(log.check(7, 0, 71), 'OUT_OF_ORDER_SEQUENCE', 'a gap');
  t.equal(log.check(7, 1, 70), 'OUT_OF_ORDER_SEQUENCE', 'a higher epoch begins at 0');
  log.append(7, 1, 0);
  t.equal(log.check(7, 0, 70), 'PRODUCER_FENCED');
  t.equal(log.check(7, 1, 1), 'append');
  t.end();
});

t.test('a repeat says where the batch is, and a duplicate waits for what surely lies above it', (t) => {
  const log = new Log();
  for (let i = 0; i < 6; i++) log.append(7, 0, i * 10, 10);
  const mark = { producerId: 7, producerEpoch: 0 };
  t.match(log.table.check({ ...mark, baseSequence: 30, lastSequence: 39 }), {
    kind: 'repeat',
    baseOffset: 30,
    endOffset: 40,
    appendTimestamp: 1_000,
  });
  t.match(log.table.check({ ...mark, baseSequence: 0, lastSequence: 9 }), { kind: 'duplicate', endOffset: 10 });
  t.end();
});

t.test('a producer is forgotten by the time in the log, and then starts anew', (t) => {
  const log = new Log();
  log.append(7, 3, 0);
  log.append(7, 3, 1);
  log.timeMs += producerExpiryMs;
  log.append(8, 0, 0);
  t.equal(log.check(7, 3, 2), 'append', 'not yet');
  log.timeMs += 1;
  log.append(8, 0, 1);
  t.equal(log.check(7, 3, 2), 'UNKNOWN_PRODUCER');
  log.table.committed(log.end);
  t.equal(log.table.size, 1);
  log.append(7, 0, 0);
  t.equal(log.table.size, 2);
  t.end();
});

t.test('a new producer gets BUSY when there are too many, known ones go on', (t) => {
  const log = new Log(2);
  log.append(1, 0, 0);
  log.append(2, 0, 0);
  t.equal(log.check(3, 0, 0), 'BUSY');
  log.table.committed(1);
  t.equal(log.check(3, 0, 0), 'BUSY');
  t.equal(log.check(1, 0, 1), 'append');
  log.table.truncated(1);
  t.equal(log.check(3, 0, 0), 'append', 'the second one was cut off');
  t.equal(log.check(2, 0, 0), 'append', 'as if it had never been');
  t.end();
});

/** The same judgement, by looking through all batches of the log. */
function judge(log: readonly PlacedMark[], id: number, epoch: number, base: number, last: number): string {
  const mine = log.filter((batch) => batch.producerId === id);
  const latest = mine[mine.length - 1];
  if (latest === undefined) return base === 0 ? 'append' : 'UNKNOWN_PRODUCER';
  if (epoch < latest.producerEpoch) return 'PRODUCER_FENCED';
  if (epoch > latest.producerEpoch) return base === 0 ? 'append' : 'OUT_OF_ORDER_SEQUENCE';
  if (base === latest.lastSequence + 1) return 'append';
  const window = mine.filter((batch) => batch.producerEpoch === epoch).slice(-5);
  if (window.some((batch) => batch.baseSequence === base && batch.lastSequence === last)) return 'repeat';
  return last < window[0]!.baseSequence ? 'duplicate' : 'OUT_OF_ORDER_SEQUENCE';
}

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('batch' as const),
      id: fc.integer({ min: 1, max: 3 }),
      epoch: fc.nat(2),
      back: fc.nat(9),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('next' as const),
      id: fc.integer({ min: 1, max: 3 }),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('commit' as const), share: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('truncate' as const), share: fc.nat(100) }) },
);

t.test('it judges like a search through the whole log, across commits, truncations and a reopening', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      let table = new ProducerTable();
      let log: PlacedMark[] = [];
      let committed = 0;
      const endOf = (batches: readonly PlacedMark[]): number => {
        const last = batches[batches.length - 1];
        return last === undefined ? 0 : last.baseOffset + last.recordCount;
      };
      const offer = (id: number, epoch: number, base: number, count: number): boolean => {
        const mark = { producerId: id, producerEpoch: epoch, baseSequence: base, lastSequence: base + count - 1 };
        const verdict = table.check(mark);
        const kind = verdict.kind === 'refuse' ? verdict.error.codeName : verdict.kind;
        if (kind !== judge(log, id, epoch, base, mark.lastSequence)) return false;
        if (kind === 'append') {
          const placed = { ...mark, baseOffset: endOf(log), recordCount: count, appendTimestamp: 5 };
          table.appended(placed);
          log.push(placed);
        }
        return true;
      };
      for (const each of steps) {
        if (each.op === 'batch') {
          const mine = log.filter((batch) => batch.producerId === each.id);
          const expected = (mine[mine.length - 1]?.lastSequence ?? -1) + 1;
          if (!offer(each.id, each.epoch, Math.max(0, expected + 2 - each.back), each.count)) return false;
        } else if (each.op === 'next') {
          const latest = log.filter((batch) => batch.producerId === each.id).pop();
          const epoch = latest?.producerEpoch ?? 0;
          if (!offer(each.id, epoch, (latest?.lastSequence ?? -1) + 1, each.count)) return false;
        } else {
          const open = log.filter((batch) => batch.baseOffset >= committed);
          const end = endOf(log.slice(0, log.length - open.length + Math.floor((open.length * each.share) / 100)));
          if (each.op === 'commit') {
            committed = Math.max(committed, end);
            table.committed(committed);
          } else {
            const cut = Math.max(committed, end);
            log = log.filter((batch) => batch.baseOffset < cut);
            table.truncated(cut);
          }
        }
        if (table.size !== new Set(log.map((batch) => batch.producerId)).size) return false;
      }
      // A reopened partition replays the log and judges as before.
      const before = table;
      table = new ProducerTable();
      for (const batch of log) table.replay(batch);
      for (const id of [1, 2, 3]) {
        for (let base = 0; base < 12; base++) {
          const mark = { producerId: id, producerEpoch: 1, baseSequence: base, lastSequence: base };
          if (before.check(mark).kind !== table.check(mark).kind) return false;
        }
      }
      return true;
    }),
    { numRuns: 400 },
  );
  t.end();
});
