import { compareVersions, type InstanceVersion } from '../../../src/nameserver/instance.js';
import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { RegistryNode } from './node.js';
import type { Reach } from './reach.js';

const lookMs = 100;
/** Within this time a client that can reach a name server notices that another one is out of reach, and goes there. */
const contactMs = 9_000;
/** Whoever reaches another one for so long has told it what it knows. */
const fineMs = 8_000;
/** What one name server forwarded before it knew of an end may still arrive within this time. */
const onTheWayMs = 2_000;
const longAgo = -1e9;

/** Told of what the name servers show. */
export interface ViewEvents {
  appeared(node: RegistryNode, client: RegistryClient): void;
  /** A name server that went on running doesn't show it any more; `owner` is whose claim it showed last. */
  removed(node: RegistryNode, client: RegistryClient, owner: string): void;
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
  /** By name server: what it shows, and whose claim. */
  readonly #shown = new Map<RegistryNode, Map<RegistryClient, string>>();
  /** By name server: the versions of the claims of its own that it showed last. */
  readonly #ownVersions = new Map<RegistryNode, Map<RegistryClient, InstanceVersion>>();
  readonly #lives = new Map<RegistryNode, number>();
  readonly #lostMs = new Map<RegistryClient, number>();
  /** When some name server last showed it. */
  readonly #shownMs = new Map<RegistryClient, number>();
  /** The highest version that anybody held. */
  readonly #highest = new Map<RegistryClient, InstanceVersion>();
  readonly #holders = new Map<RegistryClient, Holder>();
  readonly #lastHolders = new Map<RegistryClient, RegistryNode>();

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
  shown(node: RegistryNode): ReadonlyMap<RegistryClient, string> {
    return this.#shown.get(node) ?? new Map();
  }

  /** The version of the name server's own claim, when it last showed that one. */
  ownVersion(node: RegistryNode, client: RegistryClient): InstanceVersion | undefined {
    return this.#ownVersions.get(node)?.get(client);
  }

  /** When a name server last stopped showing it. */
  lostMs(client: RegistryClient): number {
    return this.#lostMs.get(client) ?? longAgo;
  }

  /** Undefined when no name server that runs holds it. */
  holder(client: RegistryClient): Holder | undefined {
    return this.#holders.get(client);
  }

  /** The name server that holds it, or the last one that did. */
  lastHolder(client: RegistryClient): RegistryNode | undefined {
    return this.#lastHolders.get(client);
  }

  /**
   * A dead instance that must not be shown at a name server any more: nobody showed it since, or all but those who stood
   * still knew that it ended, and it is one of them, or one of them has reached it for a while.
   */
  isGoneAt(node: RegistryNode, client: RegistryClient): boolean {
    if (client.isLive) return false;
    if (client.isGoneEverywhere) return true;
    return this.#nodes.some((other) => {
      const { name, process } = other;
      if (client.endedAt?.get(name) !== process.lives || this.#reach.isPaused(name)) return false;
      return other === node || this.#reach.isFine(process, node.process, fineMs);
    });
  }

  look(): void {
    for (const client of this.#clients) {
      this.#lookForHolder(client);
      this.#noteContact(client);
    }
    for (const node of this.#nodes) this.#lookAt(node);
    for (const client of this.#clients) {
      if (this.#nodes.some((node) => node.isUp && this.shown(node).has(client))) {
        this.#shownMs.set(client, this.#world.nowMs);
      }
      if (client.isLive || client.isGoneEverywhere) continue;
      client.isGoneEverywhere = this.#world.nowMs - (this.#shownMs.get(client) ?? longAgo) >= onTheWayMs;
      client.endedAt = client.endedAt === undefined ? this.#endedAt(client) : this.#passedOn(client.endedAt);
    }
  }

  #endedAt(client: RegistryClient): ReadonlyMap<string, number> | undefined {
    const awake = this.#nodes.filter((node) => node.isUp && !this.#reach.isPaused(node.name));
    const isEnded = awake.every((node) => {
      const ended = node.names?.core.endedVersion(client.key);
      const highest = this.#highest.get(client);
      if (ended === undefined || highest === undefined || this.shown(node).has(client)) return false;
      return compareVersions(ended, highest) >= 0;
    });
    return isEnded && awake.length > 0 ? new Map(awake.map(({ name, process }) => [name, process.lives])) : undefined;
  }

  /** Whoever knows it tells those who start anew: they know it too, once they are ready and have reached it for a while. */
  #passedOn(known: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
    const told = new Map(known);
    for (const { name, process, isReady } of this.#nodes) {
      if (!isReady || known.get(name) === process.lives || this.#reach.isPaused(name)) continue;
      const isTold = this.#nodes.some((other) => {
        return known.get(other.name) === other.process.lives && this.#reach.isFine(other.process, process, fineMs);
      });
      if (isTold) told.set(name, process.lives);
    }
    return told;
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
      if (found === undefined || compareVersions(shown.claim.version, found) > 0)
        found = { node, incarnation, counter, sinceMs: this.#world.nowMs };
    }
    const highest = this.#highest.get(client);
    if (found !== undefined && (highest === undefined || compareVersions(found, highest) > 0)) {
      this.#highest.set(client, found);
    }
    const before = this.#holders.get(client);
    if (found !== undefined) this.#lastHolders.set(client, found.node);
    if (found === undefined) this.#holders.delete(client);
    else this.#holders.set(client, before?.node === found.node ? { ...found, sinceMs: before.sinceMs } : found);
  }

  #lookAt(node: RegistryNode): void {
    if (node.names === undefined || !node.isUp) return;
    const isNew = this.#lives.get(node) !== node.process.lives;
    if (isNew) {
      this.#lives.set(node, node.process.lives);
      this.#shown.set(node, new Map());
      this.#ownVersions.set(node, new Map());
    }
    const shown = this.#shown.get(node)!;
    const ownVersions = this.#ownVersions.get(node)!;
    for (const client of this.#clients) {
      const visible = node.names.core.visible(client.key);
      const owner = visible?.owner;
      if (visible !== undefined && owner === node.name) ownVersions.set(client, visible.claim.version);
      const before = shown.get(client);
      if (owner === before) continue;
      if (owner !== undefined) {
        shown.set(client, owner);
        if (before !== undefined) continue;
        this.#world.log.add('shows', node.name, { owner }, client.name);
        for (const each of this.#events) each.appeared(node, client);
      } else {
        shown.delete(client);
        this.#world.log.add('lost ', node.name, { owner: before }, client.name);
        this.#lostMs.set(client, this.#world.nowMs);
        for (const each of this.#events) each.removed(node, client, before!);
      }
    }
  }
}
