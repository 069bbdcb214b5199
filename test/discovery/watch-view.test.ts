import t from 'tap';
import { WatchView } from '../../src/discovery/watch-view.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { taskd } from '../../src/wire/generated/messages.js';

const { HEALTH_SUSPECT, HEALTH_UP } = taskd.Health;

function up(instanceId: string, more: taskd.Instance.$Properties = {}): taskd.Instance.$Properties {
  return { service: 's', instanceId, version: { incarnation: 1, counter: 1 }, health: HEALTH_UP, ...more };
}

function gone(instanceId: string): taskd.InstanceKey.$Properties {
  return { service: 's', instanceId };
}

function ids(view: WatchView): string[] | undefined {
  return view.list?.map(({ instanceId }) => instanceId);
}

const sure = { authoritative: true };

t.test('whole lists and changes', (t) => {
  const view = new WatchView();
  t.equal(view.list, undefined);
  t.ok(view.apply({ full: true, changed: [], state: sure }), 'the first list is news, even when empty');
  t.notOk(view.apply({ full: true, changed: [], state: sure }));
  t.ok(view.apply({ changed: [up('b'), up('a')] }));
  t.same(ids(view), ['a', 'b'], 'in the order of ids');
  t.notOk(
    view.apply({ changed: [up('a', { version: { incarnation: 1, counter: 9 } })] }),
    'registered again: no change',
  );
  t.ok(view.apply({ changed: [up('a', { version: { incarnation: 2, counter: 1 } })] }), 'another process');
  t.ok(view.apply({ changed: [up('a', { version: { incarnation: 2 }, health: HEALTH_SUSPECT })] }));
  t.equal(view.list![0]!.health, 'suspect');
  t.ok(view.apply({ removed: [gone('b'), gone('x')] }));
  t.notOk(view.apply({ removed: [gone('b')] }));
  t.same(ids(view), ['a']);
  for (const change of [{ tags: ['t'] }, { metadata: { k: 'v' } }, { weight: 3 }, { zone: 'z' }]) {
    t.ok(view.apply({ changed: [up('a', change)] }));
    t.notOk(view.apply({ changed: [up('a', change)] }));
  }
  t.end();
});

t.test('a list that can’t be believed adds and changes, and removes nothing', (t) => {
  const view = new WatchView();
  view.apply({ full: true, changed: [up('a'), up('b')], state: sure });
  t.notOk(view.apply({ full: true, changed: [], state: { cold: true } }));
  t.ok(view.apply({ full: true, changed: [up('c')], state: { cold: true } }));
  t.same(ids(view), ['a', 'b', 'c']);
  t.ok(view.apply({ full: true, changed: [up('c')], state: sure }));
  t.same(ids(view), ['c']);
  t.end();
});

t.test('a list in parts counts when it is whole, and half a one not at all', (t) => {
  const view = new WatchView();
  view.apply({ full: true, changed: [up('a'), up('b')], state: sure });
  t.notOk(view.apply({ full: true, changed: [up('c')], more: true, state: sure }));
  view.cut();
  t.same(ids(view), ['a', 'b']);
  t.notOk(view.apply({ full: true, changed: [up('c')], more: true, state: sure }));
  t.ok(view.apply({ changed: [up('d')], more: false, state: sure }));
  t.same(ids(view), ['c', 'd']);
  t.end();
});

t.test('a list is as sure as its least sure part', (t) => {
  const view = new WatchView();
  view.apply({ full: true, changed: [up('a'), up('b')], state: sure });
  t.notOk(view.apply({ full: true, changed: [], more: true, state: {} }));
  t.ok(view.apply({ changed: [up('c')], state: sure }));
  t.same(ids(view), ['a', 'b', 'c']);
  t.end();
});

