import t from 'tap';
import { Catalog } from '../../src/nameserver/catalog.js';
import { tickMs } from '../../src/nameserver/core/live-time.js';
import type { RegistryCore } from '../../src/nameserver/core/registry-core.js';
import type { OwnerPosition, RegistryViewState } from '../../src/nameserver/core/view-state.js';
import type { InstanceClaim } from '../../src/nameserver/instance.js';
import { type OverrideMode, Overrides } from '../../src/nameserver/overrides.js';
import { Selector } from '../../src/nameserver/selector.js';
import { StaticEntries } from '../../src/nameserver/static-entries.js';
import { type Watcher, WatchSet, type WatchTarget } from '../../src/nameserver/watch-set.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { loneCore } from './core/lone-core.js';

function claim(instanceId: string, incarnation: number, bytes = 0, more: Partial<InstanceClaim> = {}): InstanceClaim {
  return {
    group: '',
    namespace: 'n',
    service: 's',
    instanceId,
    addresses: [{ host: 'h', port: 1 }],
    zone: '',
    weight: 1,
    tags: [],
    metadata: { text: 'x'.repeat(bytes) },
    version: { incarnation, counter: 1 },
    ...more,
  };
}

const all: WatchTarget = { namespace: 'n', group: '', service: 's', selector: undefined, known: [] };

function watchSet(core: RegistryCore, overrides: Overrides = new Overrides(), statics: InstanceClaim[] = []): WatchSet {
  return new WatchSet(new Catalog(core, new StaticEntries(statics), overrides), core);
}

/** Flushes until nothing is left that can be taken. */
function flush(watches: WatchSet): void {
  while (watches.flush());
}

function settle(core: RegistryCore, watches: WatchSet): void {
  for (const effect of core.takeEffects()) {
    if (effect.kind === 'changed') {
      watches.changed(effect.namespace, effect.group, effect.service, effect.instanceId);
    }
    if (effect.kind === 'state') watches.stateChanged();
  }
}

/** What a client makes of events: only a list that is authoritative in all its parts removes by leaving out. */
class Picture {
  instances = new Map<string, taskd.Instance>();
  events = 0;
  #incoming: Map<string, taskd.Instance> | undefined;
  /** All parts of the list that is coming were authoritative. */
  #isSure = false;

  cut(): void {
    this.#incoming = undefined;
  }

