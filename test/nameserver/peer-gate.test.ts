import t from 'tap';
import { PeerGate } from '../../src/nameserver/peer-gate.js';

t.test('only a cluster lets frames in, of whom the connection says it is, and not without end', (t) => {
  t.match(new PeerGate(false).refusal('n2', 'n2', 0), /no others/);
  const gate = new PeerGate(true);
  t.equal(gate.refusal('n2', 'n2', 0), undefined);
  t.match(gate.refusal('n3', 'n2', 0), /another sender/);
  t.match(gate.refusal('', '', 0), /another sender/);
  t.match(gate.refusal('a b', 'a b', 0), /another sender/);
  t.equal(gate.refused, 3);
  let count = 0;
  while (gate.refusal('n2', 'n2', 1) === undefined) count++;
  t.ok(count > 10_000 && count < 30_000, `${count} at once`);
  t.match(gate.refusal('n2', 'n2', 1), /frames a second/);
  t.equal(gate.refusal('n2', 'n2', 1_001), undefined, 'later again');
  t.equal(gate.refusal('n4', 'n4', 1), undefined, 'others are not held up');
  t.end();
});

t.test('what comes late over a former connection is old, the first over a newer one is new', (t) => {
  const gate = new PeerGate(true);
  const orderOf = (sender: string, connection: number): string => {
    t.equal(gate.refusal(sender, sender, 0), undefined);
    return gate.orderOf(sender, connection);
  };
  t.equal(orderOf('n2', 5), 'new');
  t.equal(orderOf('n2', 5), 'same');
  t.equal(orderOf('n3', 4), 'new', 'of another sender');
  t.equal(orderOf('n2', 7), 'new');
  t.equal(orderOf('n2', 5), 'old');
  t.equal(orderOf('n2', 7), 'same');
  t.end();
});

t.test('names that are made up cost no memory without end', (t) => {
  const gate = new PeerGate(true);
  let senders = 0;
  while (gate.refusal(`n${senders}`, `n${senders}`, 0) === undefined) senders++;
  t.ok(senders < 1_000, `${senders} senders`);
  t.equal(gate.refusal('n0', 'n0', 600_000), undefined, 'those that are known go on');
  t.equal(gate.refusal('new', 'new', 600_000), undefined, 'those not heard of for long make room');
  t.equal(gate.refusal('n0', 'n0', 600_000), undefined);
  t.end();
});
