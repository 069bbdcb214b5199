import t from 'tap';
import type { Candidate } from '../../../src/discovery/picker.js';
import { RandomPicker } from '../../../src/discovery/pickers/random-picker.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

/** Passed by a right picker at most once in a thousand seeds (Wilson and Hilferty's approximation). */
function chiSquareMax(freedom: number): number {
  return freedom * (1 - 2 / (9 * freedom) + 3.09 * Math.sqrt(2 / (9 * freedom))) ** 3;
}

t.test('everyone has the chance of his weight', (t) => {
  const cases: readonly (readonly number[])[] = [
    [1],
    [1, 1, 1, 1],
    [5, 1, 1],
    [0.001, 0.002, 0.003],
    [10_000, 1, 100, 100, 2_500],
    Array.from({ length: 200 }, (_, i) => 1 + (i % 17)),
  ];
  for (const [seed, weights] of cases.entries()) {
    const picker = new RandomPicker(new SeededRandom(seed));
    const list: Candidate[] = weights.map((weight, i) => ({ id: `c${i}`, weight, isSuspect: false }));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const by = new Map<string, number>();
    const count = 200_000;
    for (let i = 0; i < count; i++) {
      const { id } = picker.pick(undefined, list)!;
      by.set(id, (by.get(id) ?? 0) + 1);
    }
    let chiSquare = 0;
    for (const { id, weight } of list) {
      const expected = (count * weight) / total;
      chiSquare += ((by.get(id) ?? 0) - expected) ** 2 / expected;
    }
    t.ok(chiSquare <= chiSquareMax(Math.max(1, list.length - 1)), `${weights.slice(0, 5)}: chi-square ${chiSquare}`);
  }
  t.end();
});
