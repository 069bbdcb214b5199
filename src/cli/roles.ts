/**
 * The roles of one process on one server, composed through the seams only, so that the simulator runs the same code.
 *
 * Order of a start: the port is taken (nothing has changed on disk if it is in use); handlers are put in place and the
 * broker opens its folder; the port is listened on; the scheduler takes its shards; discovery is told who is here.
 * Order of a stop: discovery is told, shards are given up, peers are asked to leave, the logs are closed.
 */
import type { MetricSet } from '../base/counters.js';
import { connectionsMax, nameServerConnectionsMax } from '../base/limits.js';
import { Broker } from '../broker/broker.js';
import { noQuota, type QuotaRates } from '../broker/client-quota.js';
import { brokerService, nameServerService, schedulerService } from '../discovery/instance.js';
import { Registry } from '../discovery/registry.js';
import type { SpaceOptions } from '../log/disk-space.js';
import type { InstanceClaim } from '../nameserver/instance.js';
import { NameServer } from '../nameserver/name-server.js';
import { Connections } from '../rpc/connections.js';
import { type NodeIdentity, RpcServer } from '../rpc/server.js';
import type { Address, Net } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { Scheduler } from '../scheduler/scheduler.js';
import { otherNameServers, type Role, roleNames } from './config.js';
import { reservePort } from './reserved-port.js';
import { addBackgroundReadMetrics, addRegionMetrics, addRpcMetrics } from './rpc-metrics.js';
import { localLogs, remoteLogs, type SchedulerLogs } from './scheduler-logs.js';

export interface RolesOptions {
  readonly roles: readonly Role[];
  readonly listen: Address;
  readonly dataFolder: string;
  /** For a name server: all of the cluster, itself included or not. */
  readonly nameServers: readonly Address[];
  readonly shards: number;
  readonly nodeId: string | undefined;
  /** Absent: none. */
  readonly zone?: string;
  /** Of a name server; absent: freeze. */
  readonly onPeerLoss?: 'freeze' | 'expire';
  /** Of a name server; absent: none. */
  readonly staticInstances?: readonly InstanceClaim[];
  /** Of a broker and a scheduler: the file with what they know of others; absent: none. */
  readonly discoveryCacheFile?: string;
  /** Of the broker; absent: no. */
  readonly autoCreateTopics?: boolean;
  readonly produceQuota?: QuotaRates;
  readonly fetchQuota?: QuotaRates;
  /** Of the broker's logs; absent: the default. */
  readonly segmentBytes?: number;
  /** See `BrokerOptions`. */
  readonly space?: SpaceOptions;
  readonly scrubBytesPerSecond?: number;
}

export type RoleState = 'starting' | 'ready' | 'draining';

export interface RunningRoles {
  readonly address: Address;
  readonly nodeId: string;
  states(): Readonly<Record<string, RoleState>>;
  /** Resolves when all is closed; takes at most the time that peers are given to leave, and a little. */
  stop(): Promise<void>;
}

/** Giving up shards over the wire may wait for a broker that is gone too; a new owner doesn't need it. */
const releaseMsMax = 2_000;

/**
 * Starts the roles and resolves once each can be used and is known to the name servers, however long these take to
 * come. Rejects, with everything closed again, as `Net.listen` and `LogStore.open` do.
 */
export async function startRoles(runtime: Runtime, options: RolesOptions, metrics: MetricSet): Promise<RunningRoles> {
  const reserved = await reservePort(runtime.net, options.listen);
  const process = new RolesProcess(withNet(runtime, reserved.net), reserved.address, options);
  try {
    await process.start(metrics);
  } catch (error) {
    await process.stop();
    await reserved.release();
    throw error;
  }
  return process;
}

class RolesProcess implements RunningRoles {
  readonly address: Address;
  readonly nodeId: string;
  readonly #runtime: Runtime;
  readonly #options: RolesOptions;
  readonly #identity: { -readonly [key in keyof NodeIdentity]: NodeIdentity[key] };
  readonly #server: RpcServer;
  readonly #connections: Connections;
  #registry: Registry | undefined;
  #nameServer: NameServer | undefined;
  #broker: Broker | undefined;
  #scheduler: Scheduler | undefined;
  #logs: SchedulerLogs | undefined;
  #isUp = false;
  #isStopping = false;

  constructor(runtime: Runtime, address: Address, options: RolesOptions) {
    this.#runtime = runtime;
    this.#options = options;
    this.address = address;
    this.nodeId = options.nodeId ?? `${runtime.process.hostName}-${address.port}`;
    const incarnation = runtime.clock.wallMs();
    this.#identity = { nodeId: this.nodeId, incarnation, roles: options.roles, clusterId: '' };
    const isNameServerOnly = options.roles.length === 1 && options.roles[0] === 'nameserver';
    const connections = isNameServerOnly ? nameServerConnectionsMax : connectionsMax;
    this.#server = new RpcServer(runtime, this.#identity, connections);
    this.#connections = new Connections(runtime, { clientId: this.nodeId, kind: options.roles.join('+') });
  }

