import type { Random } from '../../../src/runtime/random.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import type { SimProcess } from '../../../src/runtime/sim/sim-process.js';
import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import { FaultPlan, fillDisk } from '../fault-plan.js';
import type { RegistryClient } from './client.js';
import type { RegistryCluster } from './cluster.js';
import type { RegistryNode } from './node.js';
import { moveMs, RegistryStories, stories } from './stories.js';

const kinds = [
  'cut in two',
  'cut off',
  'one-way cut',
  'bridge',
  'one path',
  'slow link',
  'reset of peers',
  'reset of a client',
  'move of watchers',
  'pause of a name server',
  'pause of a client',
  'crash',
  'crash, disk lost',
  'rolling restart',
  'restart of all',
  'clock step',
  'full disk',
  'death of a client',
  'restart of a client',
  'deregistration',
  'update',
  'mass disconnect',
  'lost watcher',
  ...stories,
] as const;

type Fault = (typeof kinds)[number];

const stepsMs = [-3_600_000, -60_000, -5_000, 60_000, 3_600_000];
/** How long a name server is down: a restart, a reboot, a repair. */
const downMsMax = [2_000, 25_000, 70_000];
const massMs = 20_000;
const moveSeed = 0x6d6f7665;

/** What is done to a registry, at random. Each fault ends by itself, at the latest when all do. */
export class RegistryFaults {
  readonly #world: SimWorld;
  readonly #cluster: RegistryCluster;
  readonly #random: Random;
  readonly #plan: FaultPlan<Fault>;
  readonly #stories: RegistryStories;
  #endMs = 0;

