import t from 'tap';
import { ErrorCode, isTaskdError, type TaskdError } from '../../src/base/errors.js';
import type { Instance, NewInstance } from '../../src/discovery/instance.js';
import type { WatchScope } from '../../src/discovery/registry.js';
import { instance, World } from './registry-world.js';

const ports = [1, 2] as const;

function ids(instances: readonly Instance[] | undefined): string[] | undefined {
  return instances?.map(({ instanceId, health }) => (health === 'up' ? instanceId : `${instanceId}?`));
}

t.test('what is registered is seen by watchers, lists and instances', async (t) => {
  const world = new World();
  await world.serve(1);
  const watcher = world.client('watcher');
  const seen: (string[] | undefined)[] = [];
  t.equal(watcher.instances('shop'), undefined);
  watcher.watch('shop', (instances) => seen.push(ids(instances)));
  t.equal(watcher.instances('shop'), undefined, 'nothing is known yet');
  await world.clock.advance(100);
  t.same(seen, [[]]);

  const a = world.client('a');
  const registration = a.register(instance('a', { tags: ['x'], metadata: { shards: 'all' }, zone: 'z1', weight: 7 }));
  await world.clock.advance(100);
  await registration.registered;
  t.match(watcher.instances('shop'), [
    {
      instanceId: 'a',
      tags: ['x'],
      metadata: { shards: 'all' },
      zone: 'z1',
      weight: 7,
      health: 'up',
      namespace: 'taskd',
    },
  ]);
  registration.update({ metadata: { shards: '1,2' } });
  await world.clock.advance(100);
  t.match(watcher.instances('shop'), [{ metadata: { shards: '1,2' } }]);
  const listing = watcher.list();
  await world.clock.advance(100);
  t.same(ids(await listing), ['a']);
  await world.clock.advance(60_000);
  const closing = a.close();
  await world.clock.advance(100);
  await closing;
  t.same(seen, [[], ['a'], ['a'], []], 'true changes only');
  t.equal(world.servers.get(1)!.instanceCount, 0);
});

t.test('a second listener gets the list that is known; closing ends the calls', async (t) => {
  const world = new World();
  await world.serve(1);
  const client = world.client('c');
  client.register(instance('a'));
  let first = 0;
  let second = 0;
  const one = client.watch('shop', () => first++);
  await world.clock.advance(1_000);
  const two = client.watch('shop', () => second++);
  two.close();
  client.watch('shop', () => second++);
  one.close();
  await world.clock.advance(1_000);
  t.equal(second, 1);
  const before = first;
  client.register(instance('b'));
  await world.clock.advance(1_000);
  t.equal(first, before);
  t.equal(second, 2);
  t.equal(world.servers.get(1)!.watcherCount, 1, 'one stream for the service');
});

t.test('a lost connection: suspect at once, back with a higher version, no listener hears of a removal', async (t) => {
  const world = new World();
  await world.serve(1);
  const watcher = world.client('watcher');
  const seen: (string[] | undefined)[] = [];
  watcher.watch('shop', (instances) => seen.push(ids(instances)));
  const a = world.client('a');
  a.register(instance('a'));
  await world.clock.advance(1_000);
  world.net.cut('a');
  await world.clock.advance(2_000);
  t.same(seen, [[], ['a'], ['a?'], ['a']]);
  world.net.cut('watcher');
  t.same(ids(watcher.instances('shop')), ['a'], 'the list stays while cut off');
  await world.clock.advance(2_000);
  t.equal(seen.length, 4, 'and is the same afterwards');
  t.ok(watcher.isConnected);
});

t.test('a silent process is suspect after 9 s and gone after 15', async (t) => {
  const world = new World();
  await world.serve(1);
  const watcher = world.client('watcher');
  const seen: string[] = [];
  let start = 0;
  watcher.watch('shop', (instances) => {
    seen.push(`${ids(instances)!.join()} at ${Math.round((world.clock.ms - start) / 1_000)}`);
  });
  const a = world.client('a');
  a.register(instance('a'));
  await world.clock.advance(600);
  world.net.silence('a');
  start = world.clock.ms;
  await world.clock.advance(20_000);
  t.match(seen[2], /^a\? at (7|8|9)$/);
  t.match(seen[3], /^ at (13|14|15)$/);
  t.notOk(a.isConnected);
  world.net.unsilence('a');
  await world.clock.advance(20_000);
  t.equal(seen.length, 5);
  t.match(seen[4], /^a at/, 'back, registered anew');
});

