import type { Instance } from '../../../src/discovery/instance.js';
import { type Registration, Registry } from '../../../src/discovery/registry.js';
import { Connections } from '../../../src/rpc/connections.js';
import type { Address } from '../../../src/runtime/net.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import type { SimProcess } from '../../../src/runtime/sim/sim-process.js';
import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { Reach } from './reach.js';

export const namespace = 'shop';
const longAgo = -1e9;

/** Called when a watcher's listener is: with the list before, and the one that it was given. */
export type OnList = (
  watcher: RegistryClient,
  before: readonly Instance[] | undefined,
  after: readonly Instance[],
) => void;

/**
 * A process with a registry client of the real kind: it registers one instance, which has the process's name, or it
 * watches one service.
 */
export class RegistryClient {
  readonly process: SimProcess;
  readonly service: string;
  readonly isWatcher: boolean;
  /** It means to be registered, or to watch. */
  wants = true;
  /** When it last began to want, or its process began. */
  bornMs = 0;
  /** When it last died or was deregistered. */
  deadMs: number = longAgo;
  /** Since when it could reach some name server. */
  reachesSinceMs = 0;
  /** When it could last have reached some name server for so long that it surely talked to one. */
  contactMs: number = longAgo;
  /** It is dead, and no name server has shown it for a while. */
  isGoneEverywhere = true;
  /** Once all name servers that didn't stand still knew that it ended: those, each with its life. */
  endedAt: ReadonlyMap<string, number> | undefined;
  /** Until when it is one of many that lost their name server at once, and which one. */
  massUntilMs: number = longAgo;
  massAt: string | undefined;
  /** What the listener was given last. */
  list: readonly Instance[] | undefined;
  readonly #world: SimWorld;
  readonly #reach: Reach;
  readonly #servers: readonly Address[];
  readonly #onList: OnList;
  #registry: Registry | undefined;
  #connections: Connections | undefined;
  #registration: Registration | undefined;
  #updates = 0;

  constructor(
    world: SimWorld,
    reach: Reach,
    name: string,
    service: string,
    servers: readonly Address[],
    onList: OnList | undefined,
  ) {
    this.#world = world;
    this.#reach = reach;
    this.process = world.process(name);
    this.service = service;
    this.#servers = servers;
    this.isWatcher = onList !== undefined;
    this.#onList = onList ?? (() => {});
  }

  get name(): string {
    return this.process.name;
  }

  get key(): { namespace: string; group: string; service: string; instanceId: string } {
    return { namespace, group: '', service: this.service, instanceId: this.name };
  }

  /** There, and to be seen. */
  get isLive(): boolean {
    return this.process.isAlive && this.wants;
  }

  start(): void {
    if (this.process.isAlive) return;
    this.wants = true;
    this.list = undefined;
    this.#born();
    this.#reach.started(this.name);
    this.process.start((runtime) => this.#main(runtime));
  }

  kill(powerLoss: boolean): void {
    if (!this.process.isAlive) return;
    this.process.kill({ powerLoss });
    if (this.wants) this.#died();
  }

  /** Changes what it says of itself. */
  update(): void {
    this.#act(() => this.#registration?.update({ metadata: { update: String(++this.#updates) } }));
  }

  deregister(): void {
    this.#act(() => {
      if (!this.wants || this.#registration === undefined) return;
      this.wants = false;
      this.#died();
      void this.#registration.close();
      this.#registration = undefined;
    });
  }

  registerAgain(): void {
    this.#act(() => {
      if (this.wants) return;
      this.wants = true;
      this.#born();
      this.#register();
    });
  }

  /** Ends all that it has, and stays to be looked at. */
  close(): void {
    this.#act(() => {
      const [registry, connections] = [this.#registry, this.#connections];
      if (this.wants) this.#died();
      this.wants = false;
      void registry?.close().then(() => connections?.close());
    });
  }

  #main(runtime: Runtime): void {
    const self = { clientId: this.name, kind: 'client' };
    this.#connections = new Connections(runtime, self);
    this.#registry = new Registry(runtime, this.#connections, this.#servers, self);
    if (this.isWatcher) this.#watch(this.#registry);
    else this.#register();
  }

  #register(): void {
    const instance = {
      namespace,
      service: this.service,
      instanceId: this.name,
      addresses: [{ host: '127.0.0.1', port: 9_000 }],
    };
    this.#registration = this.#registry!.register(instance, (error) => {
      this.#world.fail(new Error(`${this.name} is refused for good: ${error.message}`));
    });
  }

  #watch(registry: Registry): void {
    registry.watch(
      this.service,
      (instances) => {
        const before = this.list;
        this.list = instances;
        this.#onList(this, before, instances);
      },
      { namespace },
    );
  }

  /** Does something in an event of the process, which may have to wake first. */
  #act(work: () => void): void {
    if (this.process.isAlive) this.process.runtime.clock.timer(0, work);
  }

  #born(): void {
    this.bornMs = this.#world.nowMs;
    this.isGoneEverywhere = false;
    this.endedAt = undefined;
  }

  #died(): void {
    this.deadMs = this.#world.nowMs;
    this.isGoneEverywhere = false;
    this.endedAt = undefined;
  }
}
