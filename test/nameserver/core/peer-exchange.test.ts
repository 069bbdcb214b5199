import t from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import { historyMax } from '../../../src/nameserver/core/owner-log.js';
import type { PeerMessage } from '../../../src/nameserver/core/registry-effect.js';
import { removalMs } from '../../../src/nameserver/core/sessions.js';
import { instanceMessage } from '../../../src/nameserver/instance.js';
import { CoreCluster, claimOf, keyOf } from './core-cluster.js';

t.test('what one node registers is at all others at once, with one frame for changes that come together', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.frames.length = 0;
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  t.equal(cluster.seen('x'), 'up up up');
  cluster.act('a', (core) => {
    for (let i = 0; i < 100; i++) core.register(1, claimOf(`y${i}`, 1), cluster.nowMs);
  });
  const deltas = cluster.frames.filter(({ to, message }) => to === 'b' && message.delta);
  t.ok(deltas.length <= 3, `${deltas.length} frames for 101 changes`);
  t.equal(cluster.core('b').instanceCount, 101);
  t.ok(cluster.core('a').isHandedOver || cluster.frames.length > 0);
  t.end();
});

t.test('a gap is pulled, never guessed over', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.cut((from, to) => from === 'a' && to === 'b');
  cluster.act('a', (core) => core.register(1, claimOf('lost', 1), cluster.nowMs));
  t.equal(cluster.seen('lost'), 'up - up');
  cluster.heal();
  cluster.act('a', (core) => core.register(1, claimOf('next', 1), cluster.nowMs));
  t.equal(cluster.seen('lost'), 'up up up', 'the next delta shows the gap');
  t.end();
});

t.test('what a node misses it gets from whoever has it', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.cut((from, to) => (from === 'a' && to === 'b') || (from === 'b' && to === 'a'));
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.pass(3_000, () => cluster.core('a').heard(1, cluster.nowMs));
  t.equal(cluster.seen('x'), 'up up up', 'over c');
  cluster.act('a', (core) => core.deregister(1, keyOf('x'), { incarnation: 1, counter: 1 }, cluster.nowMs));
  cluster.pass(3_000);
  t.equal(cluster.seen('x'), '- - -');
  t.end();
});

t.test('what was pulled is told on by the next tick, for whoever is cut from where it came from', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.isolate('a');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.pass(3_000, () => cluster.core('a').heard(1, cluster.nowMs));
  cluster.cut((from, to) => from + to === 'ac' || from + to === 'ca');
  cluster.act('a', (core) => core.linked('b', cluster.nowMs));
  t.equal(cluster.seen('x'), 'up up -');
  cluster.pass(500, () => cluster.core('a').heard(1, cluster.nowMs));
  t.equal(cluster.seen('x'), 'up up up');
  t.end();
});

t.test('over a new link both ends learn at once what they missed, whatever was asked before', (t) => {
  const cluster = CoreCluster.settled('a', 'b');
  cluster.cut((from, to) => from === 'a' && to === 'b');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.heal();
  // The answers to what it asks now get lost.
  cluster.cut((from, to) => from === 'a' && to === 'b' && cluster.frames.at(-1)?.message.digest === undefined);
  cluster.act('a', (core) => core.linked('b', cluster.nowMs));
  t.equal(cluster.seen('x'), 'up -');
  cluster.heal();
  cluster.act('b', (core) => core.linked('a', cluster.nowMs));
  t.equal(cluster.seen('x'), 'up up');
  t.end();
});

t.test('a pull that found no link is asked of others at once', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.isolate('c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.frames.length = 0;
  const digestOf = (owner: string): PeerMessage => {
    return cluster.frames.findLast(({ from, message }) => from === owner && message.digest)!.message;
  };
  cluster.pass(3_000, () => cluster.core('a').heard(1, cluster.nowMs));
  const [fromA, fromB] = [digestOf('a'), digestOf('b')];
  t.equal(cluster.seen('x'), 'up up -', 'nobody has told c so far');
  cluster.cut((from, to) => (from === 'a' && to === 'c') || (from === 'c' && to === 'a'));
  cluster.frames.length = 0;
  cluster.act('c', (core) => {
    core.receive('a', fromA, cluster.nowMs, 0);
    core.unsent('a');
    core.receive('b', fromB, cluster.nowMs, 0);
  });
  t.match(
    cluster.frames.filter(({ message }) => message.pull).map(({ to }) => to),
    ['a', 'b'],
  );
  t.equal(cluster.seen('x'), 'up up up');
  t.end();
});