  async start(metrics: MetricSet): Promise<void> {
    const { dataFolder, shards, segmentBytes, space, scrubBytesPerSecond, autoCreateTopics = false } = this.#options;
    const { produceQuota = noQuota, fetchQuota = noQuota } = this.#options;
    const runtime = this.#runtime;
    const server = this.#server;
    const identity = this.#identity;
    const address = (): Address => this.address;
    addRpcMetrics(metrics, server, this.#connections);
    addRegionMetrics(metrics, runtime.net.regions);
    addBackgroundReadMetrics(metrics, runtime.files.backgroundReads);

    if (this.#has('broker')) {
      this.#broker = await Broker.start(runtime, server, identity, address, {
        dataFolder,
        autoCreateTopics,
        produceQuota,
        fetchQuota,
        ...(segmentBytes === undefined ? {} : { segmentBytes }),
        ...(space === undefined ? {} : { space }),
        ...(scrubBytesPerSecond === undefined ? {} : { scrubBytesPerSecond }),
      });
      identity.clusterId = this.#broker.clusterId;
      this.#broker.registerMetrics(metrics);
    }
    // After the broker, which knows whether the data folder is one of ours.
    if (this.#has('nameserver')) {
      this.#nameServer = await this.#startNameServer();
      this.#nameServer.registerMetrics(metrics);
    }
    let found: (registry: Registry) => void = () => {};
    const discovery = new Promise<Registry>((resolve) => {
      found = resolve;
    });
    let starting: Promise<Scheduler> | undefined;
    if (this.#has('scheduler')) {
      const broker = this.#broker;
      const logs = broker === undefined ? remoteLogs(runtime, this.#connections, discovery) : localLogs(broker);
      this.#logs = logs;
      starting = Scheduler.start(runtime, server, identity, address, logs, { shards });
      // It is awaited below; a failure before that must not count as unhandled.
      starting.catch(() => {});
    }
    // All handlers are in place: whoever dials from now on is answered, with NOT_READY at worst.
    await server.listen(this.address);
    const self = { clientId: this.nodeId, kind: this.#options.roles.join('+') };
    const { discoveryCacheFile } = this.#options;
    const registry = new Registry(runtime, this.#connections, this.#nameServers(), self, discoveryCacheFile);
    this.#registry = registry;
    found(registry);

    const known: Promise<void>[] = [];
    if (this.#has('nameserver')) known.push(this.#register(registry, nameServerService));
    if (this.#has('broker')) known.push(this.#register(registry, brokerService));
    if (starting !== undefined) {
      this.#scheduler = await starting;
      this.#scheduler.addMetrics(metrics);
      known.push(this.#register(registry, schedulerService, { shards: 'all' }));
    }
    await Promise.all(known);
    this.#isUp = true;
  }

  states(): Readonly<Record<string, RoleState>> {
    const states: Record<string, RoleState> = {};
    for (const role of roleNames) if (this.#has(role)) states[role] = this.#state(role);
    return states;
  }

  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const released = this.#scheduler?.stop() ?? Promise.resolve();
    await Promise.all([this.#registry?.close(), this.#within(releaseMsMax, released)]);
    await this.#within(releaseMsMax, this.#logs?.close() ?? Promise.resolve());
    await this.#connections.close();
    // Ends the watches, for which the drain would wait.
    await this.#nameServer?.leave();
    await this.#server.drain();
    await this.#nameServer?.stop();
    await this.#broker?.stop();
    this.#server.close();
  }

  #state(role: Role): RoleState {
    if (this.#isStopping) return 'draining';
    if (!this.#isUp) return 'starting';
    if (role === 'scheduler' && this.#scheduler?.isReady !== true) return 'starting';
    return role === 'nameserver' && this.#nameServer?.isReady !== true ? 'starting' : 'ready';
  }

  #has(role: Role): boolean {
    return this.#options.roles.includes(role);
  }

  #startNameServer(): Promise<NameServer> {
    const { dataFolder, nameServers, onPeerLoss = 'freeze', staticInstances = [] } = this.#options;
    return NameServer.start(this.#runtime, this.#server, this.#identity, {
      folder: `${dataFolder}/nameserver`,
      peers: otherNameServers(nameServers, this.address),
      onPeerLoss,
      staticInstances,
      onFatal: () => this.#runtime.process.exit(1),
    });
  }

  /** A name server and nothing else is known through itself alone; whoever is more has the others to fall back on. */
  #nameServers(): readonly Address[] {
    const { roles, nameServers } = this.#options;
    if (!this.#has('nameserver')) return nameServers;
    return roles.length === 1 ? [this.address] : [this.address, ...otherNameServers(nameServers, this.address)];
  }

  #register(registry: Registry, service: string, metadata: Record<string, string> = {}): Promise<void> {
    const { zone = '' } = this.#options;
    const instance = { service, instanceId: this.nodeId, addresses: [this.address], zone, metadata };
    return registry.register(instance).registered;
  }

  #within(ms: number, work: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#runtime.clock.timer(ms, resolve);
      work.then(resolve, reject).finally(() => timer.cancel());
    });
  }
}

function withNet(runtime: Runtime, net: Net): Runtime {
  const { clock, random, files, process, logger } = runtime;
  return { clock, random, files, net, process, logger };
}
