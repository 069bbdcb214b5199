import fc from 'fast-check';
import t from 'tap';
import { MetricSet } from '../../src/base/counters.js';
import { silentLogger } from '../../src/base/logger.js';
import { Registry } from '../../src/discovery/registry.js';
import { NameServer } from '../../src/nameserver/name-server.js';
import { Connections } from '../../src/rpc/connections.js';
import { type NodeIdentity, RpcServer } from '../../src/rpc/server.js';
import type { Address } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { taskd } from '../../src/wire/generated/messages.js';
import {
  beat,
  deregister,
  listInstances,
  listNodes,
  listOverrides,
  listServices,
  type Method,
  register,
  registryPeer,
  setOverride,
  watchInstances,
} from '../../src/wire/methods.js';
import { loneNameServer } from '../support/lone-name-server.js';
import { LoopbackServer } from '../support/loopback.js';
import { ManualClock } from '../support/manual-clock.js';
import { TracedFiles } from '../support/traced-files.js';

const identity: NodeIdentity = { nodeId: 'ns-1', incarnation: 1, roles: ['nameserver'], clusterId: 'c' };
const runtime: Runtime = nodeRuntime(silentLogger);
const over = (files: TracedFiles): Runtime => ({ ...runtime, files });

async function serve(): Promise<{ server: RpcServer; names: NameServer; address: Address }> {
  const server = new RpcServer(runtime, identity);
  const names = await NameServer.start(over(new TracedFiles(new Map())), server, identity, loneNameServer);
  return { server, names, address: await server.listen({ host: '127.0.0.1', port: 0 }) };
}

interface Client {
  registry: Registry;
  connections: Connections;
  close(): Promise<void>;
}

function client(name: string, servers: readonly Address[]): Client {
  const self = { clientId: name, kind: 'client' };
  const connections = new Connections(runtime, self);
  const registry = new Registry(runtime, connections, servers, self);
  return {
    registry,
    connections,
    async close() {
      await registry.close();
      await connections.close();
    },
  };
}

/** Waits until the service's list is these ids. */
function until(registry: Registry, ...ids: string[]): Promise<void> {
  return new Promise((resolve) => {
    const watch = registry.watch('shop', (instances) => {
      if (instances.map(({ instanceId, health }) => `${instanceId}${health === 'up' ? '' : '?'}`).join() !== ids.join())
        return;
      watch.close();
      resolve();
    });
  });
}

t.test('over real sockets: register, watch, move to another name server, leave', async (t) => {
  const one = await serve();
  const two = await serve();
  const watcher = client('watcher', [two.address]);
  const a = client('a', [one.address, two.address]);
  const b = client('b', [two.address]);
  const address = { host: '127.0.0.1', port: 7 };
  const registration = a.registry.register({ service: 'shop', instanceId: 'a', addresses: [address] });
  b.registry.register({ service: 'shop', instanceId: 'b', addresses: [address] });
  await registration.registered;
  // One of the two has it; with that one gone, the other will.
  await one.names.leave();
  await one.server.drain();
  await one.names.stop();
  await until(watcher.registry, 'a', 'b');
  await a.close();
  await until(watcher.registry, 'b');
  t.equal(two.names.instanceCount, 1);
  const listed = await watcher.registry.list();
  t.match(listed, [{ instanceId: 'b', addresses: [address] }]);
  // A connection that just goes is suspicious, not a farewell.
  await b.connections.close();
  await until(watcher.registry, 'b?');
  await b.close();
  await watcher.close();
  await two.names.leave();
  await two.server.drain();
  await two.names.stop();
  t.equal(two.names.watcherCount, 0);
});

t.test('random bytes as requests are answered, whatever they are', async (t) => {
  const services = new LoopbackServer();
  const clock = new ManualClock();
  const names = await NameServer.start(
    {
      clock,
      logger: silentLogger,
      random: new SeededRandom(1),
      files: new TracedFiles(new Map()),
    } as unknown as Runtime,
    services,
    identity,
    loneNameServer,
  );
  let peers = 0;
  const text = fc.oneof(fc.constantFrom('', 'a', 'taskd', 'shop', 'with space'), fc.string());
  const version = fc.record({ incarnation: fc.maxSafeNat(), counter: fc.nat() }, { requiredKeys: [] });
  const instance = fc.record(
    {
      namespace: text,
      service: text,
      instanceId: text,
      addresses: fc.constantFrom([], [{ host: 'h', port: 1 }]),
      version,
    },
    { requiredKeys: [] },
  );
  const wellFormed = fc.record(
    { instance, namespace: text, group: text, service: text, instanceId: text, after: text, version, selector: text },
    { requiredKeys: [] },
  );
  const method = fc.constantFrom<Method>(
    register as unknown as Method,
    deregister as unknown as Method,
    listInstances as unknown as Method,
    watchInstances as unknown as Method,
    beat as unknown as Method,
    listNodes as unknown as Method,
    listServices as unknown as Method,
    listOverrides as unknown as Method,
    setOverride as unknown as Method,
  );
  const serve = (method: Method, request: unknown): boolean => {
    let answers = 0;
    let abort = 0;
    const peer = { id: ++peers % 50, onClose() {}, onActivity() {}, abort: () => abort++ };
    const other = {
      peer,
      credit: 1,
      push: (event: unknown) => method.answer.encode(event) !== undefined,
      reply: (answer: unknown) => {
        method.answer.encode(answer);
        answers++;
      },
      fail: () => answers++,
      end: () => answers++,
      onClose: (callback: () => void) => callback(),
      onWritable() {},
    };
    services.handlers.get(method.id)!(request, other, undefined);
    // An override answers when it is on disk.
    return method.shape === 'stream' || method.id === setOverride.id ? answers <= 1 : answers === 1;
  };
  fc.assert(
    fc.property(method, wellFormed, (method, request) =>
      serve(method, method.request.decode(method.request.encode(request).finish())),
    ),
    { numRuns: 2_000 },
  );
  fc.assert(
    fc.property(method, fc.uint8Array({ maxLength: 60 }), (method, bytes) => {
      let request: unknown;
      try {
        request = method.request.decode(bytes);
      } catch {
        return true;
      }
      return serve(method, request);
    }),
    { numRuns: 3_000 },
  );
  await clock.advance(60_000);
  t.equal(names.watcherCount, 0);
  await names.stop();
});

