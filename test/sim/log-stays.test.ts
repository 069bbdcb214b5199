import t from 'tap';
import type { CommittedBatch } from '../../src/coordinator/task-log.js';
import { LogStays } from './log-stays.js';

const batch = (baseOffset: number, ...texts: string[]): CommittedBatch =>
  ({
    baseOffset,
    records: texts.map((text, i) => ({ offset: baseOffset + i, type: 20, value: Buffer.from(text) })),
  }) as unknown as CommittedBatch;

await t.test('what was read stays at its place', async (t) => {
  const problems: string[] = [];
  const checker = new LogStays((error) => problems.push(error.message));
  checker.saw(0, batch(3, 'a', 'b'));
  checker.saw(0, batch(3, 'a', 'b', 'c'));
  checker.saw(1, batch(3, 'x'));
  t.equal(checker.endOf(0), 6);
  checker.sawEnd(0, 6, 6);
  t.same(problems, []);
  t.equal(checker.count, 4);
  checker.saw(0, batch(4, 'other'));
  checker.sawEnd(0, 5, 6);
  checker.lost(1, 7);
  t.same(problems, [
    'shard 0: the record at offset 4 is another one',
    'shard 0 ends at 5, but was read up to 6 before',
    'shard 1: a reader lost its place; the log begins at 7',
  ]);
});