  apply(message: taskd.WatchEvent.$Properties): void {
    const event = taskd.WatchEvent.decode(taskd.WatchEvent.encode(message).finish());
    this.events++;
    if (event.full) {
      this.#incoming = new Map();
      this.#isSure = true;
    }
    if (event.state?.authoritative !== true) this.#isSure = false;
    const into = this.#incoming ?? this.instances;
    for (const each of event.changed) into.set(`${each.service}/${each.instanceId}`, new taskd.Instance(each));
    if (event.state?.behind !== true) {
      for (const { service, instanceId } of event.removed) this.instances.delete(`${service}/${instanceId}`);
    }
    if (this.#incoming === undefined || event.more) return;
    this.instances = new Map([...(this.#isSure ? [] : this.instances), ...this.#incoming]);
    this.#incoming = undefined;
  }

  get ids(): string {
    return [...this.instances.keys()].sort().join();
  }
}

/** What a watcher of this target must end with. */
function truthOf(catalog: Catalog, { namespace, group, service, selector }: WatchTarget): string {
  const found: string[] = [];
  for (const name of service === '' ? catalog.serviceNames(namespace, group) : [service]) {
    for (const id of catalog.ids(namespace, group, name)) {
      const instance = catalog.find(namespace, group, name, id)!;
      if (selector?.matches(instance.claim) !== false) found.push(`${name}/${id}`);
    }
  }
  return found.sort().join();
}

const targets: readonly WatchTarget[] = [
  all,
  { ...all, service: '' },
  { ...all, selector: Selector.parse('tag=gpu') },
  { ...all, service: '', selector: Selector.parse('!canary,zone in (a,b)') },
  { ...all, group: 'g' },
];

/** Watchers that come and go and take events now and then, over a registry that changes; all must end with its list. */
function simulate(seed: number): void {
  const random = new SeededRandom(seed);
  let nowMs = 0;
  const core = loneCore(nowMs);
  const overrides = new Overrides();
  const statics = [claim('i0', 0), claim('fixed', 0, 0, { tags: ['gpu'], service: 't' })];
  const catalog = new Catalog(core, new StaticEntries(statics), overrides);
  const watches = new WatchSet(catalog, core);
  // Several of a kind, each of which takes events when it likes.
  const clients = [...targets, all, { ...all, service: '' }, all].map((target) => ({
    target,
    picture: new Picture(),
    watcher: undefined as Watcher | undefined,
    isOpen: true,
  }));
  type Client = (typeof clients)[number];
  const connect = (client: Client): void => {
    const push = (event: taskd.WatchEvent.$Properties): boolean => {
      if (client.isOpen) client.picture.apply(event);
      return client.isOpen;
    };
    client.watcher = watches.add(client.target, push, nowMs);
  };
  for (const client of clients) connect(client);
  let incarnation = 0;
  const large = random.below(3) === 0 ? 20_000 : 0;
  for (let i = 0; i < 600; i++) {
    nowMs += random.below(tickMs);
    core.tick(nowMs, 0);
    const name = {
      namespace: 'n',
      group: random.below(4) === 0 ? 'g' : '',
      service: random.below(3) === 0 ? 't' : 's',
      instanceId: `i${random.below(20)}`,
    };
    const session = random.below(6) + 100 * (i >> 6);
    const action = random.below(14);
    const client = clients[random.below(clients.length)]!;
    if (action < 5) {
      const tags = random.below(2) === 0 ? ['gpu'] : [];
      const more = { ...name, tags, zone: ['a', 'b', 'c'][random.below(3)]! };
      const registered = claim(name.instanceId, ++incarnation, large, more);
      core.register(session, random.below(2) === 0 ? registered : { ...registered, metadata: { canary: '1' } }, nowMs);
    } else if (action < 7) core.deregister(0, name, { incarnation, counter: 9 }, nowMs);
    else if (action === 7) core.closed(session, nowMs);
    else if (action === 8) client.isOpen = !client.isOpen;
    else if (action === 9 && random.below(4) === 0) {
      watches.remove(client.watcher!);
      client.picture.cut();
      connect(client);
    } else if (action === 10) watches.stateChanged();
    else if (action === 11) {
      const mode = (['enabled', 'draining', 'disabled'] as OverrideMode[])[random.below(3)]!;
      overrides.put(overrides.changed(name, { mode, weight: random.below(3) }, 'n1', nowMs + 1));
      watches.changed(name.namespace, name.group, name.service, name.instanceId);
    }
    settle(core, watches);
    for (const each of clients) if (each.isOpen) watches.resume(each.watcher!);
    if (random.below(3) === 0) watches.flush();
  }
  while (core.viewState().isCold) core.tick((nowMs += tickMs), 0);
  settle(core, watches);
  for (const each of clients) {
    each.isOpen = true;
    watches.resume(each.watcher!);
  }
  flush(watches);
  for (const { picture, target } of clients) {
    const truth = truthOf(catalog, target);
    if (picture.ids !== truth) throw new Error(`a watcher has ${picture.ids} and not ${truth}`);
    for (const seen of picture.instances.values()) {
      const { weight, health } = catalog.find(seen.namespace, seen.group, seen.service, seen.instanceId)!;
      if (seen.weight !== weight || taskd.Health[seen.health] !== `HEALTH_${health.toUpperCase()}`) {
        throw new Error(`${seen.instanceId}: another health or weight`);
      }
    }
  }
  if (watches.isDirty) throw new Error('something is left to tell');
}

t.test('every watcher ends with the registry’s list', (t) => {
  for (let seed = 1; seed <= 20; seed++) {
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
  const watches = watchSet(core);
  let isOpen = false;
  const picture = new Picture();
  const push = (event: taskd.WatchEvent.$Properties): boolean => {
    if (isOpen) picture.apply(event);
    return isOpen;
  };
  const watcher = watches.add(all, push, 0);
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
    flush(watches);
    if (watcher.nameCount > 1_100) {
      t.fail(`${watcher.nameCount} names wait`);
      break;
    }
  }
  isOpen = true;
  watches.resume(watcher);
  flush(watches);
  t.equal(picture.ids, 's/i19997,s/i19998,s/i19999');
  t.ok(picture.events <= 2, 'the latest state, not what was in between');
  t.equal(watches.size, 1);
  watches.remove(watcher);
  watches.remove(watcher);
  t.equal(watches.size, 0);
  t.end();
});

t.test('other services and namespaces are not told', (t) => {
  const core = loneCore(0);
  const watches = watchSet(core);
  const events: taskd.WatchEvent.$Properties[] = [];
  watches.add(all, (event) => events.push(event) > 0, 0);
  watches.flush();
  core.register(1, { ...claim('a', 1), service: 'other' }, 0);
  core.register(1, { ...claim('a', 1), namespace: 'other' }, 0);
  settle(core, watches);
  t.notOk(watches.isDirty);
  t.equal(events.length, 1, 'the first list');
  t.end();
});

t.test('a watcher whose client has seen more waits for it, then gets a list that is behind, then a sure one', (t) => {
  const core = loneCore(0);
  let isCovered = false;
  const state: RegistryViewState = {
    revision: [],
    staleMs: 0,
    isCold: false,
    isComplete: true,
    isFrozen: false,
    isReady: true,
  };
  const view = {
    viewState: () => state,
    covers: () => isCovered,
    isProtected: () => false,
    endedVersion: () => undefined,
  };
  const watches = new WatchSet(new Catalog(core, new StaticEntries([]), new Overrides()), view);
  const known: OwnerPosition[] = [{ owner: 'n2', incarnation: 1, sequence: 9 }];
  const events: taskd.WatchEvent.$Properties[] = [];
  const take = (event: taskd.WatchEvent.$Properties): boolean => events.push(event) > 0;
  core.register(1, claim('a', 1), 0);
  const watcher = watches.add({ ...all, known }, take, 0);
  settle(core, watches);
  watches.catchUp(499);
  flush(watches);
  t.equal(events.length, 0, 'it waits');
  watches.catchUp(500);
  flush(watches);
  t.match(events.splice(0), [
    { full: true, changed: [{ instanceId: 'a' }], state: { behind: true, authoritative: false } },
  ]);
  core.deregister(1, claim('a', 1), { incarnation: 1, counter: 1 }, 0);
  settle(core, watches);
  flush(watches);
  t.match(events.splice(0), [{ full: false, removed: [{ instanceId: 'a' }], state: { behind: true } }]);
  t.ok(watches.isOutrun);
  isCovered = true;
  watches.catchUp(600);
  flush(watches);
  t.match(events.splice(0), [{ full: true, changed: [], state: { behind: false, authoritative: true } }]);
  t.notOk(watches.isOutrun);
  watches.remove(watcher);
  watches.add({ ...all, known }, take, 600);
  flush(watches);
  t.match(events.splice(0), [{ full: true, state: { behind: false } }], 'covered from the beginning');
  isCovered = false;
  watches.add({ ...all, known }, take, 600);
  for (const nowMs of [1_100, 30_599, 30_600]) watches.catchUp(nowMs);
  flush(watches);
  t.notOk(watches.isOutrun, 'after 30 s the vector is taken for outdated');
  t.end();
});

t.test('an unsure list is sent again once it can be sure, and others only hear of the state', (t) => {
  const core = loneCore(0);
  let isComplete = false;
  const view = {
    viewState: (): RegistryViewState => ({ ...core.viewState(), isComplete }),
    covers: () => true,
    isProtected: () => false,
    endedVersion: () => undefined,
  };
  const watches = new WatchSet(new Catalog(core, new StaticEntries([]), new Overrides()), view);
  const events: taskd.WatchEvent.$Properties[] = [];
  watches.add(all, (event) => events.push(event) > 0, 0);
  flush(watches);
  watches.stateChanged();
  flush(watches);
  t.match(events.splice(0), [{ full: true }, { full: false, changed: [], state: { authoritative: false } }]);
  isComplete = true;
  watches.stateChanged();
  flush(watches);
  t.match(events.splice(0), [{ full: true, state: { authoritative: true } }]);
  watches.stateChanged();
  flush(watches);
  t.match(events.splice(0), [{ full: false, changed: [], state: { authoritative: true } }]);
  watches.protectionChanged('n', '', 's', true);
  watches.protectionChanged('n', '', 'other', true);
  flush(watches);
  t.equal(events.length, 1);
  t.end();
});

t.test('a selector tells what matches, and takes it back when it does no more', (t) => {
  const core = loneCore(0);
  const watches = watchSet(core);
  const events: taskd.WatchEvent.$Properties[] = [];
  watches.add({ ...all, selector: Selector.parse('tag=gpu') }, (event) => events.push(event) > 0, 0);
  flush(watches);
  events.length = 0;
  const register = (incarnation: number, ...tags: string[]): void => {
    core.register(1, claim('a', incarnation, 0, { tags }), 0);
    settle(core, watches);
    flush(watches);
  };
  register(1);
  t.equal(events.length, 0, 'nobody needs to hear of it');
  register(2, 'gpu');
  register(3, 'gpu', 'big');
  register(4);
  register(5);
  t.match(events, [
    { changed: [{ instanceId: 'a', tags: ['gpu'] }], removed: [] },
    { changed: [{ instanceId: 'a', tags: ['gpu', 'big'] }], removed: [] },
    { changed: [], removed: [{ service: 's', instanceId: 'a' }] },
  ]);
  t.equal(events.length, 3);
  t.end();
});

t.test('a flush tells so much and no more, everybody in turn', (t) => {
  const core = loneCore(0);
  const watches = watchSet(core);
  for (let i = 0; i < 6_000; i++) core.register(i >> 9, claim(`i${i}`, i + 1), 0);
  core.takeEffects();
  const pictures = Array.from({ length: 5 }, () => new Picture());
  for (const picture of pictures) {
    watches.add(
      all,
      (event) => {
        picture.apply(event);
        return true;
      },
      0,
    );
  }
  let flushes = 1;
  let parts = 0;
  while (watches.flush()) {
    flushes++;
    const events = pictures.map((picture) => picture.events);
    t.ok(Math.max(...events) - Math.min(...events) <= 1, 'nobody is far ahead');
    t.ok(events.reduce((sum, each) => sum + each) - parts <= 10, 'a bounded part');
    parts = events.reduce((sum, each) => sum + each);
  }
  t.ok(flushes >= 3, `${flushes} flushes`);
  for (const picture of pictures) t.equal(picture.instances.size, 6_000);
  t.end();
});

t.test('static entries stand in for who is not registered, and a person has the last word', (t) => {
  const core = loneCore(0);
  const overrides = new Overrides();
  const watches = watchSet(core, overrides, [claim('a', 0, 0, { weight: 5, version: { incarnation: 0, counter: 0 } })]);
  const picture = new Picture();
  watches.add(
    all,
    (event) => {
      picture.apply(event);
      return true;
    },
    0,
  );
  const seen = (): taskd.Instance => {
    settle(core, watches);
    flush(watches);
    return picture.instances.get('s/a')!;
  };
  const override = (mode: OverrideMode, weight: number): void => {
    overrides.put(overrides.changed(all0, { mode, weight }, 'n1', 1));
    watches.changed('n', '', 's', 'a');
  };
  const all0 = { namespace: 'n', group: '', service: 's', instanceId: 'a' };
  t.match(seen(), { weight: 5, version: { incarnation: 0 }, health: taskd.Health.HEALTH_UP });
  core.register(1, claim('a', 7), 0);
  t.match(seen(), { weight: 1, version: { incarnation: 7 } });
  override('draining', 33);
  t.match(seen(), { weight: 33, health: taskd.Health.HEALTH_DRAINING });
  core.register(1, claim('a', 8), 0);
  t.match(
    seen(),
    { weight: 33, health: taskd.Health.HEALTH_DRAINING, version: { incarnation: 8 } },
    'also of the next one',
  );
  core.deregister(1, all0, { incarnation: 9, counter: 1 }, 0);
  t.match(seen(), { weight: 33, health: taskd.Health.HEALTH_DRAINING, version: { incarnation: 0 } });
  override('enabled', 0);
  t.match(seen(), { weight: 5, health: taskd.Health.HEALTH_UP });
  t.end();
});

t.test('what is only out of sight is not told as gone, until that is certain', (t) => {
  const core = loneCore(0);
  let isComplete = true;
  let ended: number | undefined;
  const gone = new Set<string>();
  const view = {
    viewState: (): RegistryViewState => ({ ...core.viewState(), isComplete }),
    covers: () => true,
    isProtected: () => false,
    endedVersion: () => (ended === undefined ? undefined : { incarnation: ended, counter: 1 }),
  };
  const catalog = new Catalog(core, new StaticEntries([]), new Overrides());
  const find = catalog.find.bind(catalog);
  catalog.find = (namespace, group, service, id) => (gone.has(id) ? undefined : find(namespace, group, service, id));
  const watches = new WatchSet(catalog, view);
  const picture = new Picture();
  const push = (event: taskd.WatchEvent.$Properties): boolean => {
    picture.apply(event);
    return true;
  };
  watches.add(all, push, 0);
  core.register(1, claim('a', 5), 0);
  core.register(1, claim('b', 5), 0);
  const hide = (id: string): void => {
    gone.add(id);
    settle(core, watches);
    watches.changed('n', '', 's', id);
    flush(watches);
  };
  settle(core, watches);
  flush(watches);
  isComplete = false;
  watches.stateChanged();
  hide('a');
  t.equal(picture.ids, 's/a,s/b', 'perhaps its name server is only out of reach');
  ended = 4;
  hide('a');
  t.equal(picture.ids, 's/a,s/b', 'an end of an earlier version says nothing of this one');
  ended = 5;
  hide('a');
  t.equal(picture.ids, 's/b', 'a tombstone is certain');
  ended = undefined;
  hide('b');
  t.equal(picture.ids, 's/b');
  core.ids = () => [];
  isComplete = true;
  watches.stateChanged();
  flush(watches);
  t.equal(picture.ids, '', 'and so is a complete list');
  t.end();
});