t.test('every number of a name server can be read', async (t) => {
  const { server, names } = await serve();
  const metrics = new MetricSet();
  names.registerMetrics(metrics);
  const read = new Map(
    metrics.all().map(({ name, labels, read }) => [`${name} ${labels['kind'] ?? ''}`.trim(), read()]),
  );
  for (const [name, value] of read) t.ok(Number.isFinite(value), name);
  t.equal(read.get('nameserver_ready'), 1);
  t.equal(read.get('nameserver_frozen'), 0);
  t.equal(read.get('nameserver_frames_sent_total delta'), 0);
  t.equal(read.size, metrics.all().length, 'no two have one name');
  const [owners] = metrics.families();
  t.same(new Map(owners!.read()).get('self'), 1);
  await names.stop();
  server.close();
});

t.test('random frames of peers do no harm, whatever they say', async (t) => {
  const services = new LoopbackServer();
  const clock = new ManualClock();
  const net = { dial: () => Promise.reject(new Error('nobody is there')) };
  const parts = { clock, logger: silentLogger, random: new SeededRandom(1), files: new TracedFiles(new Map()), net };
  let stopped = 0;
  const options = { ...loneNameServer, peers: [{ host: 'h', port: 1 }], onFatal: () => stopped++ };
  const names = await NameServer.start(parts as unknown as Runtime, services, identity, options);
  await clock.advance(12_000);
  const name = fc.oneof(fc.constantFrom('n2', 'ns-1', '', 'a b'), fc.string({ maxLength: 5 }));
  const number = fc.oneof(fc.nat(5), fc.maxSafeNat());
  const version = fc.record({ incarnation: number, counter: number }, { requiredKeys: [] });
  const key = { namespace: name, group: name, service: name, instanceId: name };
  const override = fc.record(
    { ...key, mode: fc.nat(5), weight: fc.nat(20_000), modeAtMs: number, modeNodeId: name },
    { requiredKeys: [] },
  );
  const addresses = fc.array(fc.constant({ host: 'h', port: 1 }), { maxLength: 2 });
  const instance = fc.record({ ...key, addresses, version, health: fc.nat(5) }, { requiredKeys: [] });
  const end = fc.record({ ...key, version, movedBy: version }, { requiredKeys: [] });
  const change = fc.oneof(fc.record({ put: instance }), fc.record({ end }));
  const log = { owner: name, incarnation: number, sequence: number };
  const body = fc.oneof(
    fc.record({
      beat: fc.record({ ages: fc.array(fc.record({ owner: name, ageMs: fc.nat() })), asksDigest: fc.boolean() }),
    }),
    fc.record({
      digest: fc.record(
        {
          owners: fc.array(fc.record({ ...log, hashA: fc.nat(), ageMs: fc.nat() })),
          ready: fc.boolean(),
          overridesA: fc.nat(),
        },
        { requiredKeys: [] },
      ),
    }),
    fc.record({
      delta: fc.record({ ...log, from: number, changes: fc.array(change, { maxLength: 5 }) }, { requiredKeys: [] }),
    }),
    fc.record({
      pull: fc.record(
        { ...log, whole: fc.boolean(), snapshot: number, chunk: fc.nat(), remains: fc.boolean() },
        { requiredKeys: [] },
      ),
    }),
    fc.record({
      snapshotChunk: fc.record(
        {
          ...log,
          snapshot: number,
          chunk: fc.nat(3),
          last: fc.boolean(),
          instances: fc.array(instance, { maxLength: 3 }),
          tombstones: fc.array(end, { maxLength: 3 }),
        },
        { requiredKeys: [] },
      ),
    }),
    fc.record({ overrides: fc.record({ overrides: fc.array(override, { maxLength: 3 }) }) }),
    fc.record({ hidden: fc.record({ by: fc.array(end, { maxLength: 2 }) }) }),
    fc.constantFrom(
      { overridesPull: {} },
      { ownerLeave: {} },
      { incarnationQuestion: {} },
      { incarnationTold: { incarnation: 7 } },
      { deltaAck: {} },
      {},
    ),
  );
  const sender = fc.constantFrom('n2', 'n3');
  const receive = (frame: taskd.PeerFrame, clientId: string): void => {
    services.handlers.get(registryPeer.id)!(frame, { id: 1, clientId, abort() {} }, undefined);
  };
  await fc.assert(
    fc.asyncProperty(sender, number, body, async (sender, incarnation, body) => {
      const frame = { sender, incarnation, boot: 1, ...body };
      receive(taskd.PeerFrame.decode(taskd.PeerFrame.encode(frame).finish()), sender);
      await clock.advance(10);
    }),
    { numRuns: 2_000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      let frame: taskd.PeerFrame;
      try {
        frame = taskd.PeerFrame.decode(bytes);
      } catch {
        return;
      }
      receive(frame, frame.sender);
    }),
    { numRuns: 3_000 },
  );
  await clock.advance(120_000);
  t.equal(stopped, 0, 'others can not stop it by what they say of its incarnation');
  await names.stop();
});
