import t from 'tap';
import { runQueueSeed } from './queue-scenario.js';

const seeds = 8;

await t.test('acknowledged once, stored once, whatever crashed', async (t) => {
  let lives = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const result = await runQueueSeed(seed);
    t.equal(result.problem, undefined, `${result.faults}; again: npm run sim -- --world queue --seed ${seed} --print`);
    lives += result.counts.lives ?? 0;
  }
  t.ok(lives > 2 * seeds, `${lives} lives of the broker`);
});

await t.test('a seed gives the same run again', async (t) => {
  const first = await runQueueSeed(3);
  const second = await runQueueSeed(3);
  t.equal(first.digest, second.digest);
});
