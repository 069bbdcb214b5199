import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import { AllSeen } from './all-seen.js';
import { RegistryClient } from './client.js';
import { Convergence } from './convergence.js';
import { CutOffKeeps } from './cut-off-keeps.js';
import { NoEndAtWake } from './no-end-at-wake.js';
import { NoLiveRemoved } from './no-live-removed.js';
import { NoZombies } from './no-zombies.js';
import { RegistryNode } from './node.js';
import { NothingLeft } from './nothing-left.js';
import { OverridesAgree } from './overrides-agree.js';
import { Reach } from './reach.js';
import { SureOnlyWhen } from './sure-only-when.js';
import { TrueLists } from './true-lists.js';
import { Views } from './views.js';

const sizes = [2, 3, 3, 3, 3, 4, 5, 7];
const services = ['cart', 'price', 'stock'];
/** So many clients aren't there from the beginning. */
const lateClients = 3;
/** Whoever supervises processes starts one that ended by itself again after so long. */
const keeperMs = 500;

/** Name servers, clients of the registry that register or watch, and all that is checked of them. */
export class RegistryCluster {
  readonly reach: Reach;
  readonly nodes: readonly RegistryNode[];
  /** Those that register. */
  readonly clients: readonly RegistryClient[];
  readonly watchers: readonly RegistryClient[];
  readonly views: Views;
  readonly removals: NoLiveRemoved;
  readonly lists: TrueLists;
  readonly overrides: OverridesAgree;
  readonly #world: SimWorld;
  readonly #cutOff: CutOffKeeps;
  readonly #allSeen: AllSeen;
  readonly #sure: SureOnlyWhen;
  readonly #zombies: NoZombies;
  readonly #convergence: Convergence;
  readonly left: NothingLeft;

  constructor(world: SimWorld) {
    this.#world = world;
    this.reach = new Reach(world);
    const { random } = world;
    const size = sizes[random.below(sizes.length)]!;
    const onPeerLoss = random.below(4) === 0 ? 'expire' : 'freeze';
    const addresses = Array.from({ length: size }, (_, i) => ({ host: '127.0.0.1', port: 7_001 + i }));
    const watchedAt = new Map<string, RegistryNode>();
    this.nodes = addresses.map((address, i) => {
      const peers = addresses.filter((each) => each !== address);
      return new RegistryNode(world, this.reach, `n${i + 1}`, address, { peers, onPeerLoss, watchedAt });
    });
    // Mostly few, as each costs time; sometimes many.
    const count = 6 + lateClients + random.below(random.below(4) === 0 ? 25 : 7);
    this.clients = Array.from({ length: count }, (_, i) => {
      const service = services[i % services.length]!;
      return new RegistryClient(world, this.reach, `c${i + 1}`, service, addresses, undefined);
    });
    this.watchers = Array.from({ length: 3 + random.below(2) }, (_, i) => {
      const service = services[i % services.length]!;
      return new RegistryClient(world, this.reach, `w${i + 1}`, service, addresses, (...list) =>
        this.lists.told(...list),
      );
    });
    const { nodes, clients, watchers } = this;
    this.views = new Views(world, this.reach, nodes, clients);
    this.removals = new NoLiveRemoved(world, this.reach, nodes, this.views);
    this.#cutOff = new CutOffKeeps(world, this.reach, nodes, this.views);
    this.#allSeen = new AllSeen(world, this.reach, { nodes, clients }, this.views, this.removals);
    this.#sure = new SureOnlyWhen(world, this.reach, nodes, clients, this.views);
    this.#zombies = new NoZombies(world, this.reach, nodes, clients, this.views);
    this.lists = new TrueLists(world, this.reach, { nodes, clients }, this.views, this.removals, watchedAt);
    this.#convergence = new Convergence(world, nodes, clients, watchers, this.views);
    this.overrides = new OverridesAgree(world, nodes, clients);
    this.left = new NothingLeft(world, nodes, [...clients, ...watchers]);
  }

  start(): void {
    const { random } = this.#world;
    for (const { process } of this.nodes) {
      process.wallClock.offsetMs = random.below(101) - 50;
      process.wallClock.driftPpm = random.below(401) - 200;
    }
    for (const { process } of this.clients) process.wallClock.offsetMs = random.below(2_001) - 1_000;
    for (const node of this.nodes) this.#world.after(random.below(800), () => node.start());
    for (const client of [...this.clients.slice(lateClients), ...this.watchers]) {
      this.#world.after(random.below(2_000), () => client.start());
    }
    const atWake = new NoEndAtWake(this.#world, this.reach, this.views);
    this.views.start([this.removals, this.#zombies, this.#cutOff, atWake]);
    this.#allSeen.start();
    this.#sure.start();
    this.#cutOff.start();
    this.#zombies.start();
    this.overrides.start();
    this.#keep();
  }

  /** A client that was never there yet. */
  newcomer(): RegistryClient | undefined {
    return this.clients.slice(0, lateClients).find(({ process }) => process.lives === 0);
  }

  /** The faults are over: from now on all has to come right. */
  settle(): void {
    for (const node of this.nodes) if (!node.isUp) node.start();
    this.overrides.stop();
    this.#convergence.begin();
  }

  /** Those that register and those that watch end what they have. */
  closeClients(): void {
    for (const client of [...this.clients, ...this.watchers]) client.close();
  }

  /** The name servers stop, and their processes stay to be looked at. */
  closeNodes(): void {
    for (const node of this.nodes) node.leave(false);
  }

  #keep(): void {
    for (const node of this.nodes) if (node.isWanted && !node.isUp && node.process.lives > 0) node.start();
    this.#world.after(keeperMs, () => this.#keep());
  }
}
