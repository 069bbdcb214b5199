import { isTaskdError, Retry } from '../../src/base/errors.js';
import { NameServer, type NameServerOptions } from '../../src/nameserver/name-server.js';
import type { StreamEvents } from '../../src/rpc/caller.js';
import { Connections } from '../../src/rpc/connections.js';
import { RpcServer } from '../../src/rpc/server.js';
import type { Address } from '../../src/runtime/net.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { beat, type Method, register, watchInstances } from '../../src/wire/methods.js';
import { loneNameServer } from './lone-name-server.js';

/** Some name servers in a simulated world, and clients that speak the protocol with as little of their own as can be. */
export class NameServerWorld {
  readonly world: SimWorld;
  readonly nodes: readonly SimNode[];

  /** `nodeIds`: other ones than n1, n2 and so on, which are also the processes' names. */
  constructor(seed: number, size: number, options: Partial<NameServerOptions> = {}, nodeIds: readonly string[] = []) {
    this.world = new SimWorld(seed);
    const addresses = Array.from({ length: size }, (_, i) => ({ host: '127.0.0.1', port: 7_001 + i }));
    this.nodes = addresses.map((address, i) => {
      const peers = addresses.filter((each) => each !== address);
      const process = this.world.process(`n${i + 1}`);
      return new SimNode(process, nodeIds[i] ?? process.name, address, { ...loneNameServer, ...options, peers });
    });
  }

  /** Starts those that don't run and waits until all are ready and linked. */
  async start(): Promise<void> {
    for (const node of this.nodes) if (!node.process.isAlive) node.start();
    const links = this.nodes.length - 1;
    await this.until(() => this.nodes.every(({ names }) => names?.isReady === true && names.linkCount === links));
  }

  /** Runs until it is true; fails after two minutes of virtual time. */
  async until(condition: () => boolean): Promise<void> {
    const isTrue = await this.world.run({ until: condition, untilMs: this.world.nowMs + 120_000 });
    if (!isTrue) throw new Error('it did not come true within two minutes');
  }

  elapse(ms: number): Promise<boolean> {
    return this.world.run({ untilMs: this.world.nowMs + ms });
  }

  /** Does something in an event of a client's process and waits for it. */
  async act<T>(client: SimClient, work: () => Promise<T>): Promise<T> {
    let isSettled = false;
    const done = (): void => {
      isSettled = true;
    };
    const promise = new Promise<T>((resolve, reject) => {
      client.runtime.clock.timer(0, () => work().then(resolve, reject));
    });
    promise.then(done, done);
    await this.until(() => isSettled);
    return promise;
  }

  /** A call, made again while its name server can't be reached or isn't ready. */
  async ask<Q, A, QIn, AIn>(
    client: SimClient,
    node: SimNode,
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
  ): Promise<A> {
    for (;;) {
      try {
        const { message } = await this.act(client, () => client.connections.to(node.address).call(method, request));
        return message;
      } catch (error) {
        if (!(isTaskdError(error) && error.retry === Retry.OTHER)) throw error;
        await this.elapse(50);
      }
    }
  }

  /** Registers once, with the time as version, and beats from then on. */
  async register(
    client: SimClient,
    node: SimNode,
    instanceId: string,
    more: Partial<taskd.Instance.$Properties> = {},
  ): Promise<void> {
    await this.ask(client, node, register, { instance: client.instance(instanceId, more) });
    client.beat(node);
  }

  /** A process without anything of its own that calls name servers. */
  async client(name: string): Promise<SimClient> {
    let client: SimClient | undefined;
    this.world.process(name).start((runtime) => {
      client = new SimClient(runtime, name);
    });
    await this.until(() => client !== undefined);
    return client!;
  }
}

export class SimNode {
  readonly process: SimProcess;
  readonly address: Address;
  /** Of the life that runs. */
  names: NameServer | undefined;
  server: RpcServer | undefined;
  fatal: string | undefined;
  readonly #nodeId: string;
  readonly #options: NameServerOptions;

  constructor(process: SimProcess, nodeId: string, address: Address, options: NameServerOptions) {
    this.process = process;
    this.#nodeId = nodeId;
    this.address = address;
    this.#options = {
      ...options,
      onFatal: (reason) => {
        this.fatal = reason;
        process.runtime.process.exit(1);
      },
    };
  }

  start(): void {
    this.names = undefined;
    this.process.start(async (runtime) => {
      const incarnation = runtime.clock.wallMs();
      const identity = { nodeId: this.#nodeId, incarnation, roles: ['nameserver'], clusterId: '' };
      this.server = new RpcServer(runtime, identity);
      this.names = await NameServer.start(runtime, this.server, identity, this.#options);
      await this.server.listen(this.address);
    });
  }

  kill(): void {
    this.process.kill();
    this.names = undefined;
  }

  /** Stops in good order, as `cli/roles.ts` does. */
  async stop(): Promise<void> {
    await this.names?.leave();
    await this.server?.drain();
    await this.names?.stop();
    this.kill();
  }
}

/** What a watch has told so far; `view` is by `service/id`. */
export interface SimWatch {
  readonly events: taskd.WatchEvent[];
  readonly view: Map<string, taskd.Instance>;
  end: Error | 'open' | undefined;
}

export class SimClient {
  readonly runtime: Runtime;
  readonly connections: Connections;
  superseded = 0;

  constructor(runtime: Runtime, name: string) {
    this.runtime = runtime;
    this.connections = new Connections(runtime, { clientId: name, kind: 'client' });
  }

  beat(node: SimNode): void {
    this.runtime.clock.timer(3_000, () => {
      this.connections
        .to(node.address)
        .call(beat, {}, { deadlineMs: 3_000 })
        .then(({ message }) => {
          this.superseded += message.superseded.length;
          this.beat(node);
        })
        .catch(() => {});
    });
  }

  instance(instanceId: string, more: Partial<taskd.Instance.$Properties>): taskd.Instance {
    return new taskd.Instance({
      namespace: 'n',
      service: 's',
      instanceId,
      addresses: [{ host: 'h', port: 1 }],
      version: { incarnation: this.runtime.clock.wallMs(), counter: 1 },
      ...more,
    });
  }

  /** Watches namespace `n` and service `s`, unless told otherwise. */
  watch(node: SimNode, request: taskd.WatchRequest.$Properties = {}): SimWatch {
    let incoming: Map<string, taskd.Instance> | undefined;
    const watch: SimWatch = { events: [], view: new Map(), end: 'open' };
    const events: StreamEvents<taskd.WatchEvent> = {
      push: (event) => {
        watch.events.push(event);
        if (event.full) incoming = new Map();
        const into = incoming ?? watch.view;
        for (const each of event.changed) into.set(`${each.service}/${each.instanceId}`, new taskd.Instance(each));
        if (event.state?.behind !== true) {
          for (const { service, instanceId } of event.removed) watch.view.delete(`${service}/${instanceId}`);
        }
        if (incoming === undefined || event.more) return;
        if (event.state?.authoritative) watch.view.clear();
        for (const [key, each] of incoming) watch.view.set(key, each);
        incoming = undefined;
      },
      end: (error) => {
        watch.end = error;
      },
    };
    this.runtime.clock.timer(0, () => {
      const target = { namespace: 'n', service: 's', ...request };
      this.connections.to(node.address).open(watchInstances, target, 1_000_000, events);
    });
    return watch;
  }
}
