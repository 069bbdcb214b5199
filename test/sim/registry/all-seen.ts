import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { NoLiveRemoved } from './no-live-removed.js';
import type { RegistryNode } from './node.js';
import type { Reach } from './reach.js';
import type { Views } from './views.js';

const lookMs = 1_000;
/** Logs have come over another name server within this time: two digests, two pulls. */
const relayedMs = 10_000;

/**
 * A live instance is seen wherever there is a way to: at each ready name server that reaches the one that holds it, or
 * reaches a third one that does, for a while.
 */
export class AllSeen {
  readonly #world: SimWorld;
  readonly #reach: Reach;
  readonly #nodes: readonly RegistryNode[];
  readonly #clients: readonly RegistryClient[];
  readonly #views: Views;
  readonly #removals: NoLiveRemoved;

  constructor(
    world: SimWorld,
    reach: Reach,
    parties: { readonly nodes: readonly RegistryNode[]; readonly clients: readonly RegistryClient[] },
    views: Views,
    removals: NoLiveRemoved,
  ) {
    this.#world = world;
    this.#reach = reach;
    this.#nodes = parties.nodes;
    this.#clients = parties.clients;
    this.#views = views;
    this.#removals = removals;
  }

  start(): void {
    const look = (): void => {
      for (const client of this.#clients) if (client.isLive) this.#look(client);
      this.#world.after(lookMs, look);
    };
    look();
  }

  #look(client: RegistryClient): void {
    for (const node of this.#nodes) {
      if (!node.isReady || this.#reach.isPaused(node.name) || this.#views.shown(node).has(client)) continue;
      const holder = this.#views.holder(client)?.node;
      if (this.#removals.isHeld(node, client)) {
        this.#world.fail(new Error(`${node.name} does not show ${client.name}, which is alive at ${holder!.name}`));
        return;
      }
      const over = holder === undefined ? undefined : this.#wayOver(node, holder);
      if (over === undefined || !this.#removals.isSettled(client, relayedMs)) continue;
      const way = `${holder!.name}, which it reaches over ${over.name}`;
      this.#world.fail(new Error(`${node.name} does not show ${client.name}, which is alive at ${way}`));
      return;
    }
  }

  #wayOver(node: RegistryNode, holder: RegistryNode): RegistryNode | undefined {
    return this.#nodes.find((over) => {
      if (over === node || over === holder) return false;
      const isReached = this.#reach.isFine(over.process, holder.process, relayedMs);
      return isReached && this.#reach.isFine(node.process, over.process, relayedMs);
    });
  }
}
