import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { RegistryNode } from './node.js';
import type { Reach } from './reach.js';

const lookMs = 100;
/** Within this time a client that can reach a name server notices that another one is out of reach, and goes there. */
const contactMs = 9_000;
const longAgo = -1e9;

/** Told of what the name servers show. */
export interface ViewEvents {
  appeared(node: RegistryNode, client: RegistryClient): void;
  /** A name server that went on running doesn't show it any more. */
  removed(node: RegistryNode, client: RegistryClient): void;
}

/** Who holds an instance's newest claim, and since when. */
export interface Holder {
  readonly node: RegistryNode;
  readonly incarnation: number;
  readonly counter: number;
  readonly sinceMs: number;
}

/** Looks at what every name server shows, ten times a second, and keeps who showed what until when. */
export class Views {
  readonly #world: SimWorld;
  readonly #reach: Reach;
  readonly #nodes: readonly RegistryNode[];
  readonly #clients: readonly RegistryClient[];
  readonly #events: ViewEvents[] = [];
  readonly #shown = new Map<RegistryNode, Set<RegistryClient>>();
  readonly #lives = new Map<RegistryNode, number>();
  readonly #lostMs = new Map<RegistryClient, number>();
  readonly #holders = new Map<RegistryClient, Holder>();

  constructor(world: SimWorld, reach: Reach, nodes: readonly RegistryNode[], clients: readonly RegistryClient[]) {
    this.#world = world;
    this.#reach = reach;
    this.#nodes = nodes;
    this.#clients = clients;
  }

  start(events: readonly ViewEvents[]): void {
    this.#events.push(...events);
    const look = (): void => {
      this.look();
      this.#world.after(lookMs, look);
    };
    look();
  }

  /** What the name server showed at the last look. */
  shown(node: RegistryNode): ReadonlySet<RegistryClient> {
    return this.#shown.get(node) ?? new Set();
  }

  /** When a name server last stopped showing it. */
  lostMs(client: RegistryClient): number {
    return this.#lostMs.get(client) ?? longAgo;
  }

  /** Undefined when no name server that runs holds it. */
  holder(client: RegistryClient): Holder | undefined {
    return this.#holders.get(client);
  }

  look(): void {
    for (const client of this.#clients) {
      this.#lookForHolder(client);
      this.#noteContact(client);
    }
    for (const node of this.#nodes) this.#lookAt(node);
    for (const client of this.#clients) {
      if (client.isLive || client.isGoneEverywhere) continue;
      client.isGoneEverywhere = this.#nodes.every((node) => !node.isUp || !this.shown(node).has(client));
    }
  }

  #noteContact(client: RegistryClient): void {
    const { nowMs } = this.#reach;
    const isReached =
      client.isLive &&
      !this.#reach.isPaused(client.name) &&
      this.#nodes.some(({ name, isReady }) => {
        return isReady && !this.#reach.isPaused(name) && this.#reach.isUncut(name, client.name, 0);
      });
    if (!isReached) client.reachesSinceMs = nowMs;
    else if (nowMs - client.reachesSinceMs >= contactMs) client.contactMs = nowMs;
  }

  #lookForHolder(client: RegistryClient): void {
    let found: Holder | undefined;
    for (const node of this.#nodes) {
      if (node.names === undefined || !node.isUp) continue;
      const shown = node.names.core.visible(client.key);
      if (shown === undefined || shown.owner !== node.name) continue;
      const { incarnation, counter } = shown.claim.version;
      const isHigher =
        found === undefined ||
        incarnation > found.incarnation ||
        (incarnation === found.incarnation && counter > found.counter);
      if (isHigher) found = { node, incarnation, counter, sinceMs: this.#world.nowMs };
    }
    const before = this.#holders.get(client);
    if (found === undefined) this.#holders.delete(client);
    else if (before?.node !== found.node) this.#holders.set(client, found);
  }

  #lookAt(node: RegistryNode): void {
    if (node.names === undefined || !node.isUp) return;
    const isNew = this.#lives.get(node) !== node.process.lives;
    if (isNew) {
      this.#lives.set(node, node.process.lives);
      this.#shown.set(node, new Set());
    }
    const shown = this.#shown.get(node)!;
    for (const client of this.#clients) {
      const isShown = node.names.core.visible(client.key) !== undefined;
      if (isShown === shown.has(client)) continue;
      if (isShown) {
        shown.add(client);
        this.#world.log.add('shows', node.name, {}, client.name);
        for (const each of this.#events) each.appeared(node, client);
      } else {
        shown.delete(client);
        this.#world.log.add('lost ', node.name, {}, client.name);
        this.#lostMs.set(client, this.#world.nowMs);
        for (const each of this.#events) each.removed(node, client);
      }
    }
  }
}