for (const isAsked of [true, false]) {
  const when = isAsked ? 'when it asks' : 'by its digest, when it asked in vain';
  t.test(`who knows a former life of a node from its frames alone tells it, ${when}`, (t) => {
    const cluster = CoreCluster.settled('a', 'b');
    cluster.stop('a');
    cluster.stop('b');
    cluster.start('b');
    cluster.pass(1_000);
    const former = cluster.core('b').incarnation + 3_600_000;
    const beat = { sender: 'a', incarnation: former, beat: {} };
    cluster.act('b', (core) => core.receive('a', beat, cluster.nowMs, 0));
    if (!isAsked) cluster.isolate('a');
    cluster.start('a');
    cluster.pass(2_000);
    cluster.heal();
    cluster.pass(40_000);
    t.ok(cluster.core('a').incarnation > former);
    const drawn = cluster.effects.get('a')!.filter(({ kind }) => kind === 'store');
    t.equal(drawn.length, isAsked ? 1 : 2);
    cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
    t.equal(cluster.seen('x'), 'up up');
    t.end();
  });
}

t.test('a digest tells for how long nothing of the one who reads it has arrived, whatever others say of it', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  const digestOfB = () => {
    return cluster.frames.findLast(({ from, message }) => from === 'b' && message.digest)!.message.digest!;
  };
  const unheardMs = (): number => cluster.core('a').unheardMs(digestOfB());
  cluster.pass(2_500);
  t.ok(unheardMs() < 3_000);
  cluster.cut((from, to) => from === 'a' && to === 'b');
  cluster.pass(10_000);
  t.equal(
    cluster
      .core('b')
      .owners()
      .find(({ owner }) => owner === 'a')?.state,
    'alive',
    'by what c says',
  );
  t.ok(unheardMs() > 7_000);
  cluster.heal();
  cluster.pass(2_500);
  t.ok(unheardMs() < 3_000);
  const digest = digestOfB();
  cluster.start('a');
  t.equal(cluster.core('a').unheardMs(digest), Number.POSITIVE_INFINITY, 'what arrived there was of a former life');
  t.end();
});

t.test('an owner that is just back is asked itself for what another one still hides', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.isolate('a');
  cluster.pass(30_000);
  t.equal(cluster.seen('x'), '- - -');
  cluster.cut((from) => from === 'a');
  const { incarnation } = cluster.core('a');
  const beat = { sender: 'a', incarnation, beat: { ages: [{ owner: 'a', ageMs: 0 }] } };
  cluster.act('c', (core) => core.receive('a', beat, cluster.nowMs, 0));
  cluster.frames.length = 0;
  const delta = { owner: 'a', incarnation, from: 2, changes: [], hiddenMark: 2 };
  const marked = { sender: 'b', incarnation: cluster.core('b').incarnation, delta };
  cluster.act('c', (core) => core.receive('b', marked, cluster.nowMs, 0));
  t.match(
    cluster.frames.filter(({ message }) => message.pull),
    [{ from: 'c', to: 'a', message: { pull: { owner: 'a', sequence: 1 } } }],
  );
  t.end();
});

