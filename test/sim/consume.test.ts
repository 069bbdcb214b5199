import t from 'tap';
import { runConsumeSeed } from './consume-scenario.js';

const seeds = 4;

await t.test('a group handles everything, in order, whoever dies', async (t) => {
  let handled = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const result = await runConsumeSeed(seed);
    t.equal(
      result.problem,
      undefined,
      `${result.faults}; again: npm run sim -- --world consume --seed ${seed} --print`,
    );
    handled += result.counts['handled'] ?? 0;
  }
  t.ok(handled > 100 * seeds, `${handled} handled`);
});
