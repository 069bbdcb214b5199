import t from 'tap';
import type { Candidate } from '../../../src/discovery/picker.js';
import { ConsistentHashPicker } from '../../../src/discovery/pickers/consistent-hash-picker.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

function candidates(count: number, more: (i: number) => Partial<Candidate> = () => ({})): Candidate[] {
  return Array.from({ length: count }, (_, i) => ({ id: `node-${i}`, weight: 100, isSuspect: false, ...more(i) }));
}

const picker = (seed = 1): ConsistentHashPicker => new ConsistentHashPicker(new SeededRandom(seed));

/** Where each of the keys goes while nothing is in flight. */
function homes(from: ConsistentHashPicker, list: readonly Candidate[], keys = 20_000): string[] {
  return Array.from({ length: keys }, (_, i) => {
    const { id } = from.pick(`key-${i}`, list)!;
    from.done(id);
    return id;
  });
}

function count(ids: readonly string[]): Map<string, number> {
  const by = new Map<string, number>();
  for (const id of ids) by.set(id, (by.get(id) ?? 0) + 1);
  return by;
}

t.test('one joins or leaves: its share of the keys moves, and no other', (t) => {
  for (const n of [2, 5, 10, 50, 100]) {
    const from = picker();
    const all = candidates(n + 1);
    const few = all.slice(0, n);
    const before = homes(from, few);
    const after = homes(from, all);
    const moved = after.filter((id, i) => id !== before[i]);
    t.ok(
      moved.every((id) => id === `node-${n}`),
      'only to the newcomer',
    );
    // A third more than its share: points are at random, and so are the keys.
    t.ok(moved.length / before.length <= 1.34 / (n + 1), `${n} + 1: ${moved.length / before.length}`);
    t.same(homes(from, few), before, 'and back');
    const without = all.filter((_, i) => i !== 1);
    const rest = homes(from, without);
    t.ok(
      rest.every((id, i) => id === after[i] || after[i] === 'node-1'),
      'only what was of the one that left',
    );
    t.ok(count(after).get('node-1')! / after.length <= 1.34 / (n + 1));
  }
  t.end();
});

t.test('shares follow weights; a change of one weight moves no more than it must, about', (t) => {
  const from = picker();
  const weightOf = (i: number): number => (i % 2 === 0 ? 100 : 300);
  const list = candidates(20, (i) => ({ weight: weightOf(i) }));
  const before = homes(from, list, 40_000);
  const by = count(before);
  for (const [i, { id }] of list.entries()) {
    const share = weightOf(i) / 4_000;
    t.ok(Math.abs(by.get(id)! / 40_000 - share) < 0.35 * share, `${id}: ${by.get(id)! / 40_000}, not ${share}`);
  }
  const raised = candidates(20, (i) => ({ weight: i === 0 ? 300 : weightOf(i) }));
  const after = homes(from, raised, 40_000);
  const moved = after.filter((id, i) => id !== before[i]).length / 40_000;
  // It gains 5 % - 2.5 %, and the mean moves by 5 %: all others get so many points less.
  t.ok(moved < 0.1, `${moved}`);
  t.end();
});

t.test('a newcomer that warms up only ever gains keys; one that is out loses only its own', (t) => {
  const from = picker();
  let before = homes(from, candidates(10), 5_000);
  for (let share = 1; share <= 10; share++) {
    const list = candidates(11, (i) => ({ weight: i === 10 ? 10 * share : 100, fullWeight: 100 }));
    const after = homes(from, list, 5_000);
    t.ok(
      after.every((id, i) => id === before[i] || id === 'node-10'),
      `at ${share} tenths`,
    );
    before = after;
  }
  t.ok(Math.abs(count(before).get('node-10')! / 5_000 - 1 / 11) < 0.03);
  const unequal = (isDisabled: boolean): Candidate[] =>
    candidates(11, (i) => ({ weight: 50 + 10 * i, isDisabled: isDisabled && i === 4 }));
  const whole = homes(from, unequal(false), 5_000);
  t.ok(homes(from, unequal(true), 5_000).every((id, i) => id === whole[i] || whole[i] === 'node-4'));
  t.same(homes(from, unequal(false), 5_000), whole);
  t.end();
});

t.test('no pick leaves anyone above his cap, whatever the keys', (t) => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new SeededRandom(seed);
    const from = picker(seed);
    let list = candidates(1 + random.below(20), () => ({ weight: 1 + random.below(5) }));
    const active = new Map<string, number>();
    const running: string[] = [];
    for (let step = 0; step < 3_000; step++) {
      if (step % 500 === 499) {
        list = candidates(1 + random.below(20), () => ({ weight: 1 + random.below(5) }));
        for (const id of active.keys()) if (!list.some((each) => each.id === id)) active.delete(id);
        running.splice(0, running.length, ...running.filter((id) => active.has(id)));
      }
      if (running.length > 0 && random.below(5) < 2) {
        const [id] = running.splice(random.below(running.length), 1);
        from.done(id!);
        active.set(id!, active.get(id!)! - 1);
        continue;
      }
      // Half of all calls are for one key.
      const picked = from.pick(random.below(2) === 0 ? 'hot' : `key-${random.below(1_000)}`, list)!;
      active.set(picked.id, (active.get(picked.id) ?? 0) + 1);
      running.push(picked.id);
      const weights = list.reduce((sum, { weight }) => sum + weight, 0);
      const cap = Math.ceil((1.25 * running.length * picked.weight) / weights);
      if (active.get(picked.id)! > cap) t.fail(`seed ${seed}, step ${step}: ${active.get(picked.id)} above ${cap}`);
    }
  }
  t.end();
});

t.test('1,000 calls of one key on 100 candidates: the fullest has 13, and the key comes home', (t) => {
  const from = picker();
  const list = candidates(100);
  const home = from.pick('hot', list)!.id;
  from.done(home);
  const ids = Array.from({ length: 1_000 }, () => from.pick('hot', list)!.id);
  const by = count(ids);
  t.equal(ids[0], home);
  t.equal(Math.max(...by.values()), 13, 'ceil(1.25 * 1000 / 100)');
  for (const id of ids) from.done(id);
  t.equal(from.pick('hot', list)!.id, home);
  t.end();
});

t.test('processes with the same list agree, in whatever order they learnt it', (t) => {
  const all = candidates(30);
  const one = picker(1);
  const other = picker(2);
  homes(other, [...all].reverse().slice(10), 10);
  homes(other, all.slice(0, 3), 10);
  t.same(homes(other, [...all].reverse(), 5_000), homes(one, all, 5_000));
  t.end();
});

t.test('without a key the place is drawn; 100,000 candidates have a ring too', (t) => {
  const from = picker();
  const list = candidates(10);
  t.equal(new Set(Array.from({ length: 200 }, () => from.pick(undefined, list)!.id)).size, 10);
  const many = candidates(100_000);
  const large = picker();
  const home = large.pick('key', many);
  t.ok(home);
  large.done(home!.id);
  t.equal(large.pick('key', [...many]), home);
  t.end();
});