t.test('who is behind adds and changes, takes nothing away and nothing back', (t) => {
  const view = new WatchView();
  const version = (counter: number): taskd.Instance.$Properties => ({ version: { incarnation: 5, counter } });
  view.apply({ full: true, changed: [up('a', { ...version(2), zone: 'new' }), up('b')], state: sure });
  const behind = { behind: true, authoritative: true };
  t.ok(view.apply({ full: true, changed: [up('a', { ...version(1), zone: 'old' }), up('c')], state: behind }));
  t.same(ids(view), ['a', 'b', 'c']);
  t.equal(view.list![0]!.zone, 'new');
  t.notOk(view.apply({ removed: [gone('b')], state: behind }));
  t.ok(view.apply({ changed: [up('a', { ...version(3), zone: 'newest' })], state: behind }));
  t.ok(view.apply({ removed: [gone('b')], state: {} }));
  t.ok(view.apply({ changed: [up('a', { ...version(1), zone: 'static' })], state: {} }), 'not behind: it knows');
  t.end();
});

t.test('what was seen of a former incarnation stays beside what somebody who is behind knows of the next', (t) => {
  const view = new WatchView();
  const at = (incarnation: number, sequence: number): taskd.OwnerPosition.$Properties => {
    return { owner: 'x', incarnation, sequence };
  };
  view.apply({ full: true, changed: [up('a')], state: { revision: [at(1, 5)] } });
  view.apply({ full: true, changed: [], state: { behind: true, revision: [at(2, 0)] } });
  t.same(view.known, [at(1, 5), at(2, 0)], 'to be presented to the next name server, too');
  view.apply({ changed: [up('b')], state: { behind: true, revision: [at(2, 1)] } });
  t.same(view.known, [at(1, 5), at(2, 1)], 'which may know neither');
  view.apply({ full: true, changed: [up('b')], state: { revision: [at(2, 1)] } });
  t.same(view.known, [at(2, 1)]);
  t.end();
});

t.test('what was seen: the furthest of all answers, until one is complete', (t) => {
  const view = new WatchView();
  const at = (owner: string, incarnation: number, sequence: number): taskd.OwnerPosition.$Properties => {
    return { owner, incarnation, sequence };
  };
  t.same(view.known, []);
  view.apply({ full: true, changed: [], state: { revision: [at('x', 1, 5), at('y', 1, 1)] } });
  view.apply({ changed: [up('a')], state: { revision: [at('x', 1, 4), at('y', 2, 0)] } });
  t.same(view.known, [at('x', 1, 5), at('y', 2, 0)]);
  view.apply({ full: true, changed: [], more: true, state: { ...sure, revision: [at('z', 1, 1)] } });
  t.same(view.known, [at('x', 1, 5), at('y', 2, 0)], 'half a list says nothing');
  view.apply({ changed: [], state: { ...sure, revision: [at('z', 1, 2)] } });
  t.same(view.known, [at('z', 1, 2)]);
  t.end();
});

t.test('what was known in an earlier life', (t) => {
  const view = new WatchView();
  const before = new WatchView();
  before.apply({ full: true, changed: [up('a'), up('b')], state: sure });
  t.ok(view.seed(before.list!));
  t.notOk(view.seed([]), 'once');
  t.notOk(view.apply({ full: true, changed: [up('a')], state: { cold: true } }));
  t.same(ids(view), ['a', 'b']);
  t.ok(view.apply({ full: true, changed: [up('a')], state: sure }));
  t.same(ids(view), ['a']);
  t.end();
});

t.test('the list is what is known, in order, after any changes', (t) => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = new SeededRandom(seed);
    const view = new WatchView();
    const model = new Map<string, number>();
    view.apply({ full: true, changed: [], state: sure });
    for (let i = 1; i <= 60; i++) {
      const id = (): string => `i${random.below(30)}`;
      const changed = [...new Set(Array.from({ length: random.below(4) }, id))];
      const removed = [...new Set(Array.from({ length: random.below(3) }, id))].filter(
        (each) => !changed.includes(each),
      );
      for (const each of changed) model.set(each, i);
      for (const each of removed) model.delete(each);
      const before = view.list;
      const isChanged = view.apply({
        changed: changed.map((each) => up(each, { version: { incarnation: i, counter: 1 } })),
        removed: removed.map(gone),
        state: sure,
      });
      if (isChanged !== (view.list !== before)) t.fail(`seed ${seed}, step ${i}: changed or not`);
      const seen = view.list!.map(({ instanceId, incarnation }) => [instanceId, incarnation]);
      if (`${seen}` !== `${[...model].sort(([a], [b]) => (a < b ? -1 : 1))}`) t.fail(`seed ${seed}, step ${i}`);
    }
  }
  t.end();
});
