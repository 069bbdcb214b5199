import t from 'tap';
import { ErrorCode, Retry } from '../../src/base/errors.js';
import { taskd } from '../../src/wire/generated/messages.js';
import {
  deregister,
  listInstances,
  listNodes,
  listOverrides,
  listServices,
  register,
  registryPeer,
  setOverride,
} from '../../src/wire/methods.js';
import { NameServerWorld, type SimNode } from '../support/name-server-world.js';

const { OVERRIDE_DISABLED, OVERRIDE_DRAINING, OVERRIDE_ENABLED } = taskd.OverrideMode;
const { HEALTH_DISABLED, HEALTH_DRAINING, HEALTH_UP } = taskd.Health;

t.test('an incarnation grows over restarts, though the clock goes back', async (t) => {
  const net = new NameServerWorld(1, 1);
  await net.start();
  const client = await net.client('c');
  let last = 0;
  for (let life = 0; life < 4; life++) {
    const { incarnation } = await net.ask(client, net.nodes[0]!, listNodes, {});
    t.ok(incarnation > last, `${incarnation} after ${last}`);
    last = incarnation;
    net.nodes[0]!.process.stepWall(-3_600_000);
    net.nodes[0]!.process.kill({ powerLoss: life % 2 === 0 });
    await net.start();
  }
});

t.test('a full disk keeps no name server from starting, only from taking what a person says', async (t) => {
  for (const isFirst of [true, false]) {
    const net = new NameServerWorld(11, 3);
    const [one] = net.nodes;
    if (!isFirst) {
      await net.start();
      one!.kill();
    }
    const { freeBytes, totalBytes } = one!.process.disk.space();
    one!.process.disk.limitBytes = totalBytes - freeBytes;
    await net.start();
    const client = await net.client('c');
    await net.register(client, one!, 'a');
    const target = { namespace: 'n', service: 's', instanceId: 'a', mode: OVERRIDE_DRAINING };
    await t.rejects(net.ask(client, one!, setOverride, target), { code: ErrorCode.STORAGE_FULL });
    await net.ask(client, net.nodes[1]!, setOverride, target);
    const watch = client.watch(one!);
    await net.until(() => watch.view.get('s/a')?.health === HEALTH_DRAINING);
    one!.process.disk.limitBytes = Number.POSITIVE_INFINITY;
    await net.elapse(10_000);
    const { incarnation } = await net.ask(client, one!, listNodes, {});
    one!.process.kill({ powerLoss: true });
    one!.process.stepWall(-86_400_000);
    await net.start();
    t.ok((await net.ask(client, one!, listNodes, {})).incarnation > incarnation, 'it was stored when there was room');
    t.equal((await net.ask(client, one!, listOverrides, {})).overrides.length, 1);
  }
});

t.test('what a person says reaches all name servers, and outlives instances and restarts', async (t) => {
  const net = new NameServerWorld(2, 3);
  await net.start();
  const client = await net.client('c');
  const [one, two, three] = net.nodes;
  await net.register(client, one!, 'a');
  const watch = client.watch(one!);
  await net.until(() => watch.view.get('s/a')?.health === HEALTH_UP);
  const target = { namespace: 'n', service: 's', instanceId: 'a' };
  const set = async (
    node: SimNode,
    change: taskd.SetOverrideRequest.$Properties,
  ): Promise<taskd.SetOverrideResponse> => {
    return net.ask(client, node, setOverride, { ...target, ...change });
  };
  t.match(await set(one!, { mode: OVERRIDE_DRAINING }), {
    isRegistered: true,
    override: { mode: OVERRIDE_DRAINING, weight: 0, nodeId: 'n1' },
  });
  await net.until(() => watch.view.get('s/a')?.health === HEALTH_DRAINING);
  // Set at another node, seen at the first; the mode stays as it is.
  await set(three!, { weight: 7 });
  await net.until(() => watch.view.get('s/a')?.weight === 7);
  t.equal(watch.view.get('s/a')!.health, HEALTH_DRAINING);
  await set(two!, { mode: OVERRIDE_DISABLED });
  await net.until(() => watch.view.get('s/a')?.health === HEALTH_DISABLED);
  t.match(await set(two!, { instanceId: 'nobody', mode: OVERRIDE_DISABLED }), { isRegistered: false });
  // The others store what they hear soon, but promise nothing.
  await net.elapse(1_000);
  for (const node of net.nodes) node.process.kill({ powerLoss: true });
  await net.start();
  for (const node of net.nodes) {
    const list = await net.ask(client, node, listOverrides, {});
    t.match(list.overrides, [
      { ...target, mode: OVERRIDE_DISABLED, weight: 7 },
      { instanceId: 'nobody', mode: OVERRIDE_DISABLED },
    ]);
  }
  await net.register(client, one!, 'a');
  const again = client.watch(one!);
  await net.until(() => again.view.get('s/a')?.health === HEALTH_DISABLED);
  await set(three!, { mode: OVERRIDE_ENABLED, weight: 0 });
  await net.until(() => again.view.get('s/a')?.health === HEALTH_UP);
  t.equal(again.view.get('s/a')!.weight, 100);
});

