import t from 'tap';
import { Purgatory } from '../../src/broker/purgatory.js';

t.test('a fetch leaves once, and from all its partitions', (t) => {
  const purgatory = new Purgatory<{ keys: string[] }>(2);
  const both = { keys: ['a', 'b'] };
  const one = { keys: ['b'] };
  t.ok(purgatory.add(both));
  t.ok(purgatory.add(one));
  t.notOk(purgatory.add({ keys: ['c'] }), 'full');
  t.same(
    purgatory.wake('c', () => true),
    [],
  );
  t.same(
    purgatory.wake('b', (each) => each === both),
    [both],
  );
  t.same(
    purgatory.wake('a', () => true),
    [],
    'gone from the other list too',
  );
  t.notOk(purgatory.remove(both));
  t.equal(purgatory.size, 1);
  t.ok(purgatory.remove(one));
  t.same(purgatory.drain(), []);
  t.end();
});

t.test('draining empties it', (t) => {
  const purgatory = new Purgatory<{ keys: string[] }>(10);
  const waiting = [{ keys: ['a'] }, { keys: ['a', 'b'] }];
  for (const each of waiting) purgatory.add(each);
  t.same(purgatory.drain(), waiting);
  t.same(
    purgatory.wake('a', () => true),
    [],
  );
  t.end();
});
