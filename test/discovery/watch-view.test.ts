import t from 'tap';
import { WatchView } from '../../src/discovery/watch-view.js';
import { taskd } from '../../src/wire/generated/messages.js';

const { HEALTH_SUSPECT, HEALTH_UP } = taskd.Health;

function up(instanceId: string, more: taskd.Instance.$Properties = {}): taskd.Instance.$Properties {
  return { service: 's', instanceId, version: { incarnation: 1, counter: 1 }, health: HEALTH_UP, ...more };
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
  t.ok(view.apply({ removed: [{ instanceId: 'b' }, { instanceId: 'x' }] }));
  t.notOk(view.apply({ removed: [{ instanceId: 'b' }] }));
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
