import t from 'tap';
import { askMs, Incarnation, incarnationMax } from '../../../src/nameserver/core/incarnation.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

const random = new SeededRandom(1);

function rises(t: Pick<typeof import('tap'), 'ok'>, drawn: number | undefined, above: number): void {
  t.ok(drawn !== undefined && drawn > above && drawn <= above + 1_024, `${drawn} is a little above ${above}`);
}

t.test('alone: above what is stored, and not below the wall clock', (t) => {
  rises(t, new Incarnation(0, 0, random, 0).draw(0, 1_000), 1_000);
  rises(t, new Incarnation(0, 5_000, random, 0).draw(0, 1_000), 5_000);
  rises(t, new Incarnation(0, 7, random, 0).draw(0, 2 ** 60), 7);
  const drawn = new Set(Array.from({ length: 20 }, () => new Incarnation(0, 0, random, 0).draw(0, 1_000)));
  t.ok(drawn.size > 10, 'two lives that know nothing of each other hardly ever have the same');
  t.end();
});

t.test('among others: when all have answered, or after a while', (t) => {
  const incarnation = new Incarnation(2, 10, random, 0);
  t.ok(incarnation.mayAsk(0));
  t.notOk(incarnation.mayAsk(50));
  t.ok(incarnation.mayAsk(100), 'again, since a link may only be up now');
  incarnation.told('b', 9_000);
  incarnation.told('b', 3);
  t.equal(incarnation.draw(100, 1_000), 0, 'c has not answered');
  incarnation.told('c', 0);
  const drawn = incarnation.draw(100, 1_000);
  rises(t, drawn, 9_000);
  t.notOk(incarnation.stored(5), 'another one than asked for');
  t.equal(incarnation.current, 0);
  t.ok(incarnation.stored(drawn));
  t.equal(incarnation.current, drawn);
  rises(t, new Incarnation(2, 0, random, 0).draw(askMs, 1_000), 1_000);
  t.end();
});

t.test('raised above what is heard, once a hearing, and a twin when there is no end of it', (t) => {
  const incarnation = new Incarnation(0, 0, random, 0);
  incarnation.stored(incarnation.draw(0, 1_000));
  const first = incarnation.raise(5_000, 0, 1_000)!;
  rises(t, first, 5_000);
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
