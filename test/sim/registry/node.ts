import { NameServer } from '../../../src/nameserver/name-server.js';
import { RpcServer } from '../../../src/rpc/server.js';
import type { ServerStream } from '../../../src/rpc/service.js';
import type { Address } from '../../../src/runtime/net.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import type { SimProcess } from '../../../src/runtime/sim/sim-process.js';
import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import { watchInstances } from '../../../src/wire/methods.js';
import type { Reach } from './reach.js';

export const nodeFolder = '/data/taskd/nameserver';

/** One name server and its process: the driver, the core, the server, on a disk and a network of the simulated world. */
export class RegistryNode {
  readonly process: SimProcess;
  readonly address: Address;
  readonly onPeerLoss: 'freeze' | 'expire';
  /** Of the life that runs; undefined while it starts. */
  names: NameServer | undefined;
  server: RpcServer | undefined;
  /** Whether a person wants it to run: a process that ended by itself is started again. */
  isWanted = true;
  /** When its disk was last lost. */
  wipedMs = -1e9;
  readonly #world: SimWorld;
  readonly #reach: Reach;
  readonly #peers: readonly Address[];
  /** Watchers, by the names of their processes, and when they last opened a watch here. */
  readonly #watchers: Map<string, RegistryNode>;

  constructor(
    world: SimWorld,
    reach: Reach,
    name: string,
    address: Address,
    options: {
      readonly peers: readonly Address[];
      readonly onPeerLoss: 'freeze' | 'expire';
      /** Which name server each watcher opened its last watch at, by the name of its process. */
      readonly watchedAt: Map<string, RegistryNode>;
    },
  ) {
    this.#world = world;
    this.#reach = reach;
    this.process = world.process(name);
    this.address = address;
    this.#peers = options.peers;
    this.onPeerLoss = options.onPeerLoss;
    this.#watchers = options.watchedAt;
  }

  get name(): string {
    return this.process.name;
  }

  /** It runs, whether it has started yet or not. */
  get isUp(): boolean {
    return this.process.isAlive;
  }

  get isReady(): boolean {
    return this.process.isAlive && this.names?.isReady === true;
  }

  start(): void {
    if (this.process.isAlive) return;
    this.isWanted = true;
    this.names = undefined;
    this.#reach.started(this.name);
    this.#reach.disturb(0);
    this.process.start((runtime) => this.#main(runtime));
  }

  kill(powerLoss: boolean): void {
    this.isWanted = false;
    this.process.kill({ powerLoss });
    this.names = undefined;
    this.#reach.disturb(0);
  }

  /** Its disk is another one, empty. Only while it doesn't run. */
  wipe(): void {
    const { disk } = this.process;
    this.wipedMs = this.#world.nowMs;
    if (!disk.exists(nodeFolder)) return;
    for (const { name } of disk.list(nodeFolder)) disk.remove(`${nodeFolder}/${name}`);
    disk.syncFolder(nodeFolder);
  }

  /** Stops in good order, as `cli/roles.ts` does, and exits unless it shall stay to be looked at. */
  leave(exits = true): void {
    const { names, server, process } = this;
    if (names === undefined || server === undefined || !process.isAlive) return;
    this.isWanted = false;
    const { runtime } = process;
    runtime.clock.timer(0, () => {
      void (async () => {
        await names.leave();
        await server.drain();
        await names.stop();
        this.names = undefined;
        this.#reach.disturb(0);
        if (exits) runtime.process.exit(0);
      })();
    });
  }

  async #main(runtime: Runtime): Promise<void> {
    const identity = { nodeId: this.name, incarnation: this.process.lives, roles: ['nameserver'], clusterId: '' };
    const server = new RpcServer(runtime, identity);
    const options = {
      folder: nodeFolder,
      peers: this.#peers,
      onPeerLoss: this.onPeerLoss,
      staticInstances: [],
      onFatal: (reason: string) => this.#world.fail(new Error(`${this.name} stops itself: ${reason}`)),
    };
    this.#noteWatches(server);
    const names = await NameServer.start(runtime, server, identity, options);
    await server.listen(this.address);
    this.names = names;
    this.server = server;
  }

  /** Has the server tell who watches here. */
  #noteWatches(server: RpcServer): void {
    const onStream = server.onStream.bind(server);
    server.onStream = (method, handler) => {
      onStream(method, (request, stream) => {
        if ((method as unknown) === watchInstances) this.#note(stream as ServerStream<unknown>);
        handler(request, stream);
      });
    };
  }

  #note({ peer }: ServerStream<unknown>): void {
    this.#watchers.set(peer.clientId, this);
  }
}
