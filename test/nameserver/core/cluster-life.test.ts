import t from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import { ownersMax } from '../../../src/nameserver/core/log-table.js';
import { removalMs } from '../../../src/nameserver/core/sessions.js';
import { CoreCluster, claimOf, keyOf } from './core-cluster.js';

/** Keeps the sessions with these numbers alive. */
const beats =
  (cluster: CoreCluster, ...sessions: (readonly [string, number])[]) =>
  (): void => {
    for (const [id, session] of sessions) cluster.cores.get(id)?.heard(session, cluster.nowMs);
  };

t.test('a starting node serves nobody until it has met the others', (t) => {
  const cluster = new CoreCluster(['a', 'b', 'c']);
  t.throws(() => cluster.core('a').register(1, claimOf('x', 1), 0), { code: ErrorCode.NOT_READY });
  cluster.pass(1_000);
  t.notOk(cluster.core('a').incarnation === 0, 'nobody knew an incarnation of it: the wall clock');
  cluster.pass(3_000);
  for (const core of cluster.cores.values())
    t.match(core.viewState(), { isReady: true, isCold: true, isComplete: false });
  cluster.pass(30_000);
  for (const core of cluster.cores.values()) t.match(core.viewState(), { isCold: false, isComplete: true });
  t.end();
});

t.test('a node that meets nobody is ready after 10 s, but incomplete, and says that it is cut off', (t) => {
  const cluster = new CoreCluster(['a', 'b', 'c']);
  cluster.stop('b');
  cluster.stop('c');
  cluster.pass(9_500);
  t.notOk(cluster.core('a').isReady);
  cluster.pass(2_000);
  t.ok(cluster.core('a').isReady);
  cluster.pass(60_000);
  t.match(cluster.core('a').viewState(), { isReady: true, isComplete: false, isFrozen: true });
  t.end();
});

t.test('a node that joins those who are ready is ready once it has what they have, and not cold', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.stop('c');
  cluster.start('c', 7);
  const alive = beats(cluster, ['a', 1]);
  cluster.pass(3_500, () => {
    alive();
    if (cluster.core('c').isReady)
      t.equal(cluster.core('c').visible(keyOf('x'))?.health, 'up', 'never ready without it');
  });
  t.match(cluster.core('c').viewState(), { isReady: true, isCold: false, isComplete: true });
  t.end();
});

t.test('the instances of a node that restarts stay in sight as suspect until their clients are back', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.act('a', (core) => core.register(2, claimOf('y', 1), cluster.nowMs));
  cluster.stop('a');
  cluster.start(
    'a',
    cluster
      .core('b')
      .viewState()
      .revision.find(({ owner }) => owner === 'a')!.incarnation,
  );
  cluster.pass(3_000);
  t.equal(cluster.seen('x'), 'suspect suspect suspect', 'at itself too');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1, 2), cluster.nowMs));
  t.equal(cluster.seen('x'), 'up up up');
  cluster.pass(removalMs + 1_000, beats(cluster, ['a', 1]));
  t.equal(cluster.seen('x'), 'up up up');
  t.equal(cluster.seen('y'), '- - -', 'who did not come back is gone');
  t.end();
});

t.test('a node that starts has what others keep of its former life, also when its first questions got lost', (t) => {
  const cluster = CoreCluster.settled('a', 'b');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  const { incarnation } = cluster.core('a');
  cluster.stop('a');
  cluster.isolate('a');
  cluster.start('a', incarnation);
  cluster.pass(1_000);
  cluster.heal();
  cluster.pass(3_000);
  t.equal(cluster.seen('x'), 'suspect suspect');
  t.end();
});

t.test('a node that lost its disk goes above the incarnation that others know, also when they tell it late', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  const before = cluster.core('a').incarnation;
  cluster.stop('a');
  cluster.start('a', 0, 1_000);
  cluster.pass(1_000);
  t.ok(cluster.core('a').incarnation > before, 'asked before its start');
  cluster.stop('a');
  cluster.isolate('a');
  cluster.start('a', 0, 1_000);
  cluster.pass(20_000);
  const alone = cluster.core('a').incarnation;
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.heal();
  cluster.pass(4_000, beats(cluster, ['a', 1]));
  t.ok(cluster.core('a').incarnation > alone || alone > before, 'raised by hearsay');
  t.equal(cluster.seen('x'), 'up up up', 'with the sessions that it has');
  t.end();
});