t.test('groups, selectors and wide watches over the wire', async (t) => {
  const net = new NameServerWorld(3, 1);
  await net.start();
  const [one] = net.nodes;
  const client = await net.client('c');
  await net.register(client, one!, 'a', { tags: ['gpu'] });
  await net.register(client, one!, 'b', { group: 'g' });
  await net.register(client, one!, 'c', { service: 'other' });
  const keys = async (request: taskd.WatchRequest.$Properties): Promise<string> => {
    const watch = client.watch(one!, request);
    await net.until(() => watch.events.length > 0);
    return [...watch.view.keys()].sort().join();
  };
  t.equal(await keys({}), 's/a');
  t.equal(await keys({ group: 'g' }), 's/b');
  t.equal(await keys({ service: '' }), 'other/c,s/a');
  t.equal(await keys({ service: '', selector: '!gpu,tag=gpu' }), 's/a');
  const wrong = client.watch(one!, { selector: 'a=' });
  await net.until(() => wrong.end !== 'open');
  t.match(wrong.end, { code: ErrorCode.INVALID });
  const { services } = await net.ask(client, one!, listServices, {});
  t.match(services, [
    { namespace: 'n', group: '', service: 'other', instances: 1, healthy: 1 },
    { namespace: 'n', group: '', service: 's', instances: 1 },
    { namespace: 'n', group: 'g', service: 's', instances: 1 },
  ]);
  const list = async (request: taskd.ListInstancesRequest.$Properties): Promise<string> => {
    const { instances } = await net.ask(client, one!, listInstances, { namespace: 'n', ...request });
    return instances.map(({ instanceId, owner }) => `${instanceId}@${owner}`).join();
  };
  t.equal(await list({}), 'c@n1,a@n1');
  t.equal(await list({ group: 'g' }), 'b@n1');
  t.equal(await list({ selector: 'tag=gpu' }), 'a@n1');
});

t.test('limits are refused with what they are and what to do', async (t) => {
  const net = new NameServerWorld(4, 1);
  await net.start();
  const [one] = net.nodes;
  const client = await net.client('c');
  const caller = client.connections.to(one!.address);
  const claim = (id: string, metadata: Record<string, string> = {}): taskd.RegisterRequest.$Properties => {
    return { instance: client.instance(id, { metadata }) };
  };
  for (let i = 0; i < 1_024; i++) await net.ask(client, one!, register, claim(`i${i}`));
  await t.rejects(net.ask(client, one!, register, claim('more')), {
    code: ErrorCode.QUOTA,
    message: /at most 1024 instances.*another/,
  });
  const target = { namespace: 'n', service: 's', instanceId: 'x', version: { incarnation: 1 } };
  const ended = await net.act(client, () => {
    return Promise.allSettled(Array.from({ length: 3_000 }, () => caller.call(deregister, target)));
  });
  const failed = ended.filter((each) => each.status === 'rejected');
  t.ok(failed.length > 500 && failed.length < 2_999, `${failed.length} refused`);
  t.match(failed[0]!.reason, { code: ErrorCode.QUOTA, retry: Retry.AFTER, message: /200 times a second/ });
  for (let i = 0; i < 1_000; i++) client.watch(one!, { service: `w${i}` });
  const watch = client.watch(one!);
  await net.until(() => watch.end !== 'open');
  t.match(watch.end, { code: ErrorCode.QUOTA, message: /at most 1000 watchers/ });
  await t.rejects(net.ask(client, one!, listInstances, { namespace: 'n', selector: 'x'.repeat(300) }), {
    code: ErrorCode.QUOTA,
    message: /256 bytes/,
  });
  await net.elapse(10_000);
  await t.rejects(net.ask(client, one!, register, claim('big', { text: 'x'.repeat(5_000) })), {
    message: /4096 bytes/,
  });
});

