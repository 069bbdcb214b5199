import t from 'tap';
import { silentLogger } from '../../src/base/logger.js';
import { Discovery, type Instance, type NewInstance, type Service } from '../../src/discovery/discovery.js';
import { NameServer } from '../../src/nameserver/name-server.js';
import type { Connections } from '../../src/rpc/connections.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { loneNameServer } from '../support/lone-name-server.js';
import { LoopbackNet, LoopbackServer } from '../support/loopback.js';
import { ManualClock } from '../support/manual-clock.js';
import { TracedFiles } from '../support/traced-files.js';

const servers = [{ host: '127.0.0.1', port: 1 }];

class World {
  readonly clock: ManualClock = new ManualClock();
  readonly net: LoopbackNet = new LoopbackNet(this.clock);
  readonly runtime = {
    clock: this.clock,
    random: new SeededRandom(1),
    files: new TracedFiles(new Map()),
    logger: silentLogger,
  } as unknown as Runtime;

  async serve(): Promise<void> {
    const services = new LoopbackServer();
    const identity = { nodeId: 'ns', incarnation: this.clock.wallMs(), roles: ['nameserver'], clusterId: 'c' };
    await NameServer.start(this.runtime, services, identity, loneNameServer);
    this.net.serve(1, services);
  }

  discovery(clientId: string, zone = ''): Discovery {
    const connections = this.net.connections(clientId) as unknown as Connections;
    return new Discovery({ servers, clientId, zone, runtime: this.runtime }, connections);
  }
}

const shop = (instanceId: string, more: Partial<NewInstance> = {}): NewInstance => ({
  service: 'shop',
  instanceId,
  addresses: [{ host: 'h', port: 1 }],
  ...more,
});

function picked(service: Service, count: number, key?: string): Record<string, number> {
  const by: Record<string, number> = {};
  for (let i = 0; i < count; i++) {
    const { instanceId } = service.pick(key)!;
    by[instanceId] = (by[instanceId] ?? 0) + 1;
  }
  return by;
}

t.test('a service is registered by one program and called by another', async (t) => {
  const world = new World();
  await world.serve();
  const provider = world.discovery('provider');
  for (const [id, weight] of [
    ['a', 100],
    ['b', 300],
  ] as const) {
    provider.registry.register(shop(id, { weight }));
  }
  const caller = world.discovery('caller');
  const service = caller.service('shop', { picker: 'round-robin' });
  t.equal(service.pick(), undefined, 'nobody is known yet');
  await world.clock.advance(200);
  await service.known;
  t.same(picked(service, 8), { a: 2, b: 6 });
  for (let i = 0; i < 5; i++) service.done(service.instances[1]!, { latencyMs: 1, isOk: false });
  t.same(picked(service, 4), { a: 4 }, 'b fails all the time');
  t.same(
    caller
      .service('shop', { picker: 'broadcast' })
      .pickAll()
      .map(({ instanceId }: Instance) => instanceId),
    [],
  );
  world.net.serve(1, undefined);
  await world.clock.advance(60_000);
  t.same(Object.keys(picked(service, 40)).sort(), ['a', 'b'], 'without a name server, those that are known');
  service.close();
  t.throws(() => caller.service('shop', { picker: 'best' }), { message: /no picker "best"/, codeName: 'INVALID' });
  t.throws(() => new Discovery({ servers: [] }), { message: /servers is empty/, codeName: 'INVALID' });
  t.throws(() => new Discovery({ servers: ['nowhere'] }), { message: /no address/, codeName: 'INVALID' });
});

t.test("zone-first knows its callers' zones from the registry", async (t) => {
  const world = new World();
  await world.serve();
  const provider = world.discovery('provider');
  for (let i = 0; i < 4; i++) provider.registry.register(shop(`s${i}`, { zone: i === 0 ? 'east' : 'west' }));
  for (let i = 0; i < 2; i++) {
    provider.registry.register(shop(`caller${i}`, { service: 'desk', zone: i === 0 ? 'east' : 'west' }));
  }
  const service = world.discovery('caller', 'east').service('shop', { picker: 'zone-first', callers: 'desk' });
  await world.clock.advance(200);
  await service.known;
  // Half of the callers, a quarter of the weight: half of the calls stay.
  const { s0 = 0 } = picked(service, 2_000);
  t.ok(Math.abs(s0 - 1_000) < 100, `${s0} of 2000`);
});
