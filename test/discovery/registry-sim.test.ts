/**
 * Processes that come, register, watch, lose their connections and leave, over a name server that restarts empty now
 * and then, under a seed. No watcher ever misses a living instance that it has seen; at the end all see the same.
 */
import t from 'tap';
import { silentLogger } from '../../src/base/logger.js';
import { type Registration, Registry } from '../../src/discovery/registry.js';
import { NameServer } from '../../src/nameserver/name-server.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { loneNameServer } from '../support/lone-name-server.js';
import { LoopbackNet, LoopbackServer } from '../support/loopback.js';
import { ManualClock } from '../support/manual-clock.js';
import { TracedFiles } from '../support/traced-files.js';

interface Process {
  readonly name: string;
  readonly registry: Registry;
  readonly registration: Registration;
  readonly seen: Set<string>;
}

async function simulate(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const clock = new ManualClock();
  const net = new LoopbackNet(clock);
  net.delayMs = 1 + random.below(30);
  const files = new TracedFiles(new Map());
  const runtime = { clock, random, files, logger: silentLogger } as unknown as Runtime;
  const alive = new Map<string, Process>();
  let names: NameServer | undefined;
  let started = 0;

  const serve = async (): Promise<void> => {
    const services = new LoopbackServer();
    const identity = { nodeId: 'ns', incarnation: clock.wallMs(), roles: [], clusterId: 'c' };
    names = await NameServer.start(runtime, services, identity, loneNameServer);
    net.serve(1, services);
  };
  const come = (): void => {
    const name = `p${++started}`;
    const registry = new Registry(runtime, net.connections(name), [{ host: '127.0.0.1', port: 1 }], {
      clientId: name,
      kind: 'client',
    });
    const registration = registry.register({ service: 'shop', instanceId: name, addresses: [{ host: 'h', port: 1 }] });
    const process: Process = { name, registry, registration, seen: new Set() };
    alive.set(name, process);
    registry.watch('shop', (instances) => {
      const present = new Set(instances.map(({ instanceId }) => instanceId));
      for (const id of process.seen) {
        if (!present.has(id) && alive.has(id)) throw new Error(`${name} lost sight of ${id}, which lives`);
      }
      for (const id of present) process.seen.add(id);
    });
  };

  await serve();
  for (let i = 0; i < 4; i++) come();
  for (let i = 0; i < 60; i++) {
    const all = [...alive.values()];
    const process = all[random.below(Math.max(1, all.length))];
    const action = random.below(10);
    if (action < 2 && all.length < 8) {
      come();
    } else if (action === 2 && process !== undefined) {
      // With a farewell when a name server is there to hear it.
      alive.delete(process.name);
      void process.registry.close();
    } else if (action < 6 && process !== undefined) {
      net.cut(process.name);
    } else if (action === 6 && process !== undefined) {
      process.registration.update({ metadata: { step: `${i}` } });
    } else if (action === 7) {
      void names?.stop();
      net.serve(1, undefined);
      await clock.advance(random.below(6_000));
      await serve();
    }
    await clock.advance(random.below(4_000));
  }
  // Longer than cold and removal together.
  await clock.advance(60_000);
  const expected = [...alive.keys()].sort().join();
  for (const { name, registry } of alive.values()) {
    const list = registry.instances('shop')!;
    const ids = list.map(({ instanceId }) => instanceId).join();
    if (ids !== expected) throw new Error(`${name} sees ${ids} and not ${expected}`);
    if (list.some(({ health }) => health !== 'up')) throw new Error(`${name} suspects somebody`);
  }
  void names?.stop();
}

t.test('seeded processes', async (t) => {
  for (let seed = 1; seed <= Number(process.env['SEEDS'] ?? 5); seed++) {
    try {
      await simulate(seed);
    } catch (error) {
      t.fail(`seed ${seed}: ${(error as Error).message}`);
    }
  }
});