t.test('a name server that answers nothing for two beats is left', async (t) => {
  const world = new World();
  for (const port of ports) await world.serve(port);
  const clients = ['a', 'b', 'c', 'd'].map((name) => world.client(name, ports));
  for (const [i, client] of clients.entries()) client.register(instance(`i${i}`));
  await world.clock.advance(2_000);
  t.not(world.servers.get(1)!.instanceCount, 0);
  t.not(world.servers.get(2)!.instanceCount, 0, 'clients spread when they start');
  world.net.silence(1);
  await world.clock.advance(11_000);
  t.equal(world.servers.get(2)!.instanceCount, 4);
  t.ok(clients.every((client) => client.isConnected));
});

t.test('a lost deregistration is noticed at a beat', async (t) => {
  const world = new World();
  await world.serve(1);
  const client = world.client('a');
  const one = client.register(instance('one'));
  client.register(instance('two'));
  await world.clock.advance(1_000);
  const { toServer } = world.net.link('a', 1);
  world.net.link('a', 1).toServer = () => {};
  const closing = one.close();
  await world.clock.advance(3_000);
  await closing;
  world.net.link('a', 1).toServer = toServer;
  t.equal(world.servers.get(1)!.instanceCount, 2, 'it lives on, on a connection that does');
  await world.clock.advance(12_000);
  t.equal(world.servers.get(1)!.instanceCount, 1, 'and was ended on the next one');
  const listing = client.list('shop');
  await world.clock.advance(100);
  t.same(ids(await listing), ['two']);
});

t.test('a name server that starts empty takes nothing away', async (t) => {
  const world = new World();
  await world.serve(1);
  const watcher = world.client('watcher');
  const a = world.client('a');
  const b = world.client('b');
  a.register(instance('a'));
  b.register(instance('b'));
  const seen: string[] = [];
  watcher.watch('shop', (instances) => seen.push(ids(instances)!.join()));
  await world.clock.advance(60_000);
  t.equal(seen.at(-1), 'a,b');
  const before = seen.length;
  world.stop(1);
  await world.clock.advance(10_000);
  // b dies meanwhile.
  void b.close();
  await world.serve(1);
  await world.clock.advance(20_000);
  t.equal(seen.length, before, 'the list is as it was: the server is cold');
  t.same(ids(watcher.instances('shop')), ['a', 'b']);
  await world.clock.advance(20_000);
  t.same(ids(watcher.instances('shop')), ['a'], 'warm, it can be believed');
});

t.test('the next name server is used when one is gone', async (t) => {
  const world = new World();
  for (const port of ports) await world.serve(port);
  const clients = ['a', 'b', 'c', 'd'].map((name) => world.client(name, ports));
  for (const [i, client] of clients.entries()) client.register(instance(`i${i}`));
  await world.clock.advance(2_000);
  t.equal(world.servers.get(1)!.instanceCount + world.servers.get(2)!.instanceCount, 4);
  world.stop(1);
  await world.clock.advance(10_000);
  t.equal(world.servers.get(2)!.instanceCount, 4);
  t.ok(clients.every((client) => client.isConnected));
});

t.test('none answers: list rejects, register waits', async (t) => {
  const world = new World();
  const client = world.client('a', ports);
  const registration = client.register(instance('a'));
  const listing = client.list().catch((error: unknown) => error);
  await world.clock.advance(30_000);
  t.ok(isTaskdError(await listing, ErrorCode.NOT_SENT));
  t.notOk(client.isConnected);
  await world.serve(2);
  await world.clock.advance(30_000);
  await registration.registered;
});

