import fc from 'fast-check';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import {
  type Override,
  type OverrideMode,
  Overrides,
  overrideEntriesMax,
  overridesMax,
} from '../../src/nameserver/overrides.js';

const target = (instanceId: string) => ({ namespace: 'n', group: '', service: 's', instanceId });

const setAt = (atMs: number) => ({ modeSet: { atMs, nodeId: 'x' }, weightSet: { atMs, nodeId: 'x' } });

function set(
  overrides: Overrides,
  id: string,
  change: { mode?: OverrideMode; weight?: number },
  wallMs: number,
): Override {
  const entry = overrides.changed(target(id), change, 'node', wallMs);
  t.ok(overrides.put(entry));
  return entry;
}

t.test('a change keeps what it does not speak of, and the later one holds although the clock went back', (t) => {
  const overrides = new Overrides();
  set(overrides, 'a', { mode: 'draining' }, 1_000);
  set(overrides, 'a', { weight: 7 }, 500);
  t.match(overrides.find(target('a')), {
    mode: 'draining',
    weight: 7,
    modeSet: { atMs: 1_000 },
    weightSet: { atMs: 500 },
  });
  set(overrides, 'a', { mode: 'disabled' }, 300);
  t.match(overrides.find(target('a')), { mode: 'disabled', modeSet: { atMs: 1_001 } });
  t.equal(overrides.find(target('b')), undefined);
  set(overrides, 'a', { mode: 'enabled' }, 400);
  t.match(overrides.find(target('a')), { mode: 'enabled', weight: 7 });
  t.equal(overrides.size, 1);
  set(overrides, 'a', { weight: 0 }, 400);
  t.equal(overrides.find(target('a')), undefined, 'all was taken back');
  t.equal(overrides.size, 0);
  t.same(overrides.inForce(), []);
  t.equal([...overrides.all()].length, 1, 'and that is remembered');
  t.end();
});

t.test('what ended does not come back with an old copy', (t) => {
  const overrides = new Overrides();
  const old = set(overrides, 'a', { mode: 'disabled' }, 1_000);
  set(overrides, 'a', { mode: 'enabled' }, 2_000);
  t.notOk(overrides.put(old));
  t.equal(overrides.find(target('a')), undefined);
  t.end();
});

t.test('one too many is refused with the limit and the way out; one that is there may still change', (t) => {
  const overrides = new Overrides();
  for (let i = 0; i < overridesMax; i++)
    overrides.put({ ...target(`i${i}`), mode: 'disabled', weight: 0, ...setAt(5) });
  t.throws(() => overrides.changed(target('more'), { weight: 1 }, 'node', 9), {
    code: ErrorCode.QUOTA,
    message: new RegExp(`${overridesMax} overrides.*enable`),
  });
  t.ok(overrides.changed(target('more'), { mode: 'enabled' }, 'node', 9), 'nothing is not one more');
  t.ok(overrides.changed(target('i1'), { weight: 1 }, 'node', 9));
  t.end();
});

const stamp = fc.record({ atMs: fc.integer({ min: 0, max: 3 }), nodeId: fc.constantFrom('x', 'y') });
const entry: fc.Arbitrary<Override> = fc.record({
  namespace: fc.constantFrom('n', 'm'),
  group: fc.constantFrom('', 'g'),
  service: fc.constantFrom('s', 't'),
  instanceId: fc.constantFrom('a', 'b'),
  mode: fc.constantFrom<OverrideMode>('enabled', 'draining', 'disabled'),
  weight: fc.constantFrom(0, 1, 2),
  modeSet: stamp,
  weightSet: stamp,
});

t.test('copies that have seen the same are the same, in whatever order and however often', (t) => {
  const place = (each: Override): string => JSON.stringify(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)));
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 30 }), fc.infiniteStream(fc.nat()), (entries, draws) => {
      const one = new Overrides();
      for (const each of entries) one.put(each);
      const other = new Overrides();
      const shuffled = entries
        .map((each) => ({ each, draw: draws.next().value as number }))
        .sort((a, b) => a.draw - b.draw);
      for (const { each } of shuffled) other.put(each);
      for (const each of entries) t.notOk(other.put(each) && one.put(each));
      const [left, right] = [one, other].map((copy) => [...copy.all()].map(place).sort().join());
      return left === right && one.hash.join() === other.hash.join() && one.size === one.inForce().length;
    }),
  );
  t.end();
});

t.test('the hash tells copies apart and forgets the way there', (t) => {
  const one = new Overrides();
  const empty = one.hash;
  const first: Override = { ...target('a'), mode: 'disabled', weight: 0, ...setAt(1) };
  one.put(first);
  const after = one.hash;
  t.not(after.join(), empty.join());
  one.put({ ...first, ...setAt(2) });
  t.not(one.hash.join(), after.join());
  const two = new Overrides();
  two.put({ ...first, ...setAt(2) });
  t.same(two.hash, one.hash);
  t.end();
});

t.test('of too many entries the earliest go, everywhere the same', (t) => {
  const entries: Override[] = [];
  for (let i = 0; i < overrideEntriesMax + 5; i++) {
    entries.push({
      ...target(`i${i}`),
      mode: i % 2 === 0 ? 'disabled' : 'enabled',
      weight: 0,
      ...setAt(1 + (i % 1_000)),
    });
  }
  const one = new Overrides();
  for (const each of entries) one.put(each);
  const dropped = one.trim();
  t.ok(
    dropped.length > 0 && dropped.every(({ mode, modeSet }) => mode === 'disabled' && modeSet.atMs === 1),
    'only what held is told',
  );
  const two = new Overrides();
  for (const each of entries.reverse()) two.put(each);
  two.trim();
  t.same(two.hash, one.hash);
  t.equal([...one.all()].length, overrideEntriesMax);
  t.same(one.trim(), []);
  t.end();
});

t.test('what is said on two sides of a cut, of mode and of weight, both holds', (t) => {
  const left = new Overrides();
  const right = new Overrides();
  const drain = left.changed(target('a'), { mode: 'draining' }, 'n1', 1_000);
  const weigh = right.changed(target('a'), { weight: 5 }, 'n2', 2_000);
  for (const each of [drain, weigh]) for (const copy of [left, right]) copy.put(each);
  for (const copy of [left, right]) t.match(copy.find(target('a')), { mode: 'draining', weight: 5 });
  t.same(left.hash, right.hash);
  t.end();
});
