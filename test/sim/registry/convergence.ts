import type { OwnerPosition } from '../../../src/nameserver/core/view-state.js';
import { compareVersions } from '../../../src/nameserver/instance.js';
import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { RegistryNode } from './node.js';
import type { Views } from './views.js';

/** What a name server had when the faults ended. */
interface Before {
  readonly node: RegistryNode;
  readonly lives: number;
  readonly own: OwnerPosition;
  /** Live clients whose newest claim it held. */
  readonly clients: readonly RegistryClient[];
}

export const convergedMs = 3_000;
export const allReadyMs = 20_000;
export const allSeenMs = 25_000;
export const truthMs = 75_000;

/**
 * After the faults:
 *
 *   +3 s    of all name servers that ran and had started when the faults ended, each has every other one's log at least
 *           as far as it was then, and shows every live instance that it held then, unless a former end hides it
 *   +20 s   each name server is ready
 *   +25 s   each shows every live instance
 *   +75 s   each shows exactly the live instances, as they were registered last; each listener's list has just these
 */
export class Convergence {
  readonly #world: SimWorld;
  readonly #nodes: readonly RegistryNode[];
  readonly #clients: readonly RegistryClient[];
  readonly #watchers: readonly RegistryClient[];
  readonly #views: Views;

  constructor(
    world: SimWorld,
    nodes: readonly RegistryNode[],
    clients: readonly RegistryClient[],
    watchers: readonly RegistryClient[],
    views: Views,
  ) {
    this.#world = world;
    this.#nodes = nodes;
    this.#clients = clients;
    this.#watchers = watchers;
    this.#views = views;
  }

  /** The faults are over now. */
  begin(): void {
    const before = this.#nodes.filter((node) => this.#hasStarted(node)).map((node) => this.#positionOf(node));
    this.#world.after(convergedMs, () => this.#checkConverged(before));
    this.#world.after(allReadyMs, () => this.#checkReady());
    this.#world.after(allSeenMs, () => this.#checkSeen());
    this.#world.after(truthMs, () => this.#checkTruth());
  }

  #hasStarted({ names, isUp }: RegistryNode): boolean {
    return isUp && names !== undefined && names.core.incarnation > 0;
  }

  #positionOf(node: RegistryNode): Before {
    const { core } = node.names!;
    const own = { owner: node.name, incarnation: core.incarnation, sequence: core.sequence };
    const clients = this.#clients.filter((client) => client.isLive && this.#views.holder(client)?.node === node);
    return { node, lives: node.process.lives, own, clients };
  }

  #checkConverged(before: readonly Before[]): void {
    const still = before.filter(({ node, lives }) => node.process.lives === lives && this.#hasStarted(node));
    for (const { node } of still) {
      const positions = node.names!.core.viewState().revision;
      for (const { node: other, own, clients } of still) {
        if (node === other) continue;
        const has = positions.find(({ owner }) => owner === other.name);
        if (has === undefined || isBelow(has, own)) {
          const positions = `${has?.incarnation}/${has?.sequence}, not ${own.incarnation}/${own.sequence}`;
          this.#fail(`${node.name} has the log of ${other.name} up to ${positions}`, convergedMs);
        }
        for (const client of clients) {
          if (!client.isLive || node.names!.core.visible(client.key) !== undefined) continue;
          // Whether its own name server was right to end it is another checker's question.
          if (other.names!.core.visible(client.key) === undefined) continue;
          if (this.#isHiddenByItsFormerEnd(node, client)) continue;
          this.#fail(`${node.name} does not show ${client.name}, which ${other.name} held`, convergedMs);
        }
      }
    }
  }

  /** A client that was born anew with its clock behind hears of that at its next beat, and goes above it then. */
  #isHiddenByItsFormerEnd(node: RegistryNode, client: RegistryClient): boolean {
    const ended = node.names!.core.endedVersion(client.key);
    const held = this.#views.holder(client);
    return ended !== undefined && held !== undefined && compareVersions(ended, held) >= 0;
  }

  #checkReady(): void {
    for (const { name, isReady } of this.#nodes) if (!isReady) this.#fail(`${name} is not ready`, allReadyMs);
  }

  #checkSeen(): void {
    this.#views.look();
    for (const node of this.#nodes) {
      for (const client of this.#clients) {
        if (!client.isLive || this.#views.shown(node).has(client)) continue;
        this.#fail(`${node.name} does not show ${client.name}, which is alive`, allSeenMs);
      }
    }
  }

  #checkTruth(): void {
    this.#views.look();
    const live = this.#clients.filter(({ isLive }) => isLive);
    for (const node of this.#nodes) {
      const shown = names(this.#views.shown(node).keys());
      if (shown !== names(live)) this.#fail(`${node.name} shows ${shown}, not ${names(live)}`, truthMs);
      for (const client of live) this.#checkVersion(node, client);
    }
    for (const { name, service, list } of this.#watchers) {
      const listed = (list ?? []).map(({ instanceId }) => instanceId).sort();
      const truth = names(live.filter((client) => client.service === service));
      if (listed.join(' ') !== truth) this.#fail(`${name} is told ${listed.join(' ')}, not ${truth}`, truthMs);
    }
  }

  #checkVersion(node: RegistryNode, client: RegistryClient): void {
    const shown = node.names!.core.visible(client.key)?.claim.version;
    const held = this.#views.holder(client);
    if (shown?.incarnation === held?.incarnation && shown?.counter === held?.counter) return;
    this.#fail(`${node.name} shows another version of ${client.name} than ${held?.node.name} holds`, truthMs);
  }

  #fail(what: string, afterMs: number): void {
    this.#world.fail(new Error(`${afterMs / 1_000} s after the faults ${what}`));
  }
}

function isBelow(a: OwnerPosition, b: OwnerPosition): boolean {
  return a.incarnation < b.incarnation || (a.incarnation === b.incarnation && a.sequence < b.sequence);
}

function names(clients: Iterable<RegistryClient>): string {
  return [...clients]
    .map(({ name }) => name)
    .sort()
    .join(' ');
}