t.test('an owner that is gone: suspect, hidden, and shown again once its log is caught up', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.act('a', (core) => core.register(2, claimOf('y', 1), cluster.nowMs));
  cluster.isolate('a');
  const alive = beats(cluster, ['a', 1], ['a', 2]);
  cluster.pass(4_500, alive);
  t.equal(cluster.seen('x'), 'up up up');
  cluster.pass(1_500, alive);
  t.equal(cluster.seen('x'), 'up suspect suspect');
  t.notOk(cluster.core('b').viewState().isComplete, 'its instances may be on their way');
  t.match(cluster.core('a').viewState(), { isFrozen: true, isComplete: false });
  t.ok(cluster.core('a').viewState().staleMs >= 5_000);
  t.ok(cluster.core('a').beat(1, cluster.nowMs).isFrozen, 'clients are told');
  cluster.pass(15_000, alive);
  t.equal(cluster.seen('x'), 'up - -');
  t.ok(cluster.core('b').viewState().isComplete, 'a majority may say so');
  t.ok(cluster.core('b').covers(cluster.core('a').viewState().revision), 'what is hidden counts as covered');
  t.match(cluster.core('b').owners(), [{ owner: 'b', state: 'self' }, { owner: 'a', state: 'hidden' }, {}]);
  cluster.act('a', (core) => core.deregister(2, keyOf('y'), { incarnation: 1, counter: 1 }, cluster.nowMs));
  for (const effects of cluster.effects.values()) effects.length = 0;
  cluster.heal();
  cluster.pass(3_000, alive);
  t.equal(cluster.seen('x'), 'up up up');
  const flash = cluster.effects.get('b')!.filter((each) => each.kind === 'changed' && each.instanceId === 'y');
  t.same(flash, [], 'what ended meanwhile does not flash up');
  t.end();
});

t.test('an owner that is back behind another node only is shown again', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.isolate('a');
  const alive = beats(cluster, ['a', 1]);
  cluster.pass(30_000, alive);
  t.equal(cluster.seen('x'), 'up - -');
  cluster.cut((from, to) => (from === 'a' && to === 'c') || (from === 'c' && to === 'a'));
  cluster.pass(8_000, alive);
  t.equal(cluster.seen('x'), 'up up up', 'c goes by what b has caught up with');
  t.end();
});

t.test('a node that hears nobody expires nothing of others', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.isolate('c');
  cluster.pass(300_000, beats(cluster, ['a', 1]));
  t.equal(cluster.seen('x'), 'up up up');
  t.end();
});

t.test('of two nodes the one left freezes, or goes on when told to', (t) => {
  for (const onPeerLoss of ['freeze', 'expire'] as const) {
    const cluster = new CoreCluster(['a', 'b'], { onPeerLoss });
    cluster.pass(40_000);
    cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
    cluster.stop('a');
    cluster.pass(60_000);
    const isFrozen = onPeerLoss === 'freeze';
    t.equal(cluster.core('b').visible(keyOf('x')) !== undefined, isFrozen);
    t.match(cluster.core('b').viewState(), { isFrozen, isComplete: !isFrozen });
  }
  t.end();
});

t.test('a clean stop: instances stay until their sessions have moved, at the latest after the grace', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.act('a', (core) => core.register(2, claimOf('y', 1), cluster.nowMs));
  cluster.act('a', (core) => core.leave(cluster.nowMs));
  t.throws(() => cluster.core('a').register(3, claimOf('z', 1), cluster.nowMs), { code: ErrorCode.NOT_READY });
  t.ok(cluster.core('a').isHandedOver);
  cluster.stop('a');
  cluster.pass(1_000);
  cluster.act('b', (core) => core.register(1, claimOf('x', 1, 2), cluster.nowMs));
  t.equal(cluster.seen('x'), 'up up');
  t.equal(cluster.seen('y'), 'up up');
  cluster.pass(16_000, beats(cluster, ['b', 1]));
  t.equal(cluster.seen('x'), 'up up');
  t.equal(cluster.seen('y'), '- -');
  t.match(cluster.core('b').owners(), [{ owner: 'b' }, { owner: 'a', state: 'left' }, { owner: 'c', state: 'alive' }]);
  t.ok(cluster.core('b').viewState().isComplete, 'one that left is not missed');
  t.end();
});

t.test('two living processes of one id: one of them stops, with the reason; a loop to itself is none', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  const twin = CoreCluster.settled('a', 'd', 'e');
  const beat = twin.frames.findLast(({ from, message }) => from === 'a' && message.beat)!.message;
  const own = cluster.frames.findLast(({ from, message }) => from === 'a' && message.beat)!.message;
  cluster.core('a').receive('a', own, cluster.nowMs, 0);
  t.same(cluster.core('a').takeEffects(), []);
  cluster.core('a').receive('a', { ...beat, boot: 1, incarnation: beat.incarnation! - 1 }, cluster.nowMs, 0);
  t.same(cluster.core('a').takeEffects(), [], 'the other one is older: it stops, not we');
  cluster.core('a').receive('a', { ...beat, boot: 1, incarnation: beat.incarnation! + 1 }, cluster.nowMs, 0);
  t.match(cluster.core('a').takeEffects(), [{ kind: 'stop', reason: /node id a/ }]);
  t.end();
});

