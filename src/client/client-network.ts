import { AskOrder } from '../discovery/ask-order.js';
import { checkCachePath } from '../discovery/cache-file.js';
import { brokerService, schedulerService } from '../discovery/instance.js';
import { parseServers } from '../discovery/name-servers.js';
import { Registry } from '../discovery/registry.js';
import type { ClientIdentity } from '../rpc/connection.js';
import { Connections } from '../rpc/connections.js';
import { type Address, formatAddress } from '../runtime/net.js';
import { nodeRuntime } from '../runtime/node/node-runtime.js';
import { StderrLogger } from '../runtime/node/stderr-logger.js';
import type { Runtime } from '../runtime/runtime.js';
import { checkName } from './job-definition.js';
import { Producer } from './producer.js';
import type { ProducerOptions } from './producer-options.js';
import type { SchedulerNetwork } from './schedulers.js';
import type { RecordSender } from './shard-log.js';
import { TopicDirectory } from './topic-directory.js';
import type { QueueNetwork } from './topic-producer.js';

export interface ClientOptions {
  /** Name servers, as `host:port` or addresses; standalone is one. */
  readonly servers: readonly string[] | readonly Address[];
  /** Default: the real one, with warnings and errors on standard error. */
  readonly runtime?: Runtime;
  /** What the brokers know this program by, for quotas and logs. Default: a random name. */
  readonly clientId?: string;
  /** How long what is submitted may wait for a broker that takes it, say on a full disk. Default 2 minutes. */
  readonly deliveryTimeoutMs?: number;
  /**
   * An absolute path: the brokers and schedulers that were known last are kept in this file, to start from while no name
   * server answers. Each process needs a file of its own. Default: none.
   */
  readonly discoveryCache?: string;
}

/** Whoever closes while the broker is away wants to be gone, not to wait out the delivery timeout. */
const closeWaitMs = 5_000;

/** An instance of a service, as discovery knows it. */
export interface NodeInfo {
  readonly service: string;
  readonly instanceId: string;
  readonly addresses: readonly string[];
  readonly health: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The part of a topic directory that clients of jobs need. */
export type TopicSource = Pick<TopicDirectory, 'named' | 'create' | 'ask' | 'forgetNamed'>;

/** All that a client needs of the world around it. */
export interface ClientNetwork extends SchedulerNetwork {
  readonly sender: RecordSender;
  readonly topics: TopicSource;
  /** What producers and consumers share. */
  queues(): QueueNetwork;
  nodes(): Promise<readonly NodeInfo[]>;
  /** Waits for what was given, for 5 seconds at most, then closes all connections. */
  close(): Promise<void>;
}

export function runtimeOf(options: { readonly runtime?: Runtime }): Runtime {
  return options.runtime ?? nodeRuntime(new StderrLogger());
}

/** A real cluster. Nothing is dialled before it is needed. */
export class ClusterNetwork implements ClientNetwork {
  readonly clock: Runtime['clock'];
  readonly topics: TopicDirectory;
  readonly sender: Producer;
  readonly #runtime: Runtime;
  readonly #servers: readonly Address[];
  readonly #self: ClientIdentity;
  readonly #connections: Connections;
  readonly #brokers: AskOrder;
  readonly #schedulers: AskOrder;
  readonly #discoveryCache: string | undefined;
  #registry: Registry | undefined;

  /** `discoveryCache` is as in `ClientOptions`. */
  constructor(
    runtime: Runtime,
    servers: readonly Address[],
    self: ClientIdentity,
    discoveryCache?: string,
    sending: ProducerOptions = {},
  ) {
    this.#runtime = runtime;
    this.#servers = servers;
    this.#self = self;
    this.#discoveryCache = discoveryCache;
    this.clock = runtime.clock;
    this.#connections = new Connections(runtime, self);
    this.#brokers = new AskOrder(runtime.random, runtime.clock);
    this.#schedulers = new AskOrder(runtime.random, runtime.clock);
    this.topics = new TopicDirectory(runtime, this.#connections, {
      brokers: async () => this.#brokers.of(await this.#discovery().known(brokerService)),
      told: (broker, error) => this.#brokers.told(broker, error),
    });
    this.sender = new Producer(runtime, this.#connections, this.topics, sending);
  }

  async schedulers(): Promise<readonly Address[]> {
    return this.#schedulers.of(await this.#discovery().known(schedulerService));
  }

  told(scheduler: Address, error?: unknown): void {
    this.#schedulers.told(scheduler, error);
  }

  callerTo(address: Address): ReturnType<Connections['to']> {
    return this.#connections.to(address);
  }

  queues(): QueueNetwork {
    return { runtime: this.#runtime, callers: this.#connections, topics: this.topics };
  }

  async nodes(): Promise<readonly NodeInfo[]> {
    const instances = await this.#discovery().list();
    return instances.map(({ service, instanceId, addresses, health, metadata }) => ({
      service,
      instanceId,
      addresses: addresses.map(formatAddress),
      health,
      metadata,
    }));
  }

  async close(): Promise<void> {
    await this.sender.flush(closeWaitMs);
    this.sender.close();
    this.topics.close();
    await this.#registry?.close();
    await this.#connections.close();
  }

  #discovery(): Registry {
    this.#registry ??= new Registry(this.#runtime, this.#connections, this.#servers, this.#self, this.#discoveryCache);
    return this.#registry;
  }
}
/** Connects to a real cluster under a random name. */
export function connect(options: ClientOptions): ClientNetwork {
  const servers = parseServers(options.servers);
  const runtime = runtimeOf(options);
  const { clientId = `client-${runtime.random.u32().toString(36)}` } = options;
  checkName(clientId, 'clientId');
  const { deliveryTimeoutMs, discoveryCache } = options;
  if (discoveryCache !== undefined) checkCachePath(discoveryCache);
  const sending = deliveryTimeoutMs === undefined ? {} : { deliveryTimeoutMs };
  return new ClusterNetwork(runtime, servers, { clientId, kind: 'client' }, discoveryCache, sending);
}
