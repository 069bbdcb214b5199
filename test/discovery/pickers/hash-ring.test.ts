import t from 'tap';
import { HashRing, keyHash } from '../../../src/discovery/pickers/hash-ring.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

/** Owners of the points, in the order of the ring. */
function owners(ring: HashRing): number[] {
  return Array.from({ length: ring.size }, (_, place) => ring.ownerAt(place));
}

t.test('a ring that was changed step by step is the ring that is built at once', (t) => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = new SeededRandom(seed);
    const ring = new HashRing();
    const names: (string | undefined)[] = Array.from({ length: 8 }, () => undefined);
    const counts: number[] = [];
    for (let round = 0; round < 20; round++) {
      for (let owner = 0; owner < 8; owner++) {
        const kind = random.below(5);
        if (kind === 0 && names[owner] !== undefined) {
          // Leaves, and another one may take its number in the same turn.
          ring.setPoints(owner, 0);
          names[owner] = undefined;
        }
        if (kind <= 1 && names[owner] === undefined) {
          names[owner] = `name-${random.below(1_000_000)}`;
          ring.join(owner, names[owner]!);
        } else if (kind > 2 || names[owner] === undefined) {
          continue;
        }
        counts[owner] = random.below(40);
        ring.setPoints(owner, counts[owner]!);
      }
      ring.apply();
    }
    const whole = new HashRing();
    names.forEach((name, owner) => {
      if (name === undefined) return;
      whole.join(owner, name);
      whole.setPoints(owner, counts[owner]!);
    });
    whole.apply();
    t.same(owners(ring), owners(whole), `seed ${seed}`);
    if (ring.size === 0) continue;
    for (let i = 0; i < 200; i++) {
      const position = random.u32();
      if (ring.placeOf(position) !== whole.placeOf(position)) t.fail(`seed ${seed}: position ${position}`);
    }
  }
  t.end();
});

t.test('a position has the first point at or after it, and beyond the last one the first of all', (t) => {
  for (const points of [1, 2, 3, 7, 100, 5_000]) {
    const ring = new HashRing();
    ring.join(0, 'a');
    ring.setPoints(0, points);
    ring.apply();
    t.equal(ring.placeOf(0), 0);
    t.equal(ring.placeOf(0xffff_ffff), 0, 'no point lies there by this name');
    // Places rise with positions; once the last point is passed, all have the first.
    let last = 0;
    let isPast = false;
    const seen = new Set<number>();
    for (let i = 0; i < 20_000; i++) {
      const place = ring.placeOf(i * 214_748);
      if (place < last) isPast = true;
      if (isPast ? place !== 0 : place < last) t.fail(`${place} after ${last}, of ${points}`);
      last = place;
      seen.add(place);
    }
    t.ok(seen.size >= Math.min(points, 3_000), `${seen.size} of ${points}`);
  }
  t.end();
});

t.test('hashes of keys that differ little are even', (t) => {
  for (const [name, keyOf] of [
    ['counted', (i: number) => `${i}`],
    ['prefixed', (i: number) => `customer-${i}`],
    ['padded', (i: number) => `00000000${i}`.slice(-8)],
  ] as const) {
    for (const shift of [0, 12, 24]) {
      const buckets = new Float64Array(256);
      for (let i = 0; i < 256_000; i++) buckets[(keyHash(keyOf(i)) >>> shift) & 255]!++;
      let chiSquare = 0;
      for (const count of buckets) chiSquare += (count - 1_000) ** 2 / 1_000;
      // 255 degrees of freedom: 331 is passed once in a thousand.
      t.ok(chiSquare < 331, `${name} >>> ${shift}: ${chiSquare}`);
    }
  }
  t.end();
});
