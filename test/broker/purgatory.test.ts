import t from 'tap';
import { Purgatory } from '../../src/broker/purgatory.js';

interface Fetch {
  readonly peerId: number;
  readonly keys: number[];
}

const limits = { waitingMax: 10, keysMax: 10, peerKeysMax: 10 };
const by = (peerId: number, keys: number[]): Fetch => ({ peerId, keys });

t.test('a fetch leaves once, and from all its partitions', (t) => {
  const purgatory = new Purgatory<Fetch>({ ...limits, waitingMax: 2 });
  const both = by(1, [1, 2]);
  const one = by(1, [2]);
  t.ok(purgatory.add(both));
  t.ok(purgatory.add(one));
  t.notOk(purgatory.add(by(1, [3])), 'full');
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

t.test('what waits is weighed by its partitions, in all and by peer', (t) => {
  const purgatory = new Purgatory<Fetch>({ waitingMax: 10, keysMax: 6, peerKeysMax: 4 });
  const first = by(1, [1, 2, 3]);
  t.ok(purgatory.add(first));
  t.notOk(purgatory.add(by(1, [4, 5])), 'too many of one peer');
  t.ok(purgatory.add(by(1, [4])));
  const second = by(2, [1, 2]);
  t.ok(purgatory.add(second));
  t.notOk(purgatory.add(by(3, [9])), 'too many in all');
  t.equal(purgatory.keys, 6);
  purgatory.remove(first);
  t.equal(purgatory.keys, 3);
  t.ok(purgatory.add(by(1, [4, 5, 6])), 'who leaves makes room');
  purgatory.wake(2, (each) => each === second);
  t.equal(purgatory.keys, 4);
  purgatory.drain();
  t.ok(purgatory.add(by(1, [1, 2, 3, 4])), 'and so does draining');
  t.end();
});

t.test('a wake names the one partition of each fetch that has changed', (t) => {
  const purgatory = new Purgatory<Fetch>(limits);
  purgatory.add(by(1, [7, 8, 9]));
  purgatory.add(by(2, [9]));
  const told: [number, number][] = [];
  purgatory.wake(9, ({ peerId }, index) => {
    told.push([peerId, index]);
    return false;
  });
  t.same(told, [
    [1, 2],
    [2, 0],
  ]);
  t.end();
});

t.test('draining empties it', (t) => {
  const purgatory = new Purgatory<Fetch>(limits);
  const waiting = [by(1, [1]), by(2, [1, 2])];
  for (const each of waiting) purgatory.add(each);
  t.same(purgatory.drain(), waiting);
  t.same(
    purgatory.wake(1, () => true),
    [],
  );
  t.end();
});
