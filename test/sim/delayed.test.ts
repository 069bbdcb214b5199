import t from 'tap';
import { runDelayed, runDelayedCrashPoint, runDelayedSeed } from './delayed-scenario.js';

/** Short ones, with many crashes and a deleted target. */
const seeds = [1, 4];

await t.test('each delayed record is delivered once and never early, whatever crashed', async (t) => {
  let lives = 0;
  for (const seed of seeds) {
    const result = await runDelayedSeed(seed);
    t.equal(result.problem, undefined, `${result.faults}; again: npm run sim -- --world delay --seed ${seed} --print`);
    lives += result.counts.lives ?? 0;
  }
  t.ok(lives > 2 * seeds.length, `${lives} lives of the broker`);
});

await t.test('a crash at any operation; npm run sim -- --delay-crash-points takes them all', async (t) => {
  for (let operation = 130; operation < 700; operation += 210) {
    const { problem, counts } = await runDelayedCrashPoint(operation, operation % 2 === 0);
    t.equal(problem, undefined, `operation ${operation}`);
    t.equal(counts.kills, 1);
  }
});

await t.test('without crashes, in the order of their times', async (t) => {
  const delayed = { records: 200, spanMs: 10_000, cancelShare: 0, doomedShare: 0, gridMs: 1, pollMs: 500 };
  const sizes = { segmentBytes: 65_536, trimBytes: 1e12 };
  const result = await runDelayed({ seed: 1, crashes: 0, delayed: { ...delayed, ...sizes } });
  t.equal(result.problem, undefined);
  t.equal(result.counts.delivered, 200);
});
