import t from 'tap';
import { runSeed } from './scenario.js';

const seeds = 5;

for (let seed = 1; seed <= seeds; seed++) {
  await t.test(`seed ${seed}`, async (t) => {
    const result = await runSeed(seed);
    t.equal(result.problem, undefined, `${result.faults}; again with: npm run sim -- --seed ${seed} --print`);
    t.ok((result.counts.submits ?? 0) > 0);
  });
}

await t.test('a seed gives the same run again', async (t) => {
  const first = await runSeed(3);
  const second = await runSeed(3);
  t.equal(first.digest, second.digest);
  t.equal(first.events, second.events);
});
