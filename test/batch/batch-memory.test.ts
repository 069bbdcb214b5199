import fc from 'fast-check';
import t from 'tap';
import { BatchMemory } from '../../src/batch/batch-memory.js';

t.test('nobody is given what another one has, and what waits is bounded', (t) => {
  const step = fc.oneof(fc.integer({ min: 1, max: 3_000_000 }), fc.constant('recycle' as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const memory = new BatchMemory();
      const taken: Uint8Array[] = [];
      for (const each of steps) {
        if (each === 'recycle') {
          const batch = taken.shift();
          if (batch !== undefined) memory.recycle(batch);
          continue;
        }
        const bytes = memory.take(each);
        if (bytes.length < each) throw new Error(`${bytes.length} bytes for ${each}`);
        if (taken.some(({ buffer }) => buffer === bytes.buffer)) throw new Error('taken twice');
        taken.push(bytes.subarray(0, each));
      }
    }),
    { numRuns: 50 },
  );
  const memory = new BatchMemory();
  const large = Array.from({ length: 40 }, () => memory.take(1 << 20));
  for (const each of large) memory.recycle(each);
  const again = Array.from({ length: 40 }, () => memory.take(1 << 20).buffer);
  t.equal(again.filter((buffer) => large.some((each) => each.buffer === buffer)).length, 8);
  t.end();
});