t.test('a peer that lies or floods is cut, and the others go on', async (t) => {
  const net = new NameServerWorld(5, 2);
  await net.start();
  const [one] = net.nodes;
  const liar = await net.client('liar');
  const caller = liar.connections.to(one!.address);
  const before = await net.ask(liar, one!, listNodes, {});
  const isCut = async (frame: taskd.PeerFrame.$Properties, times = 1): Promise<boolean> => {
    const watch = liar.watch(one!);
    await net.until(() => watch.events.length > 0);
    await net.act(liar, async () => {
      for (let i = 0; i < times; i++) caller.send(registryPeer, frame);
    });
    await net.elapse(2_000);
    return watch.end !== 'open';
  };
  t.ok(await isCut({ sender: 'n2', ownerLeave: {} }), 'it is not n2');
  t.ok(await isCut({ sender: '', ownerLeave: {} }));
  t.notOk(
    await isCut({ sender: 'liar', delta: { owner: 'n1', incarnation: 2 ** 50, from: 1 } }),
    'nonsense is ignored',
  );
  t.notOk(await isCut({ sender: 'liar', overrides: { overrides: [{ namespace: 'n' }] } }));
  t.ok(await isCut({ sender: 'liar', pull: { owner: 'x', incarnation: 1 } }, 60_000), 'too many');
  const after = await net.ask(liar, one!, listNodes, {});
  t.equal(after.overrides, 0);
  t.ok(after.ready);
  t.ok(after.peers[0]!.connected);
  t.equal(after.instances, before.instances);
});

t.test(
  'what is registered at one is seen at another; one that dies takes nothing with it that comes elsewhere',
  async (t) => {
    const net = new NameServerWorld(6, 3);
    await net.start();
    const [one, two, three] = net.nodes;
    const client = await net.client('c');
    const watcher = await net.client('w');
    const watch = watcher.watch(three!);
    await net.register(client, one!, 'a');
    await net.until(() => watch.view.has('s/a'));
    await net.elapse(40_000);
    t.ok(watch.events.at(-1)!.state!.authoritative);
    one!.kill();
    await net.elapse(300);
    await net.register(client, two!, 'a');
    await net.until(() => watch.view.get('s/a')!.health === HEALTH_UP);
    await net.elapse(60_000);
    t.equal(watch.events.filter(({ removed }) => removed.length > 0).length, 0, 'it was never gone');
    t.ok(watch.events.every(({ full, changed }) => !full || changed.length > 0 || watch.events[0]!.full));
    const before = (await net.ask(client, two!, listNodes, {})).owners;
    t.match(
      before.find(({ owner }) => owner === 'n1'),
      { state: taskd.OwnerState.OWNER_HIDDEN },
    );
    one!.start();
    await net.until(() => one!.names?.isReady === true);
    const { instances } = await net.ask(client, one!, listInstances, { namespace: 'n' });
    t.match(instances, [{ instanceId: 'a', owner: 'n2', health: HEALTH_UP }]);
    await net.until(() => net.nodes.every(({ names }) => names!.linkCount === 2));
    await net.elapse(10_000);
    const { owners } = await net.ask(client, two!, listNodes, {});
    t.ok(
      owners.every(({ state }) => state === taskd.OwnerState.OWNER_ALIVE),
      'it is one of them again',
    );
  },
);

