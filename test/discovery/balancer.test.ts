import t from 'tap';
import { Balancer, type BalancerOptions } from '../../src/discovery/balancer.js';
import { type Candidate, type Picker, usable } from '../../src/discovery/picker.js';
import { pickerNamed } from '../../src/discovery/pickers/picker-names.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { ManualClock } from '../support/manual-clock.js';

function candidates(count: number, more: (i: number) => Partial<Candidate> = () => ({})): Candidate[] {
  return Array.from({ length: count }, (_, i) => ({ id: `c${i}`, weight: 100, isSuspect: false, ...more(i) }));
}

/** Takes them in turn, and shows the lists that it is given. */
class Watching implements Picker {
  readonly lists: (readonly Candidate[])[] = [];
  #next = 0;

  pick<C extends Candidate>(_key: string | undefined, list: readonly C[]): C | undefined {
    if (this.lists.at(-1) !== list) this.lists.push(list);
    const from = usable(list);
    return from[this.#next++ % Math.max(1, from.length)];
  }

  get list(): readonly Candidate[] {
    return this.lists.at(-1)!;
  }

  weightOf(id: string): number {
    return this.list.find((each) => each.id === id)!.weight;
  }
}

function setUp(options?: BalancerOptions): { clock: ManualClock; inner: Watching; balancer: Balancer } {
  const clock = new ManualClock();
  const inner = new Watching();
  return { clock, inner, balancer: new Balancer(inner, clock, options) };
}

function chosen(balancer: Balancer, list: readonly Candidate[], count = 50): string[] {
  const ids = new Set<string>();
  for (let i = 0; i < count; i++) ids.add(balancer.pick(undefined, list)!.id);
  return [...ids].sort();
}

t.test('the first list has its whole weight; who comes later rises to it in 30 s', (t) => {
  const { clock, inner, balancer } = setUp();
  t.equal(balancer.pick(undefined, []), undefined);
  const first = candidates(3);
  balancer.pick(undefined, first);
  t.same(
    inner.list.map(({ weight }) => weight),
    [100, 100, 100],
  );
  clock.ms = 5_000;
  const more = candidates(4);
  const seen: number[] = [];
  for (let ageMs = 0; ageMs <= 31_000; ageMs += 500) {
    clock.ms = 5_000 + ageMs;
    balancer.pick(undefined, more);
    const weight = inner.weightOf('c3');
    const exact = ageMs >= 30_000 ? 100 : Math.max(10, (100 * ageMs) / 30_000);
    // Half a step, and the time since the last one.
    t.ok(Math.abs(weight - exact) <= 100 / 64 + 100 / 32, `${weight} at ${ageMs} ms`);
    t.equal(inner.weightOf('c0'), 100);
    seen.push(weight);
  }
  t.same(
    seen,
    [...seen].sort((a, b) => a - b),
  );
  t.equal(seen[0], 10);
  t.equal(seen.at(-1), 100);
  const lists = inner.lists.length;
  clock.ms += 1_000_000;
  balancer.pick(undefined, more);
  t.equal(inner.lists.length, lists, 'nothing more to tell the picker');
  t.end();
});

t.test('a new incarnation and one who was away start slowly; another weight alone does not', (t) => {
  const { clock, inner, balancer } = setUp();
  balancer.pick(
    undefined,
    candidates(3, () => ({ incarnation: 1 })),
  );
  clock.ms = 60_000;
  balancer.pick(
    undefined,
    candidates(3, (i) => ({ incarnation: i === 1 ? 2 : 1, weight: i === 2 ? 50 : 100 })),
  );
  t.same(
    inner.list.map(({ weight }) => weight),
    [100, 10, 50],
  );
  clock.ms = 120_000;
  balancer.pick(undefined, candidates(2, () => ({ incarnation: 2 })).slice(1));
  balancer.pick(
    undefined,
    candidates(2, () => ({ incarnation: 2 })),
  );
  t.same(
    inner.list.map(({ weight }) => weight),
    [10, 100],
  );
  t.end();
});

t.test('with a weighted picker the newcomer really gets its share of the moment', (t) => {
  const clock = new ManualClock();
  const balancer = new Balancer(pickerNamed('round-robin', { random: new SeededRandom(1), clock }), clock);
  balancer.pick(undefined, candidates(3));
  clock.ms = 1_000;
  const list = candidates(4);
  balancer.pick(undefined, list);
  clock.ms += 15_000;
  let had = 0;
  for (let i = 0; i < 700; i++) if (balancer.pick(undefined, list)!.id === 'c3') had++;
  t.ok(Math.abs(had - 100) <= 1, `${had} of 700 at half weight among three whole ones`);
  t.end();
});

t.test('who fails five times in a row is left alone for 30 s', (t) => {
  const { clock, balancer } = setUp();
  const list = candidates(4);
  chosen(balancer, list);
  for (let i = 0; i < 5; i++) balancer.done('c1', { latencyMs: 1, isOk: false });
  t.same(chosen(balancer, list), ['c0', 'c2', 'c3']);
  t.equal(balancer.ejectedCount, 1);
  t.notOk(balancer.isPanicking);
  clock.ms += 29_999;
  t.same(chosen(balancer, list), ['c0', 'c2', 'c3']);
  clock.ms += 1;
  t.same(chosen(balancer, list), ['c0', 'c1', 'c2', 'c3']);
  t.equal(balancer.ejectedCount, 0);
  t.end();
});

t.test('of two, one may be out; of one, it goes on all the same', (t) => {
  const { balancer } = setUp();
  const list = candidates(2);
  chosen(balancer, list);
  for (const id of ['c0', 'c1']) for (let i = 0; i < 9; i++) balancer.done(id, { latencyMs: 1, isOk: false });
  t.same(chosen(balancer, list), ['c1'], 'the second one found no room');
  const alone = candidates(1);
  t.same(chosen(balancer, alone), ['c0']);
  t.equal(balancer.ejectedCount, 1);
  t.ok(balancer.isPanicking);
  const calm = setUp({ panicBelow: 0 });
  chosen(calm.balancer, alone);
  for (let i = 0; i < 5; i++) calm.balancer.done('c0', { latencyMs: 1, isOk: false });
  t.same(chosen(calm.balancer, alone), ['c0'], 'better than nobody');
  t.end();
});

t.test('suspects last, until fewer than half are healthy: then all but the disabled', (t) => {
  const { balancer } = setUp();
  const suspects = (count: number): Candidate[] =>
    candidates(6, (i) => ({ isSuspect: i < count, isDisabled: i === 5, weight: i === 4 ? 0 : 1 }));
  // c4 and c5 are never chosen, and don't count.
  t.same(chosen(balancer, suspects(0)), ['c0', 'c1', 'c2', 'c3']);
  t.same(chosen(balancer, suspects(1)), ['c1', 'c2', 'c3']);
  t.same(chosen(balancer, suspects(2)), ['c2', 'c3'], 'just half is enough');
  t.notOk(balancer.isPanicking);
  t.same(chosen(balancer, suspects(3)), ['c0', 'c1', 'c2', 'c3']);
  t.ok(balancer.isPanicking);
  t.same(chosen(balancer, suspects(4)), ['c0', 'c1', 'c2', 'c3']);
  t.equal(
    balancer.pick(
      undefined,
      candidates(3, () => ({ isDisabled: true })),
    ),
    undefined,
  );
  t.notOk(balancer.isPanicking);
  t.end();
});

t.test('panic can be turned off: suspects only when nobody else is there', (t) => {
  const { balancer } = setUp({ panicBelow: 0 });
  t.same(
    chosen(
      balancer,
      candidates(5, (i) => ({ isSuspect: i > 0 })),
    ),
    ['c0'],
  );
  t.same(
    chosen(
      balancer,
      candidates(3, () => ({ isSuspect: true })),
    ).length,
    3,
  );
  t.end();
});

t.test('the picker keeps what it knows of one who is out, and sees all that a candidate is', (t) => {
  const { clock, inner, balancer } = setUp();
  const list = candidates(3, (i) => ({ zone: `z${i}`, colour: 'red' }));
  chosen(balancer, list);
  for (let i = 0; i < 5; i++) balancer.done('c0', { latencyMs: 1, isOk: false });
  balancer.pick(undefined, list);
  t.match(inner.list, [
    { id: 'c0', isDisabled: true, zone: 'z0', colour: 'red' },
    { id: 'c1', isDisabled: false, zone: 'z1' },
    { id: 'c2' },
  ]);
  clock.ms += 30_000;
  balancer.pick(undefined, list);
  t.equal(inner.list[0]!.isDisabled, false);
  t.end();
});

t.test('pickAll: everyone for a broadcast, one for others', (t) => {
  const clock = new ManualClock();
  const deps = { random: new SeededRandom(1), clock };
  const list = candidates(3, (i) => ({ isDisabled: i === 1 }));
  t.same(new Balancer(pickerNamed('broadcast', deps), clock).pickAll(undefined, list), [list[0], list[2]]);
  const specified = new Balancer(pickerNamed('specified', deps), clock);
  t.same(specified.pickAll('c2', list), [list[2]]);
  t.same(specified.pickAll('c1', list), []);
  t.end();
});

t.test('whatever happens: never a disabled one, somebody while there is somebody, and no more out than may be', (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed);
    const { clock, inner, balancer } = setUp();
    let list: Candidate[] = [];
    for (let step = 0; step < 1_500; step++) {
      clock.ms += random.below(1_000);
      if (step % 40 === 0) {
        const size = random.below(30);
        list = candidates(30, () => ({
          isSuspect: random.below(5) === 0,
          isDisabled: random.below(10) === 0,
          incarnation: random.below(50) === 0 ? step : 1,
        })).slice(random.below(5), size);
      }
      const open = list.filter(({ isDisabled }) => isDisabled !== true);
      const picked = balancer.pick(undefined, list);
      if ((picked === undefined) !== (open.length === 0)) t.fail(`seed ${seed}: ${picked?.id} of ${open.length}`);
      if (picked !== undefined && !open.includes(picked)) t.fail(`seed ${seed}: ${picked.id} is disabled`);
      const shown = inner.list.filter(({ isDisabled }) => isDisabled !== true).length;
      const hidden = balancer.isPanicking ? 0 : open.length - shown;
      if (hidden > balancer.ejectedCount) t.fail(`seed ${seed}: ${hidden} hidden, ${balancer.ejectedCount} out`);
      const before = balancer.ejectedCount;
      if (picked !== undefined) balancer.done(picked.id, { latencyMs: 1, isOk: random.below(4) === 0 });
      if (balancer.ejectedCount > Math.max(before, 1, Math.floor(open.length / 10)))
        t.fail(`seed ${seed}: too many out`);
      for (const { weight } of inner.list) if (weight < 10 || weight > 100) t.fail(`seed ${seed}: weight ${weight}`);
    }
  }
  t.end();
});
