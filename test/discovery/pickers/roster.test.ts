import t from 'tap';
import type { Candidate } from '../../../src/discovery/picker.js';
import { Roster } from '../../../src/discovery/pickers/roster.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

t.test('who is listed keeps his slot; there are never more slots than the longest list had', (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new SeededRandom(seed);
    const roster = new Roster();
    const owners = new Map<number, string>();
    let longest = 0;
    for (let round = 0; round < 100; round++) {
      const list: Candidate[] = [];
      for (let i = 0; i < 30; i++) if (random.below(2) === 0) list.push({ id: `c${i}`, weight: 1, isSuspect: false });
      longest = Math.max(longest, list.length);
      const before = new Map(list.map(({ id }) => [id, roster.slotOf(id)]));
      roster.take(list, {
        joined(slot, { id }) {
          if (owners.has(slot) || before.get(id) !== undefined) t.fail(`seed ${seed}: ${id} joined twice`);
          owners.set(slot, id);
        },
        left(slot) {
          if (!owners.delete(slot)) t.fail(`seed ${seed}: an empty slot was left`);
        },
      });
      if (roster.size !== list.length || owners.size !== list.length) t.fail(`seed ${seed}: ${roster.size} are there`);
      for (const { id } of list) {
        const slot = roster.slotOf(id)!;
        if (owners.get(slot) !== id || slot >= longest) t.fail(`seed ${seed}: ${id} at ${slot}`);
        if ((before.get(id) ?? slot) !== slot) t.fail(`seed ${seed}: ${id} was moved`);
      }
    }
  }
  t.end();
});

t.test('a list with an id twice is one candidate', (t) => {
  const roster = new Roster();
  const twice = ['a', 'b', 'a'].map((id) => ({ id, weight: 1, isSuspect: false }));
  let joined = 0;
  for (let i = 0; i < 3; i++) roster.take([...twice], { joined: () => joined++ });
  t.equal(joined, 2);
  t.equal(roster.size, 2);
  t.end();
});