t.test('who is too far behind gets the whole state, in windows, and applies it at once', (t) => {
  const cluster = CoreCluster.settled('a', 'b');
  cluster.cut(() => true);
  const count = 2 * historyMax + 1_000;
  for (let i = 0; i < count; i++) cluster.core('a').register(1 + (i >> 9), claimOf(`i${i}`, 1), cluster.nowMs);
  cluster.core('a').deregister(1, keyOf('i7'), { incarnation: 1, counter: 1 }, cluster.nowMs);
  cluster.settle();
  cluster.heal();
  cluster.frames.length = 0;
  const counts = new Set<number>();
  cluster.pass(3_000, () => {
    counts.add(cluster.core('b').instanceCount);
    for (let i = 0; i <= count >> 9; i++) cluster.core('a').heard(1 + i, cluster.nowMs);
  });
  t.same([...counts, cluster.core('b').instanceCount].slice(-1), [count - 1]);
  t.same(
    [...counts].filter((each) => each !== 0 && each !== count - 1),
    [],
    'never half of it',
  );
  t.equal(cluster.core('b').endedVersion(keyOf('i7'))?.incarnation, 1, 'tombstones come along');
  const chunks = cluster.frames.filter(({ message }) => message.snapshotChunk);
  const pulls = cluster.frames.filter(({ message }) => message.pull);
  t.ok(chunks.length > 4 && pulls.length > 1, `${chunks.length} chunks, ${pulls.length} pulls`);
  t.end();
});

t.test('a higher version at another node takes over in one step, also for the session that had the lower one', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1, 1), cluster.nowMs));
  for (const effects of cluster.effects.values()) effects.length = 0;
  cluster.act('b', (core) => core.register(1, claimOf('x', 1, 2), cluster.nowMs));
  t.equal(cluster.seen('x'), 'up up up');
  t.equal(cluster.core('c').visible(keyOf('x'))?.owner, 'b');
  t.same(cluster.core('a').beat(1, cluster.nowMs).superseded, [
    { ...keyOf('x'), seen: { incarnation: 1, counter: 2 } },
  ]);
  cluster.act('a', (core) => core.closed(1, cluster.nowMs));
  cluster.pass(removalMs + 5_000, () => cluster.core('b').heard(1, cluster.nowMs));
  t.equal(cluster.seen('x'), 'up up up', 'the late end of the old connection removes nothing');
  t.throws(() => cluster.core('c').register(9, claimOf('x', 1, 2), cluster.nowMs), { code: ErrorCode.SUPERSEDED });
  t.end();
});

t.test(
  'a late register below a tombstone of another node is refused; the tombstone goes once all are caught up',
  (t) => {
    const cluster = CoreCluster.settled('a', 'b', 'c');
    cluster.act('a', (core) => core.register(1, claimOf('x', 5), cluster.nowMs));
    cluster.act('a', (core) => core.deregister(1, keyOf('x'), { incarnation: 5, counter: 1 }, cluster.nowMs));
    t.equal(cluster.seen('x'), '- - -');
    t.throws(() => cluster.core('b').register(1, claimOf('x', 5), cluster.nowMs), { code: ErrorCode.SUPERSEDED });
    cluster.isolate('c');
    cluster.pass(120_000);
    t.equal(cluster.core('a').tombstoneCount, 1, 'kept for c, which may hold a lower claim');
    cluster.heal();
    cluster.pass(5_000);
    t.same(
      [...cluster.cores.values()].map((core) => core.tombstoneCount),
      [0, 0, 0],
    );
    cluster.pass(60_000);
    t.equal(cluster.core('c').tombstoneCount, 0);
    t.end();
  },
);

t.test('one version at two nodes: the session at the lower one is told to go above it', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.isolate('a');
  cluster.act('a', (core) => core.register(1, claimOf('x', 4), cluster.nowMs));
  cluster.act('b', (core) => core.register(1, claimOf('x', 4), cluster.nowMs));
  cluster.heal();
  cluster.pass(3_000);
  t.same(
    [...cluster.cores.values()].map((core) => core.visible(keyOf('x'))?.owner),
    ['b', 'b', 'b'],
  );
  t.match(cluster.core('a').beat(1, cluster.nowMs), {
    superseded: [{ seen: { incarnation: 4, counter: 2 } }],
    held: 0,
  });
  t.match(cluster.core('b').beat(1, cluster.nowMs), { superseded: [], held: 1 });
  t.end();
});

