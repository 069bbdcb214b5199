import t from 'tap';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

const draw = (random: SeededRandom): number[] => Array.from({ length: 8 }, () => random.u32());

await t.test('equal seeds, equal numbers; other seeds, others', async (t) => {
  for (const seed of [0, 1, 2 ** 31, 2 ** 40 + 5, -3])
    t.same(draw(new SeededRandom(seed)), draw(new SeededRandom(seed)));
  const firsts = new Set<number>();
  for (let seed = 0; seed < 2000; seed++) firsts.add(new SeededRandom(seed).u32());
  t.ok(firsts.size >= 1999);
  t.notSame(draw(new SeededRandom(5)), draw(new SeededRandom(5 + 2 ** 32)), 'seeds above 2^32 differ');
});

await t.test('a fork goes its own way and depends only on the draws before it', async (t) => {
  const one = new SeededRandom(9);
  const two = new SeededRandom(9);
  const fork = one.fork();
  const same = two.fork();
  draw(one);
  t.same(draw(fork), draw(same));
});
