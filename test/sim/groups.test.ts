import t from 'tap';
import { runGroupSeed } from './group-scenario.js';

const seeds = 3;

await t.test(
  'one consumer a partition, no commit lost or late, nobody out for nothing, and it comes to rest',
  async (t) => {
    let grants = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const result = await runGroupSeed(seed);
      t.equal(
        result.problem,
        undefined,
        `${result.faults}; again: npm run sim -- --world groups --seed ${seed} --print`,
      );
      grants += result.counts['grants'] ?? 0;
    }
    t.ok(grants > 20 * seeds, `${grants} grants`);
  },
);