t.test('a restarted process takes over, even with its clock set back', async (t) => {
  const world = new World();
  await world.serve(1);
  const old = world.client('old');
  await world.clock.advance(1_000);
  const first = old.register(instance('a', { tags: ['old'] }));
  await world.clock.advance(1_000);
  await first.registered;
  // The old process is paused: it neither beats nor hears.
  world.net.link('old', 1).toServer = () => {};
  const wallMs = world.clock.wallMs.bind(world.clock);
  world.clock.wallMs = () => 1_000;
  const young = world.client('young');
  world.clock.wallMs = wallMs;
  const second = young.register(instance('a', { tags: ['new'] }));
  await world.clock.advance(3_000);
  await second.registered;
  const listing = young.list('shop');
  await world.clock.advance(100);
  t.match(await listing, [{ tags: ['new'] }]);
});

t.test('two living processes with one id: one of them is told', async (t) => {
  const world = new World();
  await world.serve(1);
  const clients = [world.client('a'), world.client('b')];
  const refused: TaskdError[] = [];
  for (const client of clients) client.register(instance('same'), (error) => refused.push(error));
  await world.clock.advance(60_000);
  const listing = clients[0]!.list('shop');
  await world.clock.advance(100);
  t.equal((await listing).length, 1);
  t.same(
    refused.map(({ codeName }) => codeName),
    ['DUPLICATE_ID'],
  );
  t.equal(world.servers.get(1)!.instanceCount, 1);
});

t.test('what is refused for good is refused once', async (t) => {
  const world = new World();
  await world.serve(1);
  const client = world.client('a');
  const wrong: NewInstance[] = [
    instance('with space'),
    instance('x'.repeat(200)),
    instance('a', { addresses: [] }),
    instance('b', { metadata: { key: 'v'.repeat(5_000) } }),
    instance('c', { tags: Array.from({ length: 100 }, (_, i) => `t${i}`) }),
    instance('d', { weight: 20_000 }),
  ];
  const outcomes = wrong.map((each) => client.register(each).registered.catch((error: unknown) => error));
  await world.clock.advance(5_000);
  for (const outcome of await Promise.all(outcomes)) t.ok(isTaskdError(outcome, ErrorCode.INVALID));
  t.equal(world.servers.get(1)!.instanceCount, 0);
  await client.close();
  await t.rejects(client.register(instance('late')).registered, { code: ErrorCode.CANCELLED });
  t.throws(() => client.watch('shop', () => {}), { code: ErrorCode.CANCELLED });
  t.throws(() => world.client('nobody', []), /at least one name server/);
});

t.test('a long list comes in parts, and in pages', async (t) => {
  const world = new World();
  await world.serve(1);
  const clients = ['a', 'b', 'c'].map((name) => world.client(name));
  const count = 900;
  for (let i = 0; i < count; i++) {
    clients[i % 3]!.register(instance(`i${String(i).padStart(4, '0')}`, { metadata: { text: 'x'.repeat(1_000) } }));
  }
  await world.clock.advance(3_000);
  const late = world.client('late');
  const sizes: number[] = [];
  late.watch('shop', (instances) => sizes.push(instances.length));
  await world.clock.advance(2_000);
  t.same(sizes, [count], 'whole, or not at all');
  const listing = late.list();
  await world.clock.advance(1_000);
  t.equal((await listing).length, count);
});

t.test('all name servers are gone: what is known stays, and a process that starts then has its cache', async (t) => {
  const world = new World();
  await world.serve(1);
  const path = '/var/cache/client';
  const server = world.client('server');
  server.register(instance('a'));
  const client = world.client('client', [1], path);
  const looking = client.known('shop');
  await world.clock.advance(2_000);
  t.same(ids(await looking), ['a']);
  world.stop(1);
  await world.clock.advance(120_000);
  t.same(ids(await client.known('shop')), ['a']);
  const leaving = client.close();
  await world.clock.advance(10);
  await leaving;

  const young = world.client('young', [1], path);
  const seen: (string[] | undefined)[] = [];
  young.watch('shop', (instances) => seen.push(ids(instances)));
  await world.clock.advance(1_500);
  t.same(seen, [['a']]);
  t.same(ids(await young.known('shop')), ['a']);
  const late: (string[] | undefined)[] = [];
  young.watch('shop', (instances) => late.push(ids(instances)));
  await world.clock.advance(10);
  t.same(late, [['a']]);
  const unknown = young.known('other').catch((error: unknown) => error);
  const cold = world.client('cold').known('shop');
  const refused = cold.catch((error: unknown) => error);
  await world.clock.advance(6_000);
  t.ok(isTaskdError(await unknown, ErrorCode.NOT_SENT));
  t.ok(isTaskdError(await refused, ErrorCode.NOT_SENT), 'without a cache nothing is known');

  // They come back without knowing anything, and the instance's process is dead by now.
  void server.close();
  await world.serve(1);
  await world.clock.advance(10_000);
  t.ok(young.isConnected);
  t.same(seen, [['a']], 'they are cold: nothing is taken away');
  await world.clock.advance(60_000);
  t.same(seen, [['a'], []]);
});