t.test('a death without return is noticed by all, and a deregistration stays', async (t) => {
  const net = new NameServerWorld(7, 3);
  await net.start();
  const [one, two, three] = net.nodes;
  const client = await net.client('c');
  const other = await net.client('o');
  await net.register(client, one!, 'dead');
  await net.register(other, two!, 'stays');
  await net.register(other, two!, 'leaves', { version: { incarnation: 5, counter: 1 } });
  const watcher = await net.client('w');
  const watch = watcher.watch(three!);
  await net.until(() => watch.view.size === 3);
  await net.elapse(40_000);
  const target = { namespace: 'n', service: 's', instanceId: 'leaves', version: { incarnation: 5, counter: 1 } };
  t.ok((await net.ask(other, two!, deregister, target)).removed);
  await net.until(() => watch.view.size === 2);
  client.runtime.process.onStop(() => {});
  net.world.process('c').kill();
  one!.kill();
  await net.until(() => watch.view.size === 1);
  t.same([...watch.view.keys()], ['s/stays']);
  one!.start();
  await net.until(() => one!.names?.isReady === true);
  await net.elapse(20_000);
  for (const node of net.nodes) {
    const { instances } = await net.ask(other, node, listInstances, { namespace: 'n' });
    t.same(
      instances.map(({ instanceId }) => instanceId),
      ['stays'],
    );
  }
  // Who comes with the version that ended is told so.
  const late = { instance: other.instance('leaves', { version: { incarnation: 5, counter: 1 } }) };
  await t.rejects(net.ask(other, three!, register, late), { code: ErrorCode.SUPERSEDED, hint: '5.1' });
});

t.test('a name server that stops in good order hands over', async (t) => {
  const net = new NameServerWorld(8, 3);
  await net.start();
  const [one, two, three] = net.nodes;
  const client = await net.client('c');
  await net.register(client, one!, 'a');
  const watch = (await net.client('w')).watch(three!);
  await net.until(() => watch.view.has('s/a'));
  const moving = (await net.client('w2')).watch(one!);
  await net.until(() => moving.view.has('s/a'));
  // In one turn with the stop: the last of its log must still leave.
  const late = net.act(client, () =>
    client.connections.to(one!.address).call(register, { instance: client.instance('b', {}) }),
  );
  await late;
  one!.process.runtime.clock.timer(0, () => void one!.stop());
  await net.until(() => moving.end !== 'open');
  t.match(moving.end, { code: ErrorCode.NOT_READY, retry: Retry.OTHER });
  await net.register(client, two!, 'a');
  await net.register(client, two!, 'b');
  await net.until(() => !one!.process.isAlive);
  await net.elapse(60_000);
  t.same([...watch.view.keys()].sort(), ['s/a', 's/b']);
  t.equal(watch.events.filter(({ removed }) => removed.length > 0).length, 0);
  const { owners } = await net.ask(client, two!, listNodes, {});
  t.match(
    owners.find(({ owner }) => owner === 'n1'),
    { state: taskd.OwnerState.OWNER_LEFT },
  );
});

t.test('what was said during a cut meets when it ends, and a watcher that moves is never shown less', async (t) => {
  const net = new NameServerWorld(9, 3);
  await net.start();
  const [one, two] = net.nodes;
  const client = await net.client('c');
  await net.register(client, two!, 'a');
  const watch = (await net.client('w')).watch(two!);
  await net.until(() => watch.view.has('s/a'));
  await net.elapse(40_000);
  for (const other of ['n2', 'n3']) {
    net.world.network.block('n1', other, 20_000);
    net.world.network.block(other, 'n1', 20_000);
  }
  const target = { namespace: 'n', service: 's', instanceId: 'a' };
  await net.ask(client, two!, setOverride, { ...target, mode: OVERRIDE_DRAINING });
  await net.ask(client, one!, setOverride, { ...target, weight: 9 });
  await net.register(client, two!, 'b');
  await net.until(() => watch.view.has('s/b'));
  const known = watch.events.at(-1)!.state!.revision ?? [];
  const moved = (await net.client('w1')).watch(one!, { known });
  await net.until(() => moved.events.length > 0);
  t.match(moved.events[0]!.state, { behind: true, authoritative: false });
  await net.elapse(7_000);
  t.ok((await net.ask(client, one!, listNodes, {})).frozen, 'cut off, and it says so');
  await net.elapse(16_000);
  await net.until(() => moved.view.has('s/b') && moved.events.at(-1)!.state!.behind === false);
  for (const node of net.nodes) {
    await net.until(() => node.names!.linkCount === 2);
    await net.elapse(5_000);
    const { instances } = await net.ask(client, node, listInstances, { namespace: 'n' });
    t.match(instances, [
      { instanceId: 'a', health: HEALTH_DRAINING, weight: 9 },
      { instanceId: 'b', health: HEALTH_UP },
    ]);
  }
});

