import t from 'tap';
import { WatchView } from '../../src/discovery/watch-view.js';
import { type RegistryCore, tickMs } from '../../src/nameserver/core/registry-core.js';
import type { InstanceClaim } from '../../src/nameserver/instance.js';
import { type Watcher, WatchSet } from '../../src/nameserver/watch-set.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { loneCore } from './core/lone-core.js';

function claim(instanceId: string, incarnation: number, bytes = 0): InstanceClaim {
  const metadata = { text: 'x'.repeat(bytes) };
  const version = { incarnation, counter: 1 };
  const address = { host: 'h', port: 1 };
  return {
    namespace: 'n',
    group: '',
    service: 's',
    instanceId,
    addresses: [address],
    zone: '',
    weight: 1,
    tags: [],
    metadata,
    version,
  };
}

function settle(core: RegistryCore, watches: WatchSet): void {
  for (const effect of core.takeEffects()) {
    if (effect.kind === 'changed') watches.changed(effect.namespace, effect.service, effect.instanceId);
  }
}

function copy(event: taskd.WatchEvent.$Properties): taskd.WatchEvent {
  return taskd.WatchEvent.decode(taskd.WatchEvent.encode(event).finish());
}

/** Watchers that come and go and take events now and then, over a registry that changes; all must end with its list. */
function simulate(seed: number): void {
  const random = new SeededRandom(seed);
  let nowMs = 0;
  const core = loneCore(nowMs);
  const watches = new WatchSet(core, () => ({ authoritative: !core.viewState().isCold }));
  interface Client {
    view: WatchView;
    watcher: Watcher | undefined;
    isOpen: boolean;
    hasPicture: boolean;
  }
  const clients: Client[] = Array.from({ length: 5 }, () => ({
    view: new WatchView(),
    watcher: undefined,
    isOpen: true,
    hasPicture: false,
  }));
  const connect = (client: Client): void => {
    client.watcher = watches.add('n', 's', (event) => {
      if (!client.isOpen) return false;
      client.view.apply(copy(event));
      return true;
    });
  };
  for (const client of clients) connect(client);
  let incarnation = 0;
  const large = random.below(3) === 0 ? 20_000 : 0;
  for (let i = 0; i < 600; i++) {
    nowMs += random.below(tickMs);
    core.tick(nowMs, 0);
    const id = `i${random.below(20)}`;
    const session = random.below(6);
    const action = random.below(12);
    const client = clients[random.below(clients.length)]!;
    if (action < 4) core.register(session + 100 * (i >> 6), claim(id, ++incarnation, large), nowMs);
    else if (action < 6)
      core.deregister(
        0,
        { namespace: 'n', group: '', service: 's', instanceId: id },
        { incarnation, counter: 9 },
        nowMs,
      );
    else if (action === 6) core.closed(session + 100 * (i >> 6), nowMs);
    else if (action === 7) client.isOpen = !client.isOpen;
    else if (action === 8 && random.below(4) === 0) {
      watches.remove(client.watcher!);
      client.view.cut();
      connect(client);
    } else if (action === 9 && random.below(20) === 0) watches.listAll();
    settle(core, watches);
    for (const each of clients) if (each.isOpen) watches.resume(each.watcher!);
    if (random.below(3) === 0) watches.flush();
  }
  while (core.viewState().isCold) core.tick((nowMs += tickMs), 0);
  settle(core, watches);
  watches.listAll();
  for (const each of clients) {
    each.isOpen = true;
    watches.resume(each.watcher!);
  }
  watches.flush();
  const truth = core.ids('n', '', 's').sort();
  for (const { view } of clients) {
    const ids = view.list!.map(({ instanceId }) => instanceId);
    if (ids.join() !== truth.join()) throw new Error(`a watcher has ${ids.join()} and not ${truth.join()}`);
    for (const instance of view.list!) {
      if (
        instance.health !==
        core.visible({ namespace: 'n', group: '', service: 's', instanceId: instance.instanceId })!.health
      )
        throw new Error('another health');
    }
  }
  if (watches.isDirty) throw new Error('something is left to tell');
}

t.test('every watcher ends with the registry’s list', (t) => {
  for (let seed = 1; seed <= 12; seed++) {
    try {
      simulate(seed);
    } catch (error) {
      t.fail(`seed ${seed}: ${(error as Error).message}`);
    }
  }
  t.end();
});

t.test('a watcher that takes nothing costs no more than the service, whatever changes', (t) => {
  const core = loneCore(0);
  const watches = new WatchSet(core, () => ({ authoritative: true }));
  let isOpen = false;
  const view = new WatchView();
  const watcher = watches.add('n', 's', (event) => {
    if (isOpen) view.apply(copy(event));
    return isOpen;
  });
  for (let i = 0; i < 20_000; i++) {
    core.register(1, claim(`i${i}`, i + 1), 0);
    if (i >= 3) {
      core.deregister(
        1,
        { namespace: 'n', group: '', service: 's', instanceId: `i${i - 3}` },
        { incarnation: i + 1, counter: 1 },
        0,
      );
    }
    settle(core, watches);
    watches.flush();
    const waiting = watcher.changed.size + (watcher.listing?.length ?? 0);
    if (waiting > 1_100) {
      t.fail(`${waiting} names wait`);
      break;
    }
  }
  isOpen = true;
  watches.resume(watcher);
  watches.flush();
  t.same(
    view.list!.map(({ instanceId }) => instanceId),
    ['i19997', 'i19998', 'i19999'],
  );
  t.equal(watches.size, 1);
  watches.remove(watcher);
  watches.remove(watcher);
  t.equal(watches.size, 0);
  t.end();
});

t.test('other services and namespaces are not told', (t) => {
  const core = loneCore(0);
  const watches = new WatchSet(core, () => ({}));
  const events: taskd.WatchEvent.$Properties[] = [];
  watches.add('n', 's', (event) => events.push(event) > 0);
  watches.flush();
  core.register(1, { ...claim('a', 1), service: 'other' }, 0);
  core.register(1, { ...claim('a', 1), namespace: 'other' }, 0);
  settle(core, watches);
  t.notOk(watches.isDirty);
  t.equal(events.length, 1, 'the first list');
  t.end();
});
