import fc from 'fast-check';
import t from 'tap';
import type { Candidate } from '../../../src/discovery/picker.js';
import { RoundRobinPicker } from '../../../src/discovery/pickers/round-robin-picker.js';
import { SmoothRoundRobin } from '../../../src/discovery/pickers/smooth-round-robin.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

/** As nginx does it: `ngx_http_upstream_get_peer`. */
class Nginx {
  readonly #weights: readonly number[];
  readonly #currents: number[];

  constructor(weights: readonly number[]) {
    this.#weights = weights;
    this.#currents = weights.map(() => 0);
  }

  pick(): number {
    let best = -1;
    let total = 0;
    this.#weights.forEach((weight, i) => {
      this.#currents[i]! += weight;
      total += weight;
      if (best === -1 || this.#currents[i]! > this.#currents[best]!) best = i;
    });
    this.#currents[best]! -= total;
    return best;
  }
}

function picks(order: { pick(): number }, count: number): number[] {
  return Array.from({ length: count }, () => order.pick());
}

t.test('5, 1, 1 give a a b a c a a', (t) => {
  const order = new SmoothRoundRobin([5, 1, 1]);
  t.equal(
    picks(order, 14)
      .map((i) => 'abc'[i])
      .join(' '),
    'a a b a c a a a a b a c a a',
  );
  t.equal(new SmoothRoundRobin([]).pick(), -1);
  t.end();
});

t.test("nginx's order for any weights, pick by pick", (t) => {
  const weight = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 10_000 }));
  fc.assert(
    fc.property(fc.array(weight, { minLength: 1, maxLength: 30 }), (weights) => {
      t.same(picks(new SmoothRoundRobin(weights), 300), picks(new Nginx(weights), 300));
      return true;
    }),
    { numRuns: 200 },
  );
  const weights = [7, 3, 3, 1, 10_000, 250, 7];
  const expected = picks(new Nginx(weights), 200_000);
  const differs = picks(new SmoothRoundRobin(weights), 200_000).findIndex((member, i) => member !== expected[i]);
  t.equal(differs, -1, 'and for long');
  const equal = Array.from({ length: 7 }, () => 3);
  t.same(picks(new SmoothRoundRobin(equal), 14), [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6]);
  t.end();
});

t.test('in each period, from anywhere in it, everyone is taken exactly by weight', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 }),
      fc.nat(50),
      (weights, skip) => {
        const order = new SmoothRoundRobin(weights);
        picks(order, skip);
        const taken = weights.map(() => 0);
        for (const member of picks(order, order.total)) taken[member]!++;
        return taken.every((count, i) => count === weights[i]);
      },
    ),
  );
  t.end();
});

t.test('the order goes on where currents are taken in, and where another order takes over', (t) => {
  const weights = [5, 3, 1, 1, 3];
  const expected = picks(new Nginx(weights), 200);
  let order = new SmoothRoundRobin(weights);
  const got: number[] = [];
  for (let i = 0; i < 20; i++) {
    got.push(...picks(order, 10));
    order = new SmoothRoundRobin(weights, order.lags());
  }
  t.same(got, expected);
  t.end();
});

t.test('lags from anywhere do little harm: nobody catches up on more than two picks', (t) => {
  const order = new SmoothRoundRobin([2, 2, 2, 4], [100, -100, 0, 7]);
  picks(order, 100);
  const taken = [0, 0, 0, 0];
  for (const member of picks(order, 1_000)) taken[member]!++;
  t.ok(
    taken.every((count, i) => Math.abs(count - [200, 200, 200, 400][i]!) <= 4),
    `${taken}`,
  );
  t.end();
});

const list = (count: number, weight = 1, first = 0): Candidate[] =>
  Array.from({ length: count }, (_, i) => ({ id: `c${first + i}`, weight, isSuspect: false }));

t.test('callers begin at different places', (t) => {
  const firsts = new Set<string>();
  const by = new Map<string, number>();
  const ten = list(10);
  for (let seed = 0; seed < 1_000; seed++) {
    const { id } = new RoundRobinPicker(new SeededRandom(seed)).pick(undefined, ten)!;
    firsts.add(id);
    by.set(id, (by.get(id) ?? 0) + 1);
  }
  let chiSquare = 0;
  for (const { id } of ten) chiSquare += (by.get(id)! - 100) ** 2 / 100;
  // 9 degrees of freedom: 27.9 is passed once in a thousand.
  t.ok(chiSquare < 27.9, `chi-square ${chiSquare}`);
  t.end();
});

t.test('over changes of the list: nobody is skipped, a newcomer is neither early nor flooded', (t) => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = new SeededRandom(seed);
    const picker = new RoundRobinPicker(random);
    const ten = list(10);
    for (let i = random.below(40); i >= 0; i--) picker.pick(undefined, ten);
    const eleven = list(11);
    const first = Array.from({ length: 11 }, () => picker.pick(undefined, eleven)!.id);
    t.equal(first.filter((id) => id === 'c10').length <= 2, true, first.join(' '));
    const then = new Map<string, number>();
    for (let i = 0; i < 33; i++) {
      const { id } = picker.pick(undefined, eleven)!;
      then.set(id, (then.get(id) ?? 0) + 1);
    }
    for (const { id } of eleven) t.equal(then.get(id), 3, `${id}, seed ${seed}`);
    const nine = eleven.filter(({ id }) => id !== 'c3' && id !== 'c4');
    const last = new Map<string, number>();
    for (let i = 0; i < 27; i++) {
      const { id } = picker.pick(undefined, nine)!;
      last.set(id, (last.get(id) ?? 0) + 1);
    }
    for (const { id } of nine) t.equal(last.get(id), 3, `${id}, seed ${seed}`);
  }
  t.end();
});

t.test('the same candidates in a new list each time: the order goes on', (t) => {
  const picker = new RoundRobinPicker(new SeededRandom(3));
  const ids = Array.from({ length: 30 }, () => picker.pick(undefined, list(10))!.id);
  t.equal(new Set(ids.slice(0, 10)).size, 10);
  t.same(ids.slice(10, 20), ids.slice(0, 10));
  t.same(ids.slice(20), ids.slice(0, 10));
  t.end();
});