t.test('a pause of one node ends nothing anywhere', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  const paused = cluster.core('b');
  cluster.stop('b');
  cluster.pass(60_000, beats(cluster, ['a', 1]));
  cluster.cores.set('b', paused);
  cluster.pass(500, beats(cluster, ['a', 1]));
  t.equal(cluster.seen('x'), 'up up up');
  cluster.pass(5_000, beats(cluster, ['a', 1]));
  t.equal(cluster.seen('x'), 'up up up');
  t.ok([...cluster.cores.values()].every((core) => core.viewState().isComplete));
  t.end();
});

t.test('most of a service suspect: served as protected, until what is left is healthy', (t) => {
  const cluster = CoreCluster.settled('a');
  const core = cluster.core('a');
  for (let i = 0; i < 30; i++) core.register(100 + i, claimOf(`other${i}`, 1, 1, 'other'), cluster.nowMs);
  for (let i = 0; i < 4; i++) core.register(i, claimOf(`x${i}`, 1), cluster.nowMs);
  const alive = (): void => {
    for (let i = 0; i < 30; i++) core.heard(100 + i, cluster.nowMs);
    core.heard(3, cluster.nowMs);
  };
  cluster.effects.get('a')!.length = 0;
  for (let i = 0; i < 2; i++) cluster.act('a', () => core.closed(i, cluster.nowMs));
  t.notOk(core.isProtected('n', '', 's'), 'half is not below half');
  cluster.act('a', () => core.closed(2, cluster.nowMs));
  t.ok(core.isProtected('n', '', 's'));
  t.notOk(core.isProtected('n', '', 'other'));
  t.equal(core.visible(keyOf('x1'))?.health, 'suspect', 'true health is kept');
  cluster.pass(20_000, alive);
  t.same([core.isProtected('n', '', 's'), core.serviceSize('n', '', 's')], [false, 1]);
  const told = cluster.effects.get('a')!.filter((each) => each.kind === 'protection');
  t.match(told, [
    { service: 's', isProtected: true },
    { service: 's', isProtected: false },
  ]);
  t.end();
});

t.test('a node that is alone judges nobody, also before it serves', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.stop('a');
  cluster.pass(7_000);
  cluster.stop('b');
  cluster.pass(6_000);
  cluster.start('b');
  cluster.pass(1_000);
  t.equal(cluster.core('b').visible(keyOf('x'))?.health, 'suspect', 'it has it from c');
  cluster.isolate('b');
  cluster.pass(8_000);
  t.notOk(cluster.core('b').isReady);
  t.equal(cluster.core('b').visible(keyOf('x'))?.health, 'suspect');
  cluster.pass(20_000);
  t.ok(cluster.core('b').isReady);
  t.equal(cluster.core('b').visible(keyOf('x'))?.health, 'suspect');
  t.end();
});

t.test('a node that hears of more than it gets is not sure', (t) => {
  const cluster = CoreCluster.settled('a', 'b', 'c');
  t.ok(cluster.core('b').viewState().isComplete);
  const isContent = (): boolean => {
    const message = cluster.frames.at(-1)!.message;
    return message.delta != null || message.snapshotChunk != null;
  };
  cluster.cut((_, to) => to === 'b' && isContent());
  const beat = (): void => cluster.core('a').heard(1, cluster.nowMs);
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.pass(18_000, beat);
  t.equal(cluster.seen('x'), 'up - up');
  t.notOk(cluster.core('b').viewState().isComplete);
  t.ok(cluster.core('c').viewState().isComplete);
  cluster.heal();
  cluster.pass(3_000, beat);
  t.equal(cluster.seen('x'), 'up up up');
  t.ok(cluster.core('b').viewState().isComplete);
  t.end();
});

t.test('nodes that come under ever new names find room, whoever was there before', (t) => {
  const cluster = CoreCluster.settled('a', 'b');
  for (let i = 0; i < ownersMax + 5; i++) {
    cluster.start(`pod-${i}`);
    cluster.pass(1_000);
    cluster.act(`pod-${i}`, (core) => core.register(1, claimOf(`x${i}`, 1), cluster.nowMs));
    t.equal(cluster.core('a').visible(keyOf(`x${i}`))?.health, 'up', `pod-${i}`);
    cluster.stop(`pod-${i}`);
    cluster.pass(26_000);
  }
  t.ok(cluster.core('a').owners().length <= ownersMax);
  t.end();
});

t.test('of two claims of one version all see the same one, and hear of it', (t) => {
  const cluster = CoreCluster.settled('a', 'b');
  cluster.isolate('a');
  cluster.act('a', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  cluster.act('b', (core) => core.register(1, claimOf('x', 1), cluster.nowMs));
  const before = cluster.core('a').visible(keyOf('x'))?.owner;
  t.equal(before, 'a');
  cluster.effects.get('a')!.length = 0;
  cluster.heal();
  cluster.act('b', (core) => core.linked('a', cluster.nowMs));
  t.equal(cluster.core('a').visible(keyOf('x'))?.owner, 'b');
  t.ok(cluster.effects.get('a')!.some(({ kind }) => kind === 'changed'));
  t.end();
});
