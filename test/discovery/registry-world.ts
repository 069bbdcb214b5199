import { silentLogger } from '../../src/base/logger.js';
import type { NewInstance } from '../../src/discovery/instance.js';
import { Registry } from '../../src/discovery/registry.js';
import { NameServer } from '../../src/nameserver/name-server.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { loneNameServer } from '../support/lone-name-server.js';
import { LoopbackNet, LoopbackServer } from '../support/loopback.js';
import { ManualClock } from '../support/manual-clock.js';
import { TracedFiles } from '../support/traced-files.js';

/** Name servers and clients over a network that never fails, with a clock that is moved by hand. */
export class World {
  readonly clock: ManualClock = new ManualClock();
  readonly net: LoopbackNet = new LoopbackNet(this.clock);
  readonly random: SeededRandom = new SeededRandom(1);
  readonly servers: Map<number, NameServer> = new Map();

  readonly files: TracedFiles = new TracedFiles(new Map());

  get runtime(): Runtime {
    const { clock, random, files } = this;
    return { clock, random, files, logger: silentLogger } as unknown as Runtime;
  }

  async serve(port: number): Promise<NameServer> {
    const services = new LoopbackServer();
    const identity = { nodeId: `ns-${port}`, incarnation: this.clock.wallMs(), roles: ['nameserver'], clusterId: 'c' };
    const server = await NameServer.start(this.runtime, services, identity, loneNameServer);
    this.servers.set(port, server);
    this.net.serve(port, services);
    return server;
  }

  stop(port: number): void {
    this.net.serve(port, undefined);
    void this.servers.get(port)?.stop();
    this.servers.delete(port);
  }

  client(name: string, on: readonly number[] = [1], cachePath?: string): Registry {
    const addresses = on.map((port) => ({ host: '127.0.0.1', port }));
    const self = { clientId: name, kind: 'client' };
    return new Registry(this.runtime, this.net.connections(name), addresses, self, cachePath);
  }
}

/** An instance of the service `shop`. */
export function instance(instanceId: string, more: Partial<NewInstance> = {}): NewInstance {
  return { service: 'shop', instanceId, addresses: [{ host: '127.0.0.1', port: 7_000 }], ...more };
}
