import type { Test } from 'tap';
import type { InRuntime } from './in-runtime.js';

/** What every `Random` does. The checks of distribution fail by chance less than once in 10^9 runs. */
export async function randomConformance(t: Test, run: InRuntime): Promise<void> {
  await t.test('ranges', (t) =>
    run(async ({ random }) => {
      for (let i = 0; i < 2000; i++) {
        const word = random.u32();
        const unit = random.unit();
        const below = random.below(7);
        if (!Number.isInteger(word) || word < 0 || word > 0xffff_ffff) t.fail(`u32 gave ${word}`);
        if (unit < 0 || unit >= 1) t.fail(`unit gave ${unit}`);
        if (!Number.isInteger(below) || below < 0 || below >= 7) t.fail(`below(7) gave ${below}`);
      }
      t.equal(random.below(1), 0);
      t.ok(random.below(2 ** 32) < 2 ** 32);
      t.throws(() => random.below(0));
      t.throws(() => random.below(2 ** 32 + 1));
    }),
  );

  await t.test('every bit and every residue comes up', (t) =>
    run(async ({ random }) => {
      const rounds = 4096;
      const ones = new Array<number>(32).fill(0);
      const residues = new Array<number>(6).fill(0);
      for (let i = 0; i < rounds; i++) {
        const word = random.u32();
        for (let bit = 0; bit < 32; bit++) ones[bit]! += (word >>> bit) & 1;
        residues[random.below(6)]!++;
      }
      // Seven standard deviations of a fair coin.
      for (const count of ones) t.ok(Math.abs(count - rounds / 2) < 7 * Math.sqrt(rounds / 4));
      for (const count of residues) t.ok(Math.abs(count - rounds / 6) < 7 * Math.sqrt(rounds * (1 / 6) * (5 / 6)));
    }),
  );

  await t.test('bytes: as many as asked, not twice the same', (t) =>
    run(async ({ random }) => {
      for (const length of [0, 1, 3, 4, 5, 16, 33]) t.equal(random.bytes(length).length, length);
      t.notSame(random.bytes(16), random.bytes(16));
    }),
  );
}
