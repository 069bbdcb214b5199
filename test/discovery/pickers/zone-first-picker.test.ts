import fc from 'fast-check';
import t from 'tap';
import type { Candidate, Picker } from '../../../src/discovery/picker.js';
import { RandomPicker } from '../../../src/discovery/pickers/random-picker.js';
import { ZoneFirstPicker } from '../../../src/discovery/pickers/zone-first-picker.js';
import { zoneSplit } from '../../../src/discovery/pickers/zone-split.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

const near = (a: number, b: number): boolean => Math.abs(a - b) < 1e-9;

t.test('the worked example: callers 40, 40, 20 and weights 25, 50, 25', (t) => {
  const split = zoneSplit(0, [40, 40, 20], [25, 50, 25]);
  t.ok(near(split.local, 0.625));
  t.ok(near(split.residual[0]!, 0));
  t.ok(near(split.residual[1]!, 10 / 15));
  t.ok(near(split.residual[2]!, 5 / 15));
  t.same(zoneSplit(1, [40, 40, 20], [25, 50, 25]), { local: 1, residual: [0, 0, 0] });
  t.same(zoneSplit(0, [0, 0], [1, 3]), { local: 1, residual: [0, 0] }, 'callers that nobody has counted');
  t.end();
});

t.test('when all callers keep to it, every unit of weight gets the same load, and the least of it crosses', (t) => {
  const zones = fc.integer({ min: 2, max: 6 });
  const numbers = (count: number, min: number): fc.Arbitrary<number[]> =>
    fc.array(fc.integer({ min, max: 100 }), { minLength: count, maxLength: count });
  fc.assert(
    fc.property(
      zones.chain((count) => fc.tuple(numbers(count, 1), numbers(count, 1))),
      ([callers, weights]) => {
        const all = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
        const load = weights.map(() => 0);
        let crossing = 0;
        callers.forEach((count, own) => {
          const { local, residual } = zoneSplit(own, callers, weights);
          load[own]! += (count / all(callers)) * local;
          residual.forEach((chance, zone) => {
            load[zone]! += (count / all(callers)) * (1 - local) * chance;
          });
          crossing += (count / all(callers)) * (1 - local);
        });
        // What a zone has too many of callers has to cross, no more.
        const must = all(callers.map((count, i) => Math.max(0, count / all(callers) - weights[i]! / all(weights))));
        return load.every((share, i) => near(share, weights[i]! / all(weights))) && near(crossing, must);
      },
    ),
  );
  t.end();
});

function inZones(counts: readonly number[], more: Partial<Candidate> = {}): Candidate[] {
  return counts.flatMap((count, zone) =>
    Array.from({ length: count }, (_, i) => ({
      id: `z${zone}-${i}`,
      weight: 1,
      isSuspect: false,
      zone: `z${zone}`,
      ...more,
    })),
  );
}

function picker(zone: string, counts?: ReadonlyMap<string, number>, within?: () => Picker): ZoneFirstPicker {
  const random = new SeededRandom(1);
  return new ZoneFirstPicker(random, { zone, counts: () => counts }, within ?? (() => new RandomPicker(random)));
}

function shares(from: Picker, list: readonly Candidate[], count: number): number[] {
  const by = [0, 0, 0];
  for (let i = 0; i < count; i++) by[Number(from.pick(undefined, list)!.id[1])]! += 1 / count;
  return by;
}

t.test('picks follow the split', (t) => {
  const callers = new Map([
    ['z0', 40],
    ['z1', 40],
    ['z2', 20],
  ]);
  const by = shares(picker('z0', callers), inZones([25, 50, 25]), 100_000);
  // Three standard deviations are below 0.005.
  for (const [zone, share] of [0.625, 0.25, 0.125].entries()) t.ok(Math.abs(by[zone]! - share) < 0.005, `${by}`);
  t.same(shares(picker('z1', callers), inZones([25, 50, 25]), 1_000)[1]!.toFixed(6), '1.000000');
  t.end();
});

t.test('callers that are not counted are even; those in zones without candidates count', (t) => {
  // A third of the callers, a fifth of the weight: 3/5 stay.
  t.ok(Math.abs(shares(picker('z0'), inZones([10, 20, 20]), 50_000)[0]! - 0.6) < 0.01);
  const callers = new Map([
    ['z0', 1],
    ['elsewhere', 1],
  ]);
  t.ok(
    near(shares(picker('z0', callers), inZones([10, 10, 0]), 5_000)[0]!, 1),
    'half of the callers, half of the weight',
  );
  t.end();
});

t.test('without a zone, or with nobody usable in it, all are used', (t) => {
  for (const zone of ['', 'z9']) {
    const by = shares(picker(zone), inZones([10, 10, 20]), 20_000);
    t.ok(Math.abs(by[2]! - 0.5) < 0.02, `${by}`);
  }
  const suspectHere = [...inZones([10], { isSuspect: true }), ...inZones([0, 10, 10])];
  const by = shares(picker('z0'), suspectHere, 10_000);
  t.equal(by[0], 0);
  t.ok(Math.abs(by[1]! - 0.5) < 0.03, `${by}`);
  const disabledHere = [...inZones([10], { isDisabled: true }), ...inZones([0, 10, 10])];
  t.equal(shares(picker('z0'), disabledHere, 1_000)[0], 0);
  t.equal(picker('z0').pick(undefined, inZones([2, 2, 2], { isDisabled: true })), undefined);
  t.end();
});

t.test("the end of a call reaches its zone's picker, and pickers of zones that are gone are let go", (t) => {
  const told: string[] = [];
  let made = 0;
  const within = (): Picker => {
    const name = `picker ${made++}`;
    return { pick: (_, list) => list[0], done: (id) => told.push(`${name}: ${id}`) };
  };
  const from = picker('z0', undefined, within);
  from.pick(undefined, inZones([2, 2]));
  const outcome = { latencyMs: 1, isOk: true };
  from.done('z0-1', outcome);
  from.done('z1-0', outcome);
  from.done('z2-0', outcome);
  from.pick(undefined, inZones([2, 0]));
  from.done('z1-0', outcome);
  from.pick(undefined, inZones([2, 2]));
  from.done('z1-0', outcome);
  t.same(told, ['picker 0: z0-1', 'picker 1: z1-0', 'picker 2: z1-0']);
  t.end();
});
