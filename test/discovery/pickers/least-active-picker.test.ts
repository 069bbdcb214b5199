import t from 'tap';
import type { Candidate } from '../../../src/discovery/picker.js';
import { LeastActivePicker } from '../../../src/discovery/pickers/least-active-picker.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

function candidates(count: number, more: (i: number) => Partial<Candidate> = () => ({})): Candidate[] {
  return Array.from({ length: count }, (_, i) => ({ id: `c${i}`, weight: 1, isSuspect: false, ...more(i) }));
}

t.test('always one with the fewest calls in flight for its weight, through changes of the list', (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed);
    const picker = new LeastActivePicker(random);
    const active = new Map<string, number>();
    const running: string[] = [];
    let list: readonly Candidate[] = [];
    for (let step = 0; step < 1_000; step++) {
      if (step % 50 === 0) {
        list = candidates(10, (i) => ({ weight: 1 + ((i + seed) % 3), isDisabled: random.below(6) === 0 })).filter(
          () => random.below(5) > 0,
        );
        for (const id of active.keys()) if (!list.some((each) => each.id === id)) active.delete(id);
        running.splice(0, running.length, ...running.filter((id) => active.has(id)));
      }
      if (running.length > 0 && random.below(5) < 2) {
        const [id] = running.splice(random.below(running.length), 1);
        picker.done(id!);
        active.set(id!, active.get(id!)! - 1);
        continue;
      }
      const open = list.filter(({ isDisabled }) => isDisabled !== true);
      const picked = picker.pick(undefined, list);
      if (open.length === 0) {
        t.equal(picked, undefined);
        continue;
      }
      const load = ({ id, weight }: Candidate): number => (active.get(id) ?? 0) / weight;
      const least = Math.min(...open.map(load));
      if (load(picked!) !== least)
        t.fail(`seed ${seed}, step ${step}: ${picked!.id} at ${load(picked!)}, not ${least}`);
      active.set(picked!.id, (active.get(picked!.id) ?? 0) + 1);
      running.push(picked!.id);
    }
  }
  t.end();
});

t.test('without load it goes around by weight', (t) => {
  const picker = new LeastActivePicker(new SeededRandom(1));
  const list = candidates(4, (i) => ({ weight: i === 0 ? 3 : 1 }));
  const by = new Map<string, number>();
  for (let i = 0; i < 600; i++) {
    const { id } = picker.pick(undefined, list)!;
    picker.done(id);
    by.set(id, (by.get(id) ?? 0) + 1);
  }
  t.same([...by].sort(), [
    ['c0', 300],
    ['c1', 100],
    ['c2', 100],
    ['c3', 100],
  ]);
  t.end();
});

t.test('one that is slow gets no more than it answers', (t) => {
  const picker = new LeastActivePicker(new SeededRandom(2));
  const list = candidates(4);
  let slow = 0;
  for (let i = 0; i < 1_000; i++) {
    const { id } = picker.pick(undefined, list)!;
    if (id === 'c0') slow++;
    else picker.done(id);
  }
  t.equal(slow, 1, 'its one call still runs, the others are free each time');
  t.end();
});

t.test('callers begin at different places', (t) => {
  const list = candidates(8);
  const firsts = new Set(
    Array.from({ length: 200 }, (_, seed) => new LeastActivePicker(new SeededRandom(seed)).pick(undefined, list)!.id),
  );
  t.equal(firsts.size, 8);
  t.end();
});

t.test('shares hold beyond the point where virtual times are brought back', (t) => {
  const picker = new LeastActivePicker(new SeededRandom(3));
  const list = candidates(2, (i) => ({ weight: 2 ** (-29 + i) }));
  let rare = 0;
  for (let i = 0; i < 3_000; i++) {
    const { id } = picker.pick(undefined, list)!;
    picker.done(id);
    if (id === 'c0') rare++;
  }
  t.ok(Math.abs(rare - 1_000) <= 20, `${rare}`);
  t.end();
});
