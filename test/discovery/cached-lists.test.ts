import fc from 'fast-check';
import t from 'tap';
import { CachedLists, cachedListsMax } from '../../src/discovery/cached-lists.js';
import type { Instance, InstanceHealth } from '../../src/discovery/instance.js';
import { targetOf } from '../../src/discovery/watch-target.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';

const plain = { noNullPrototype: true } as const;

const name = fc.string({
  minLength: 1,
  maxLength: 20,
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
});

const instance: fc.Arbitrary<Instance> = fc.record(
  {
    namespace: name,
    group: name,
    service: name,
    instanceId: name,
    addresses: fc.array(fc.record({ host: name, port: fc.integer({ min: 1, max: 65_535 }) }, plain), {
      minLength: 1,
      maxLength: 3,
    }),
    zone: name,
    weight: fc.integer({ min: 1, max: 10_000 }),
    tags: fc.array(name, { maxLength: 3 }),
    metadata: fc.dictionary(name, fc.string({ maxLength: 20 }), plain),
    incarnation: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    health: fc.constantFrom<InstanceHealth>('up', 'suspect', 'draining', 'disabled'),
  },
  plain,
);

t.test('what is written is what is read', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.array(instance, { maxLength: 4 })), { maxLength: 5 }), (all) => {
      const lists = new CachedLists();
      for (const [service, instances] of all) lists.put(targetOf(service, { selector: 'a=b' }), instances);
      const read = CachedLists.decode(lists.encode());
      for (const [service, instances] of new Map(all)) {
        t.strictSame(read?.find(targetOf(service, { selector: 'a=b' })), instances);
      }
      t.equal(read?.find(targetOf('x', { group: 'another' })), undefined);
    }),
    { numRuns: 50 },
  );
  t.end();
});

t.test('damaged and random bytes are told from written ones', (t) => {
  const lists = new CachedLists();
  lists.put(targetOf('shop', {}), [fc.sample(instance, { numRuns: 1, seed: 1 })[0]!]);
  const written = lists.encode();
  const random = new SeededRandom(1);
  for (let bit = 0; bit < written.length * 8; bit++) {
    const bytes = Uint8Array.from(written);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    if (CachedLists.decode(bytes) !== undefined) t.fail(`bit ${bit}`);
  }
  for (let length = 0; length < written.length; length++) {
    if (CachedLists.decode(written.subarray(0, length)) !== undefined) t.fail(`${length} bytes`);
  }
  for (let i = 0; i < 1_000; i++) t.equal(CachedLists.decode(random.bytes(random.below(200))), undefined);
  t.end();
});

t.test('older ones give way, and there are not too many', (t) => {
  const [old, young] = fc.sample(instance, { numRuns: 2, seed: 2 });
  const before = new CachedLists();
  before.put(targetOf('a', {}), [old!]);
  before.put(targetOf('b', {}), [old!]);
  const now = new CachedLists();
  now.put(targetOf('a', {}), [young!]);
  now.addOlder(before);
  t.same(now.find(targetOf('a', {})), [young]);
  t.same(now.find(targetOf('b', {})), [old]);
  for (let i = 0; i < cachedListsMax - 1; i++) now.put(targetOf(`s${i}`, {}), []);
  t.equal(now.find(targetOf('b', {})), undefined, 'changed least recently');
  t.same(now.find(targetOf('a', {})), [young]);
  t.end();
});
