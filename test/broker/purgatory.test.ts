import t from 'tap';
import { Purgatory } from '../../src/broker/purgatory.js';

t.test('a fetch leaves once, and from all its partitions', (t) => {
  const purgatory = new Purgatory<{ keys: number[] }>(2);
  const both = { keys: [1, 2] };
  const one = { keys: [2] };
  t.ok(purgatory.add(both));
  t.ok(purgatory.add(one));
  t.notOk(purgatory.add({ keys: [3] }), 'full');
  t.same(
    purgatory.wake(3, () => true),
    [],
  );
  t.same(
    purgatory.wake(2, (each) => each === both),
    [both],
  );
  t.same(
    purgatory.wake(1, () => true),
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
  const purgatory = new Purgatory<{ keys: number[] }>(10);
  const waiting = [{ keys: [1] }, { keys: [1, 2] }];
  for (const each of waiting) purgatory.add(each);
  t.same(purgatory.drain(), waiting);
  t.same(
    purgatory.wake(1, () => true),
    [],
  );
  t.end();
});
