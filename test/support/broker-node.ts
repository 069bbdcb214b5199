import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Broker, type BrokerOptions } from '../../src/broker/broker.js';
import { Producer } from '../../src/client/producer.js';
import type { ProducerOptions } from '../../src/client/producer-options.js';
import { fixedBrokers, TopicDirectory } from '../../src/client/topic-directory.js';
import { Connections } from '../../src/rpc/connections.js';
import { RpcServer } from '../../src/rpc/server.js';
import type { Address } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { MemoryLogger } from './rpc-pair.js';

interface Teardown {
  teardown(callback: () => unknown): void;
}

/** A folder that goes with the test. */
export function temporaryFolder(t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-broker-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A broker with real files behind a real socket. */
export class BrokerNode {
  readonly broker: Broker;
  readonly server: RpcServer;
  readonly address: Address;

  private constructor(broker: Broker, server: RpcServer, address: Address) {
    this.broker = broker;
    this.server = server;
    this.address = address;
  }

  static async start(
    runtime: Runtime,
    dataFolder: string,
    options: Partial<BrokerOptions> & { port?: number } = {},
  ): Promise<BrokerNode> {
    const identity = { nodeId: 'broker-1', incarnation: 1, roles: ['broker'], clusterId: '' };
    const server = new RpcServer(runtime, identity);
    let address: Address = { host: '127.0.0.1', port: options.port ?? 0 };
    const { port: _, ...given } = options;
    const all = { autoCreateTopics: false, ...given, dataFolder };
    const broker = await Broker.start(runtime, server, identity, () => address, all);
    address = await server.listen(address);
    return new BrokerNode(broker, server, address);
  }

  async stop(): Promise<void> {
    this.server.close();
    await this.broker.stop();
  }
}

/** What a program has that talks to brokers. */
export class ClientKit {
  readonly runtime: Runtime;
  readonly connections: Connections;
  readonly topics: TopicDirectory;
  readonly #producers: Producer[] = [];

  constructor(runtime: Runtime, address: Address) {
    this.runtime = runtime;
    this.connections = new Connections(runtime, { clientId: 'tester', kind: 'client' });
    this.topics = new TopicDirectory(runtime, this.connections, fixedBrokers(address));
  }

  producer(options: ProducerOptions = {}): Producer {
    const producer = new Producer(this.runtime, this.connections, this.topics, options);
    this.#producers.push(producer);
    return producer;
  }

  async close(): Promise<void> {
    for (const producer of this.#producers) producer.close();
    this.topics.close();
    await this.connections.close();
  }
}

/** One broker and one client, gone when the test ends. */
export async function brokerAndClient(
  t: Teardown,
  options: Partial<BrokerOptions> = {},
): Promise<{ node: BrokerNode; client: ClientKit; folder: string; runtime: Runtime; log: MemoryLogger }> {
  const folder = temporaryFolder(t);
  const log = new MemoryLogger();
  const runtime = nodeRuntime(log);
  const node = await BrokerNode.start(runtime, folder, options);
  const client = new ClientKit(runtime, node.address);
  t.teardown(async () => {
    await client.close();
    await node.stop();
  });
  return { node, client, folder, runtime, log };
}