t.test('a name server that answers comes before the cache', async (t) => {
  const world = new World();
  await world.serve(1);
  const path = '/var/cache/client';
  const server = world.client('server');
  const registration = server.register(instance('old'));
  const client = world.client('client', [1], path);
  client.watch('shop', () => {});
  await world.clock.advance(60_000);
  const closing = client.close();
  await world.clock.advance(10);
  await closing;
  void registration.close();
  server.register(instance('new'));
  await world.clock.advance(1_000);
  const young = world.client('young', [1], path);
  const seen: (string[] | undefined)[] = [];
  young.watch('shop', (instances) => seen.push(ids(instances)));
  await world.clock.advance(3_000);
  t.same(seen, [['new']]);
  t.throws(() => world.client('wrong', [1], 'relative'), /absolute path/);
});

t.test('a lookup is a watch from then on', async (t) => {
  const world = new World();
  await world.serve(1);
  const client = world.client('client');
  const looking = [client.known('shop'), client.known('shop'), client.known('shop')];
  await world.clock.advance(1_000);
  for (const each of looking) t.same(await each, []);
  t.equal(world.servers.get(1)!.watcherCount, 1);
  world.client('server').register(instance('a'));
  await world.clock.advance(1_000);
  t.same(ids(await client.known('shop')), ['a']);
  const wrong = client.known('shop', { selector: 'a=' }).catch((error: unknown) => error);
  await world.clock.advance(100);
  t.ok(isTaskdError(await wrong, ErrorCode.INVALID));
  const closing = client.close();
  await world.clock.advance(10);
  await closing;
  await t.rejects(client.known('other'), { code: ErrorCode.CANCELLED });
});

t.test('groups and selectors', async (t) => {
  const world = new World();
  await world.serve(1);
  const server = world.client('server');
  server.register(instance('a', { tags: ['gpu'], zone: 'east' }));
  server.register(instance('b', { zone: 'west' }));
  const other = server.register(instance('a', { group: 'blue' }));
  const client = world.client('client');
  const lists = new Map<string, string[] | undefined>();
  const look = (name: string, service: string, scope: WatchScope): void => {
    client.watch(service, (instances) => lists.set(name, ids(instances)), scope);
  };
  look('all', 'shop', {});
  look('gpu', 'shop', { selector: 'tag=gpu' });
  look('west', 'shop', { selector: 'zone=west' });
  look('blue', 'shop', { group: 'blue' });
  look('wide', '', { group: 'blue' });
  let refusal: TaskdError | undefined;
  client.watch(
    'shop',
    () => {},
    { selector: '=' },
    (error) => void (refusal = error),
  );
  await world.clock.advance(1_000);
  t.same(Object.fromEntries(lists), { all: ['a', 'b'], gpu: ['a'], west: ['b'], blue: ['a'], wide: ['a'] });
  t.equal(refusal?.codeName, 'INVALID');
  t.match(client.instances('shop', { group: 'blue' }), [{ group: 'blue', instanceId: 'a' }]);
  const listing = client.list('shop', { group: 'blue' });
  const chosen = client.list('shop', { selector: 'zone!=west' });
  await world.clock.advance(1_000);
  t.equal((await listing).length, 1);
  t.same(ids(await chosen), ['a']);
  void other.close();
  await world.clock.advance(1_000);
  t.same(lists.get('blue'), []);
  t.same(lists.get('all'), ['a', 'b'], 'the one of the other group is gone, and only that');
});
