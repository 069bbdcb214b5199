import t from 'tap';
import { DeletedNames, deletedNameKeptMs } from '../../src/broker/deleted-names.js';

t.test('a deleted name is kept until nobody has asked for it for a while, or it was made', async (t) => {
  const names = new DeletedNames();
  t.notOk(names.isKept('a', 0));
  names.deleted('a', 0);
  names.deleted('b', 0);
  let nowMs = 0;
  for (; nowMs < 10 * deletedNameKeptMs; nowMs += deletedNameKeptMs - 1) t.ok(names.isKept('a', nowMs));
  t.notOk(names.isKept('b', nowMs));
  names.made('a');
  t.notOk(names.isKept('a', nowMs));
});

t.test('names are bounded', async (t) => {
  const names = new DeletedNames();
  for (let i = 0; i <= 1_000; i++) names.deleted(`n${i}`, 0);
  t.notOk(names.isKept('n0', 1));
  t.ok(names.isKept('n1', 1));
});