  constructor(world: SimWorld, cluster: RegistryCluster) {
    this.#world = world;
    this.#cluster = cluster;
    this.#random = world.random.fork();
    this.#stories = new RegistryStories(world, cluster, world.random.fork());
    const everyMs = 2_000 * 2 ** (this.#random.unit() * 3);
    const weights = kinds.map((kind) => [kind, this.#random.below(4)] as const);
    this.#plan = new FaultPlan(world, this.#random, everyMs, weights);
  }

  /** How often each was done, as text. */
  summary(): string {
    return this.#plan.summary();
  }

  /** Goes on for so long. */
  start(forMs: number): void {
    this.#endMs = this.#world.nowMs + forMs;
    this.#plan.start((kind) => this.#strike(kind));
    if (this.#chance(0.5)) this.#world.after(1_000, () => this.#stories.tellEarly(this.#leftMs));
    this.#planMove(forMs);
  }

  stop(): void {
    this.#plan.stop();
  }

  /** Drawn apart from all else: it comes beside the other faults, in some seeds, and takes the turn of none. */
  #planMove(forMs: number): void {
    const random = new SeededRandom(this.#world.seed ^ moveSeed);
    if (forMs < moveMs || random.below(6) > 0) return;
    this.#world.after(random.below(Math.floor(forMs - moveMs) + 1), () => this.#stories.moveDuringPause());
  }

  get #leftMs(): number {
    return Math.max(0, this.#endMs - this.#world.nowMs);
  }

  #strike(kind: Fault): void {
    const node = this.#pick(this.#cluster.nodes);
    const client = this.#pick(this.#cluster.clients);
    this.#world.log.add('fault', node.name, {}, kind);
    switch (kind) {
      case 'cut in two':
        this.#cutInTwo();
        break;
      case 'cut off':
        this.#cutWhere((a, b) => a === node || b === node, this.#duration(1_000, 80_000));
        break;
      case 'one-way cut': {
        const other = this.#pick(this.#cluster.nodes);
        this.#cutWhere((from, to) => from === node && to === other, this.#duration(1_000, 50_000));
        break;
      }
      case 'bridge':
        this.#bridge(node);
        break;
      case 'one path': {
        const over = this.#pick(this.#cluster.nodes);
        const isFar = (a: RegistryNode, b: RegistryNode): boolean => a === node && b !== over;
        this.#cutWhere((a, b) => isFar(a, b) || isFar(b, a), this.#duration(10_000, 60_000));
        break;
      }
      case 'slow link':
        this.#slow(node);
        break;
      case 'reset of peers':
        for (const { name } of this.#cluster.nodes) if (this.#chance(0.5)) this.#world.network.cut(node.name, name);
        break;
      case 'reset of a client':
        this.#reset(client);
        break;
      case 'move of watchers':
        for (const watcher of this.#cluster.watchers) if (this.#chance(0.6)) this.#reset(watcher);
        break;
      case 'pause of a name server':
        this.#cluster.reach.pause(node.process, this.#duration(200, 60_000));
        break;
      case 'pause of a client':
        this.#pauseClient();
        break;
      case 'crash':
      case 'crash, disk lost':
        this.#crash(node, this.#duration(50, this.#pick(downMsMax)), kind !== 'crash');
        break;
      case 'rolling restart':
        this.#rollingRestart();
        break;
      case 'restart of all':
        this.#restartAll();
        break;
      case 'clock step':
        this.#stepClock();
        break;
      case 'full disk':
        fillDisk(this.#world, node.process.disk, this.#random.below(4_096), this.#duration(500, 30_000));
        break;
      case 'death of a client':
        this.#killClient(client);
        break;
      case 'restart of a client':
        client.kill(this.#chance(0.5));
        this.#world.after(this.#between(100, 400), () => client.start());
        break;
      case 'deregistration':
        client.deregister();
        if (this.#chance(0.4)) this.#world.after(this.#duration(500, 20_000), () => client.registerAgain());
        break;
      case 'update':
        for (let i = 0; i < 4; i++) this.#pick(this.#cluster.clients).update();
        break;
      case 'mass disconnect':
        this.#disconnectMany(node);
        break;
      case 'lost watcher':
        this.#restartWatcher(this.#pick(this.#cluster.watchers));
        break;
      default:
        this.#stories.tell(kind, this.#leftMs);
    }
  }

  #between(from: number, to: number): number {
    return from + this.#random.below(to - from + 1);
  }

  #duration(from: number, to: number): number {
    return Math.min(this.#between(from, to), this.#leftMs);
  }

  #chance(part: number): boolean {
    return this.#random.unit() < part;
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)]!;
  }

  /** Cuts name servers from each other. */
  #cutWhere(isCut: (from: RegistryNode, to: RegistryNode) => boolean, forMs: number): void {
    const { nodes, reach } = this.#cluster;
    for (const from of nodes) {
      for (const to of nodes) if (from !== to && isCut(from, to)) reach.cut(from.name, to.name, forMs);
    }
  }

  /** Two sides, with the clients in them or beside. */
  #cutInTwo(): void {
    const { nodes, clients, watchers, reach } = this.#cluster;
    const left = new Set<SimProcess>();
    const parties = this.#chance(0.5) ? [...nodes, ...clients, ...watchers] : nodes;
    for (const { process } of parties) if (this.#chance(0.5)) left.add(process);
    const forMs = this.#duration(500, 50_000);
    for (const a of parties) {
      for (const b of nodes) {
        if (left.has(a.process) === left.has(b.process)) continue;
        reach.cut(a.name, b.name, forMs);
        reach.cut(b.name, a.name, forMs);
      }
    }
  }

  /** Two sides that only meet over one name server. */
  #bridge(over: RegistryNode): void {
    const { nodes } = this.#cluster;
    const sides = new Map(nodes.map((node, i) => [node, i % 2]));
    const forMs = this.#duration(2_000, 60_000);
    this.#cutWhere((a, b) => a !== over && b !== over && sides.get(a) !== sides.get(b), forMs);
  }

  #slow(node: RegistryNode): void {
    const { nodes, reach } = this.#cluster;
    const forMs = this.#duration(2_000, 30_000);
    const extraMs = this.#between(20, 400);
    for (const { name } of nodes) {
      if (this.#chance(0.5)) reach.slow(node.name, name, extraMs, forMs);
      if (this.#chance(0.5)) reach.slow(name, node.name, extraMs, forMs);
    }
  }

  /** Whatever it is connected to: it goes elsewhere. */
  #reset({ name }: RegistryClient): void {
    for (const node of this.#cluster.nodes) this.#world.network.cut(name, node.name);
  }

  #pauseClient(): void {
    const client = this.#pick([...this.#cluster.clients, ...this.#cluster.watchers]);
    this.#cluster.reach.pause(client.process, this.#duration(200, this.#chance(0.3) ? 60_000 : 25_000));
  }

  #crash(node: RegistryNode, forMs: number, isDiskLost: boolean): void {
    if (!node.isUp) return;
    node.kill(this.#chance(0.5));
    if (isDiskLost) {
      node.wipe();
      this.#cluster.overrides.wiped(node);
    }
    this.#world.after(forMs, () => node.start());
  }

  #rollingRestart(): void {
    let atMs = 0;
    for (const node of this.#cluster.nodes) {
      this.#world.after(atMs, () => {
        if (this.#leftMs < 5_000 || !node.isUp) return;
        node.leave();
        // Who can't stop in good order is stopped.
        this.#world.after(this.#between(3_000, 6_000), () => {
          if (node.isWanted) return;
          node.kill(false);
          node.start();
        });
      });
      atMs += this.#between(4_000, 9_000);
    }
  }

  #restartAll(): void {
    const isDiskLost = this.#chance(0.3);
    for (const node of this.#cluster.nodes) this.#crash(node, this.#duration(100, 3_000), isDiskLost);
  }

  #stepClock(): void {
    const { nodes, clients } = this.#cluster;
    this.#pick([...nodes, ...clients]).process.stepWall(this.#pick(stepsMs));
  }

  #killClient(client: RegistryClient): void {
    client.kill(this.#chance(0.5));
    this.#world.after(this.#duration(100, 40_000), () => {
      if (!this.#chance(0.6)) return;
      if (this.#chance(0.3)) client.process.stepWall(-600_000);
      client.start();
    });
  }

  #restartWatcher(watcher: RegistryClient): void {
    watcher.kill(this.#chance(0.5));
    this.#world.after(this.#duration(100, 5_000), () => watcher.start());
  }

  /** A switch between a name server's clients and all name servers. */
  #disconnectMany(node: RegistryNode): void {
    const { nodes, clients, reach, views } = this.#cluster;
    const set = clients.filter((client) => client.isLive && views.holder(client)?.node === node);
    if (set.length < 4 || this.#leftMs < 40_000) return;
    const isReset = this.#chance(0.5);
    if (isReset) for (const client of set) this.#reset(client);
    if (isReset && !this.#chance(0.7)) return;
    for (const client of set) {
      for (const { name } of nodes) {
        reach.cut(client.name, name, massMs);
        reach.cut(name, client.name, massMs);
      }
      // Who was silent before, or on its way, isn't part of the mass.
      const isInTouch = client.contactMs > this.#world.nowMs - 500 && reach.isUncut(client.name, node.name, 15_000);
      const isPart = isInTouch && reach.isCalm(client.process, 15_000) && client.bornMs < this.#world.nowMs - 15_000;
      if (!isPart || this.#world.nowMs - (views.holder(client)?.sinceMs ?? 0) < 15_000) continue;
      client.massUntilMs = this.#world.nowMs + massMs + 3_000;
      client.massAt = node.name;
    }
  }
}
