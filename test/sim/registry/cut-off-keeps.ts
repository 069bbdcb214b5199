import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { RegistryNode } from './node.js';
import type { Reach } from './reach.js';
import type { ViewEvents, Views } from './views.js';

/** After so long without any other one a name server knows that it is alone, and nothing learnt before is still to come. */
const aloneMs = 7_000;
/** The end of its former registration may reach a name server so late when a client has come back. */
const backMs = 15_000;
const lookMs = 250;

/**
 * A name server that hears no other one expires nothing of theirs: what it showed when it noticed, it shows until it hears
 * somebody again, unless the instance's client says otherwise to itself. Not asked of one that is told to go on alone.
 */
export class CutOffKeeps implements ViewEvents {
  readonly #world: SimWorld;
  readonly #reach: Reach;
  readonly #nodes: readonly RegistryNode[];
  readonly #views: Views;
  readonly #togetherMs = new Map<RegistryNode, number>();

  constructor(world: SimWorld, reach: Reach, nodes: readonly RegistryNode[], views: Views) {
    this.#world = world;
    this.#reach = reach;
    this.#nodes = nodes;
    this.#views = views;
  }

  start(): void {
    const look = (): void => {
      for (const node of this.#nodes) if (!this.#isAlone(node)) this.#togetherMs.set(node, this.#reach.nowMs);
      this.#world.after(lookMs, look);
    };
    look();
  }

  appeared(): void {}

  removed(node: RegistryNode, client: RegistryClient, owner: string): void {
    if (this.#nodes.length === 2 && node.onPeerLoss === 'expire') return;
    if (!client.wants || owner === node.name || !node.isReady || !this.#isAlone(node)) return;
    const forMs = this.#reach.nowMs - (this.#togetherMs.get(node) ?? 0);
    if (forMs < aloneMs || !this.#reach.isCalm(node.process, aloneMs)) return;
    const hasComeBack = client.bornMs > client.deadMs && this.#reach.nowMs - client.bornMs < backMs;
    if (hasComeBack || this.#views.holder(client)?.node === node) return;
    const alone = `${node.name}, which has heard nobody for ${(forMs / 1_000).toFixed(1)} s`;
    this.#world.fail(new Error(`${alone}, removed ${client.name}, which ${owner} owned`));
  }

  #isAlone(node: RegistryNode): boolean {
    return this.#nodes.every((other) => {
      if (other === node) return true;
      return !other.isUp || this.#reach.isPaused(other.name) || this.#reach.isCut(other.name, node.name);
    });
  }
}
