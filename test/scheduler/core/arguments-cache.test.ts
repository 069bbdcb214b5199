import fc from 'fast-check';
import t from 'tap';
import { ArgumentsCache } from '../../../src/scheduler/core/arguments-cache.js';

const MIB = 1024 * 1024;

t.test('an entry is there until it is released or the bound is reached, and memory follows what is live', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(60_000), fc.boolean()), { maxLength: 120 }), (steps) => {
      const cache = new ArgumentsCache(64 * MIB);
      const live: { position: number; length: number; mark: number }[] = [];
      steps.forEach(([length, releases], i) => {
        if (releases && live.length > 0) {
          const [gone] = live.splice(length % live.length, 1);
          cache.release(gone!.position);
        } else {
          live.push({ position: cache.add(new Uint8Array(length).fill(i), 0, length), length, mark: i % 256 });
        }
      });
      for (const { position, length, mark } of live) {
        const entry = cache.get(position);
        if (entry?.length !== length || !entry.every((byte) => byte === mark)) return false;
      }
      // An entry pins at most its own chunk; the newest chunk is always held.
      return cache.bytes <= (live.length + 1) * 256 * 1024;
    }),
    { numRuns: 50 },
  );
  t.end();
});

t.test('runs that end as fast as they come hold one or two chunks, however many there were', (t) => {
  const cache = new ArgumentsCache(64 * MIB);
  const bytes = new Uint8Array(100);
  const waiting: number[] = [];
  let largest = 0;
  for (let i = 0; i < 50_000; i++) {
    waiting.push(cache.add(bytes, 0, bytes.length));
    if (waiting.length > 500) cache.release(waiting.shift()!);
    largest = Math.max(largest, cache.bytes);
  }
  t.ok(largest <= 2 * 256 * 1024, `${largest} bytes`);
  t.end();
});

t.test('beyond the bound the oldest go', (t) => {
  const cache = new ArgumentsCache(MIB);
  const first = cache.add(new Uint8Array(200_000), 0, 200_000);
  for (let i = 0; i < 4; i++) cache.add(new Uint8Array(200_000), 0, 200_000);
  t.equal(cache.get(first), undefined);
  t.equal(cache.bytes, MIB);
  cache.release(first);
  t.equal(cache.add(new Uint8Array(300_000), 0, 300_000), 0, 'larger than a chunk');
  t.end();
});
