import t from 'tap';
import { runRegistrySeed } from './registry-scenario.js';

const seeds = 10;

await t.test(
  'name servers lose nobody who lives, keep nobody who is dead, and tell listeners nothing else',
  async (t) => {
    let removals = 0;
    let lists = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const { problem, faults, counts } = await runRegistrySeed(seed);
      t.equal(problem, undefined, `${faults}; again: npm run sim -- --world registry --seed ${seed} --print`);
      removals += counts.removals ?? 0;
      lists += counts.lists ?? 0;
    }
    t.ok(removals > 5 * seeds && lists > 10 * seeds, `${removals} removals, ${lists} lists: something happened`);
  },
);

await t.test('a seed gives the same run again', async (t) => {
  const first = await runRegistrySeed(3);
  const second = await runRegistrySeed(3);
  t.equal(first.digest, second.digest);
});