t.test('an owner is told of a tombstone that hides its claim', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.isolate('c');
  cluster.act('c', (core) => core.register(1, claimOf('x', 3), cluster.nowMs));
  cluster.act('a', (core) => core.register(1, claimOf('x', 5), cluster.nowMs));
  cluster.act('a', (core) => core.deregister(1, keyOf('x'), { incarnation: 5, counter: 1 }, cluster.nowMs));
  cluster.pass(2_000, () => cluster.core('c').heard(1, cluster.nowMs));
  cluster.heal();
  cluster.pass(4_000, () => cluster.core('c').heard(1, cluster.nowMs));
  t.match(cluster.core('c').beat(1, cluster.nowMs).superseded, [{ instanceId: 'x', seen: { incarnation: 5 } }]);
  cluster.act('c', (core) => core.register(1, claimOf('x', 6), cluster.nowMs));
  t.equal(cluster.seen('x'), 'up up up', 'its client registers above it');
  t.end();
});

t.test('what is of an older incarnation is refused, whoever says it', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  const { incarnation } = cluster.core('a');
  const old = {
    owner: 'a',
    incarnation: incarnation - 1,
    changes: [{ put: instanceMessage(claimOf('old', 1), 'up') }],
  };
  for (const sender of ['a', 'c']) {
    for (const from of [1, 2, 5]) {
      cluster.core('b').receive(sender, { sender, delta: { ...old, from } }, cluster.nowMs, 0);
    }
  }
  cluster.settle();
  t.same([cluster.core('b').visible(keyOf('old')), cluster.seen('x')], [undefined, 'up up up']);
  t.equal(
    cluster
      .core('b')
      .viewState()
      .revision.find(({ owner }) => owner === 'a')?.incarnation,
    incarnation,
  );
  const end = { namespace: 'n', service: 's', instanceId: 'x', version: { incarnation: 1, counter: 1 } };
  const mine = { owner: 'b', incarnation: incarnation + 10, from: 1, changes: [{ end }] };
  cluster.core('b').receive('c', { sender: 'c', delta: mine }, cluster.nowMs, 0);
  cluster
    .core('b')
    .receive('c', { sender: 'c', snapshotChunk: { ...mine, snapshot: 1, last: true } }, cluster.nowMs, 0);
  t.equal(cluster.seen('x'), 'up up up', 'and what anyone says about my own log is ignored');
  t.end();
});

t.test('of two states of one number the owner’s own is right', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  // c makes b believe another first change of a, and swallows what a says.
  const { incarnation } = cluster.core('a');
  const delta = { owner: 'a', incarnation, from: 2, changes: [{ put: instanceMessage(claimOf('false', 1), 'up') }] };
  cluster.core('b').receive('c', { sender: 'c', delta }, cluster.nowMs, 0);
  t.equal(cluster.core('b').instanceCount, 2);
  cluster.act('a', (core) => core.register(1, claimOf('y', 1), cluster.nowMs));
  cluster.pass(3_000, () => cluster.core('a').heard(1, cluster.nowMs));
  t.same([cluster.seen('false'), cluster.seen('y')], ['- - -', 'up up up']);
  t.end();
});

t.test('what a former incarnation said after it was last heard is not covered by the next one at once', (t) => {
  const cluster = CoreCluster.settled('a', 'b');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  const { incarnation } = cluster.core('a');
  const [known, more] = [1, 2].map((sequence) => [{ owner: 'a', incarnation, sequence }]);
  cluster.isolate('a');
  cluster.act('a', (core) => core.register(1, claimOf('y', 1), cluster.nowMs));
  cluster.stop('a');
  cluster.heal();
  cluster.start('a', incarnation);
  cluster.pass(3_000);
  t.ok(cluster.core('a').incarnation > incarnation);
  for (const id of ['a', 'b']) t.notOk(cluster.core(id).covers(more!), `${id}: nobody has it, and its client may live`);
  t.ok(cluster.core('b').covers(known!));
  cluster.pass(removalMs);
  for (const id of ['a', 'b']) t.ok(cluster.core(id).covers(more!), `${id}: its client is elsewhere, or dead`);
  t.end();
});
