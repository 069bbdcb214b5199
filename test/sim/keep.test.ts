import t from 'tap';
import { runKeepSeed } from './keep-scenario.js';

await t.test('trims and snapshots lose nothing and forget nobody, whatever crashed', async (t) => {
  let trims = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const { problem, faults, counts } = await runKeepSeed(seed);
    t.equal(problem, undefined, `${faults}; again: npm run sim -- --world keep --seed ${seed}`);
    trims += counts['trims'] ?? 0;
  }
  t.ok(trims > 24, `${trims} trims`);
});