t.test('a watcher that moves waits for what it has seen, and not longer', async (t) => {
  const net = new NameServerWorld(12, 3);
  await net.start();
  const [one, , three] = net.nodes;
  const client = await net.client('c');
  const watch = (await net.client('w')).watch(one!);
  const mover = await net.client('w2');
  let longestMs = 0;
  for (let i = 0; i < 20; i++) {
    net.world.network.block('n1', 'n3', 20);
    await net.register(client, one!, `i${i}`);
    await net.until(() => watch.view.has(`s/i${i}`));
    const beganMs = net.world.nowMs;
    const moved = mover.watch(three!, { known: watch.events.at(-1)!.state!.revision ?? [] });
    await net.until(() => moved.events.length > 0);
    longestMs = Math.max(longestMs, net.world.nowMs - beganMs);
    t.match(moved.events[0], { full: true, state: { behind: false } });
    t.equal(moved.view.size, i + 1);
  }
  t.ok(longestMs > 10 && longestMs < 450, `${longestMs} ms of virtual time`);
});

t.test('a service of which most falls sick at once is told as protected', async (t) => {
  const net = new NameServerWorld(13, 2);
  await net.start();
  const [one, two] = net.nodes;
  const staying = await net.client('stays');
  for (let i = 0; i < 4; i++) await net.register(staying, one!, `stays${i}`);
  const dying = await net.client('dies');
  for (let i = 0; i < 6; i++) await net.register(dying, one!, `dies${i}`);
  const watch = (await net.client('w')).watch(two!);
  const wide = (await net.client('w2')).watch(two!, { service: '' });
  await net.until(() => watch.view.size === 10 && wide.view.size === 10);
  t.notOk(watch.events.at(-1)!.state!.protected);
  net.world.process('dies').kill();
  await net.until(() => watch.events.at(-1)!.state!.protected === true);
  await net.until(() => wide.events.at(-1)!.state!.protected === true);
  t.equal(watch.view.size, 10);
  t.match((await net.ask(staying, two!, listServices, { namespace: 'n' })).services, [{ protected: true, healthy: 4 }]);
});

for (const onPeerLoss of ['freeze', 'expire'] as const) {
  t.test(`two name servers, one of which dies with a client: ${onPeerLoss}`, async (t) => {
    const net = new NameServerWorld(14, 2, { onPeerLoss });
    await net.start();
    const [one, two] = net.nodes;
    const client = await net.client('c');
    const other = await net.client('o');
    await net.register(client, one!, 'a');
    await net.register(other, two!, 'b');
    const watch = other.watch(two!);
    await net.until(() => watch.view.size === 2);
    await net.elapse(40_000);
    one!.kill();
    net.world.process('c').kill();
    await net.elapse(60_000);
    t.same([...watch.view.keys()].sort(), onPeerLoss === 'freeze' ? ['s/a', 's/b'] : ['s/b']);
    const { frozen } = await net.ask(other, two!, listNodes, {});
    t.equal(frozen, onPeerLoss === 'freeze');
    await net.ask(other, two!, register, { instance: other.instance('c', {}) });
    await net.until(() => watch.view.has('s/c'));
  });
}

t.test('two living processes of one id: one stops and says why', async (t) => {
  const net = new NameServerWorld(10, 3, {}, ['n1', 'n2', 'n1']);
  const [one, two, three] = net.nodes;
  one!.start();
  two!.start();
  await net.until(() => one!.names?.isReady === true && two!.names?.isReady === true);
  await net.elapse(10_000);
  three!.start();
  await net.until(() => one!.fatal !== undefined || three!.fatal !== undefined);
  const [stopped, goesOn] = one!.fatal === undefined ? [three!, one!] : [one!, three!];
  t.match(stopped.fatal, /another name server has the node id n1.*id of its own/);
  t.notOk(stopped.process.isAlive);
  await net.elapse(30_000);
  t.ok(goesOn.process.isAlive && goesOn.names!.isReady);
  t.ok(two!.names!.isReady);
});
