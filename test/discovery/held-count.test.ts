import t from 'tap';
import { HeldCount } from '../../src/discovery/held-count.js';

t.test('numbers are compared when nothing was written from well before the beat', (t) => {
  const held = new HeldCount();
  t.notOk(held.isWrong(2, 2, 10_000, 10_010));
  held.sent(10_000);
  t.notOk(held.isWrong(0, 1, 20_000, 20_010), 'a register is on its way');
  held.answered(21_000);
  t.notOk(held.isWrong(0, 1, 23_000, 23_010), 'the beat may have passed it');
  t.notOk(held.isWrong(1, 1, 24_000, 24_010));
  t.ok(held.isWrong(0, 1, 24_000, 24_010));
  t.notOk(held.isWrong(0, 1, 27_000, 27_010), 'not again and again');
  t.ok(held.isWrong(0, 1, 54_100, 54_110));
  held.sent(90_000);
  t.notOk(held.isWrong(0, 1, 100_000, 100_010));
  held.restart();
  t.ok(held.isWrong(0, 1, 100_000, 100_010), 'on another connection nothing is awaited');
  t.end();
});
