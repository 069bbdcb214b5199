import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { RegistryNode } from './node.js';
import type { Reach } from './reach.js';
import type { ViewEvents, Views } from './views.js';

/**
 * What a dead instance may last, from its death or from the end of the last disturbance of any name server, whichever
 * is later: 30 s for which removal waits when many were lost at once, 15 s from the last frame to removal (or from a
 * start of its owner, whose former instances stay as long), 3 s for the beat between mark and removal, and ticks.
 */
const zombieMs = 50_000;
const lookMs = 1_000;

/** No zombie outlives its deadline, and none comes back once no name server has shown it. */
export class NoZombies implements ViewEvents {
  readonly #world: SimWorld;
  readonly #reach: Reach;
  readonly #nodes: readonly RegistryNode[];
  readonly #clients: readonly RegistryClient[];
  readonly #views: Views;

  constructor(
    world: SimWorld,
    reach: Reach,
    nodes: readonly RegistryNode[],
    clients: readonly RegistryClient[],
    views: Views,
  ) {
    this.#world = world;
    this.#reach = reach;
    this.#nodes = nodes;
    this.#clients = clients;
    this.#views = views;
  }

  start(): void {
    const look = (): void => {
      this.#look();
      this.#world.after(lookMs, look);
    };
    look();
  }

  appeared(node: RegistryNode, client: RegistryClient): void {
    if (!node.isReady || !this.#views.isGoneAt(node, client)) return;
    this.#world.fail(new Error(`${node.name} shows ${client.name} again, dead for ${this.#deadFor(client)}`));
  }

  removed(): void {}

  #look(): void {
    const { nowMs, disturbedMs } = this.#reach;
    for (const client of this.#clients) {
      if (client.isLive || nowMs - Math.max(client.deadMs, disturbedMs) <= zombieMs) continue;
      for (const node of this.#nodes) {
        if (!node.isReady || !this.#views.shown(node).has(client)) continue;
        this.#world.fail(new Error(`${node.name} still shows ${client.name}, dead for ${this.#deadFor(client)}`));
      }
    }
  }

  #deadFor({ deadMs }: RegistryClient): string {
    return `${((this.#reach.nowMs - deadMs) / 1_000).toFixed(1)} s`;
  }
}
