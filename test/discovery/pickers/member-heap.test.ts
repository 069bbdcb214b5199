import fc from 'fast-check';
import t from 'tap';
import { MemberHeap } from '../../../src/discovery/pickers/member-heap.js';

t.test('the first is the least, whatever is added, changed and taken out', (t) => {
  const step = fc.record({ kind: fc.nat(4), member: fc.nat(20), key: fc.nat(10) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const keys: number[] = [];
      const heap = new MemberHeap((a, b) => keys[a]! < keys[b]!);
      const inside = new Set<number>();
      for (const { kind, member, key } of steps) {
        if (kind === 0) {
          heap.remove(member);
          inside.delete(member);
        } else {
          keys[member] = key;
          heap.put(member);
          inside.add(member);
        }
        if (heap.size !== inside.size || heap.has(member) !== inside.has(member)) return false;
        const first = heap.first;
        if (inside.size === 0 ? first !== -1 : !inside.has(first)) return false;
        if (inside.size > 0 && keys[first] !== Math.min(...[...inside].map((each) => keys[each]!))) return false;
      }
      return true;
    }),
    { numRuns: 300 },
  );
  t.end();
});
