import fc from 'fast-check';
import t from 'tap';
import type { Candidate } from '../../../src/discovery/picker.js';
import { LeastDispatched } from '../../../src/discovery/pickers/least-dispatched.js';
import { LeastDispatchedPicker } from '../../../src/discovery/pickers/least-dispatched-picker.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

function counts(picks: readonly number[]): Map<number, number> {
  const by = new Map<number, number>();
  for (const pick of picks) by.set(pick, (by.get(pick) ?? 0) + 1);
  return by;
}

function take(order: LeastDispatched, count: number): number[] {
  return Array.from({ length: count }, () => order.pick());
}

t.test('those who are always ready share by weight, within one dispatch at any moment', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 40 }), (weights) => {
      const order = new LeastDispatched();
      const members = weights.map((weight) => order.add(weight));
      for (const member of members) order.setReady(member, true);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const had = new Map<number, number>();
      for (let i = 1; i <= 400; i++) {
        const member = order.pick();
        had.set(member, (had.get(member) ?? 0) + 1);
        // Normalised service of any two differs by no more than one dispatch of each.
        const lowest = Math.min(...members.map((each, k) => (had.get(each) ?? 0) / weights[k]!));
        const k = members.indexOf(member);
        if (had.get(member)! / weights[k]! > lowest + 1 / weights[k]! + 1) return false;
      }
      return members.every(
        (member, k) => Math.abs((had.get(member) ?? 0) - (400 * weights[k]!) / total) <= weights[k]! + 1,
      );
    }),
    { numRuns: 60 },
  );
  t.end();
});

t.test('a newcomer and one back from a pause are not flooded', (t) => {
  const order = new LeastDispatched();
  const old = [order.add(1), order.add(1), order.add(1)];
  for (const member of old) order.setReady(member, true);
  order.setReady(old[2]!, false);
  take(order, 10_000);
  const young = order.add(1);
  order.setReady(young, true);
  order.setReady(old[2]!, true);
  const by = counts(take(order, 40));
  for (const member of [...old, young]) t.ok(by.get(member)! >= 9 && by.get(member)! <= 11, `${by.get(member)} of 40`);
  t.end();
});

t.test('nobody ready, nobody picked', (t) => {
  const order = new LeastDispatched();
  t.equal(order.pick(), -1);
  const member = order.add(1);
  t.equal(order.pick(), -1);
  order.setReady(member, true);
  t.equal(order.pick(), member);
  order.remove(member);
  t.equal(order.pick(), -1);
  t.equal(order.add(5), member, 'its number is used again');
  t.equal(order.readyCount, 0);
  t.throws(() => order.add(0), /above 0/);
  t.end();
});

t.test('the heap is a sorted list', (t) => {
  const step = fc.record({ kind: fc.nat(9), which: fc.nat(), weight: fc.constantFrom(0.5, 1, 2, 4) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const order = new LeastDispatched();
      const model = new Map<number, { key: number; weight: number; isReady: boolean }>();
      let virtualTime = 0;
      for (const { kind, which, weight } of steps) {
        const members = [...model.keys()];
        const member = members[which % Math.max(1, members.length)];
        if (kind <= 1 || member === undefined) {
          const added = order.add(weight);
          if (model.has(added)) return false;
          model.set(added, { key: virtualTime, weight, isReady: false });
        } else if (kind === 2) {
          order.remove(member);
          model.delete(member);
        } else if (kind <= 5) {
          const isReady = kind !== 3;
          order.setReady(member, isReady);
          model.get(member)!.isReady = isReady;
        } else {
          const ready = [...model.values()].filter((each) => each.isReady);
          const picked = order.pick();
          if ((picked === -1) !== (ready.length === 0)) return false;
          if (picked === -1) continue;
          const entry = model.get(picked)!;
          if (!entry.isReady || entry.key !== Math.min(...ready.map(({ key }) => key))) return false;
          virtualTime = Math.max(entry.key, virtualTime);
          entry.key = virtualTime + 1 / entry.weight;
        }
        if (order.readyCount !== [...model.values()].filter((each) => each.isReady).length) return false;
      }
      return true;
    }),
    { numRuns: 400 },
  );
  t.end();
});

t.test('shares hold beyond the point where keys are brought back', (t) => {
  const order = new LeastDispatched();
  const rare = order.add(2 ** -29);
  const often = order.add(2 ** -28);
  order.setReady(rare, true);
  order.setReady(often, true);
  const by = counts(take(order, 3_000));
  t.ok(Math.abs(by.get(rare)! - 1_000) <= 20, `${by.get(rare)}`);
  t.end();
});

t.test('over lists: suspects last, weights as given, the leaving are forgotten', (t) => {
  const picker = new LeastDispatchedPicker(new SeededRandom(1));
  const candidate = (id: string, weight = 1, isSuspect = false): Candidate => ({ id, weight, isSuspect });
  const picks = (list: readonly Candidate[], count: number): Record<string, number> => {
    const by: Record<string, number> = {};
    for (let i = 0; i < count; i++) {
      const { id } = picker.pick(undefined, list)!;
      by[id] = (by[id] ?? 0) + 1;
    }
    return by;
  };
  t.equal(picker.pick(undefined, []), undefined);
  t.same(picks([candidate('a'), candidate('b', 3)], 40), { a: 10, b: 30 });
  t.same(picks([candidate('a', 1, true), candidate('b', 3)], 10), { b: 10 });
  t.same(picks([candidate('a', 1, true), candidate('b', 1, true)], 10).a! > 2, true, 'all suspect: all are used');
  t.same(picks([candidate('c')], 3), { c: 3 });
  t.end();
});

t.test('over lists: one that joins after 10,000 picks gets its share from then on, by weight, and no more', (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const picker = new LeastDispatchedPicker(new SeededRandom(seed));
    const list = (count: number): Candidate[] =>
      Array.from({ length: count }, (_, i) => ({ id: `c${i}`, weight: 1 + (i % 3), isSuspect: false }));
    const nine = list(9);
    for (let i = 0; i < 10_000; i++) picker.pick(undefined, nine);
    const all = list(12);
    let had = 0;
    // The three newcomers weigh 6 of 24.
    for (let i = 1; i <= 240; i++) {
      if (Number(picker.pick(undefined, all)!.id.slice(1)) >= 9) had++;
      if (had > i / 4 + 4) t.fail(`seed ${seed}: ${had} of the first ${i}`);
    }
    if (Math.abs(had - 60) > 4) t.fail(`seed ${seed}: ${had} of 240`);
  }
  t.end();
});

t.test('callers begin at different places', (t) => {
  const list: Candidate[] = Array.from({ length: 8 }, (_, i) => ({ id: `c${i}`, weight: 1, isSuspect: false }));
  const first = (seed: number): string => new LeastDispatchedPicker(new SeededRandom(seed)).pick(undefined, list)!.id;
  t.equal(new Set(Array.from({ length: 200 }, (_, seed) => first(seed))).size, 8);
  t.end();
});
