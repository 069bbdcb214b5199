import t from 'tap';
import { askMs, Incarnation, incarnationMax } from '../../../src/nameserver/core/incarnation.js';

t.test('alone: above what is stored, and not below the wall clock', (t) => {
  t.equal(new Incarnation(0, 0, 0).draw(0, 1_000), 1_001);
  t.equal(new Incarnation(0, 5_000, 0).draw(0, 1_000), 5_001);
  t.equal(new Incarnation(0, 7, 0).draw(0, 2 ** 60), 8, 'a clock beyond reason is none');
  t.end();
});

t.test('among others: when all have answered, or after a while', (t) => {
  const incarnation = new Incarnation(2, 10, 0);
  t.ok(incarnation.mayAsk(0));
  t.notOk(incarnation.mayAsk(50));
  t.ok(incarnation.mayAsk(100), 'again, since a link may only be up now');
  incarnation.told('b', 9_000);
  incarnation.told('b', 3);
  t.equal(incarnation.draw(100, 1_000), 0, 'c has not answered');
  incarnation.told('c', 0);
  t.equal(incarnation.draw(100, 1_000), 9_001);
  t.notOk(incarnation.stored(5), 'another one than asked for');
  t.equal(incarnation.current, 0);
  t.ok(incarnation.stored(9_001));
  t.equal(incarnation.current, 9_001);
  t.equal(new Incarnation(2, 0, 0).draw(askMs, 1_000), 1_001);
  t.end();
});

t.test('raised above what is heard, once a hearing, and a twin when there is no end of it', (t) => {
  const incarnation = new Incarnation(0, 0, 0);
  incarnation.stored(incarnation.draw(0, 1_000));
  const first = incarnation.raise(5_000, 0, 1_000)!;
  t.equal(first, 5_001);
  t.equal(incarnation.raise(5_000, 0, 1_000), 0, 'that one is being stored');
  t.ok(incarnation.stored(first));
  let above = first;
  for (let i = 0; i < 7; i++) {
    above = incarnation.raise(above + 1, i, 1_000)!;
    incarnation.stored(above);
  }
  t.equal(incarnation.raise(above + 1, 100, 1_000), undefined, 'another process does the same');
  t.ok(incarnation.raise(above + 1, 100_000, 1_000)! < incarnationMax, 'not so much later');
  t.end();
});
