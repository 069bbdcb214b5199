import type { Instance } from '../../../src/discovery/instance.js';
import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { NoLiveRemoved } from './no-live-removed.js';
import type { RegistryNode } from './node.js';
import type { Reach } from './reach.js';
import type { Views } from './views.js';

/** A client that lately began to live says nothing about lists yet. */
const settledMs = 10_000;
/** What a name server lost is told to a listener within this time, also one that moves, wakes or waits for the network. */
const toldMs = 90_000;
/** Silence after which an instance is removed, and a bit for who learns of it when. */
const removalMs = 14_000;
/** A name server keeps what is held by one that it doesn't hear of for longer than this. */
const outOfSightMs = 15_000;
/** What a former life of a name server held is kept for so long. */
const keptMs = 15_000;
/** What was sent to a listener before a cut may come so long after it. */
const sentMs = 70_000;

/**
 * What listeners are told.
 *
 *   1. never the list that they have already
 *   2. never an empty list while an instance lives that its name server must show, or that could reach all of them, if
 *      their name server hears whoever holds it, or is sure of a list that had it; as the first of its life a listener
 *      may get one from a name server that doesn't say that it is sure
 *   3. a live instance goes from a list only when some name server stopped showing it: a move to another name server,
 *      one that starts, or one that is behind, is no reason; unless it was out of reach of everybody for too long, or
 *      whoever holds it was cut off, for longer than it is kept then, from the name server that tells, or both
 *      of them have just begun to live
 *   4. no instance that is dead and was seen to be gone everywhere
 */
export class TrueLists {
  lists = 0;
  readonly #world: SimWorld;
  readonly #reach: Reach;
  readonly #nodes: readonly RegistryNode[];
  readonly #clients: readonly RegistryClient[];
  readonly #views: Views;
  readonly #removals: NoLiveRemoved;
  readonly #watchedAt: ReadonlyMap<string, RegistryNode>;

  constructor(
    world: SimWorld,
    reach: Reach,
    parties: { readonly nodes: readonly RegistryNode[]; readonly clients: readonly RegistryClient[] },
    views: Views,
    removals: NoLiveRemoved,
    watchedAt: ReadonlyMap<string, RegistryNode>,
  ) {
    this.#world = world;
    this.#reach = reach;
    this.#nodes = parties.nodes;
    this.#clients = parties.clients;
    this.#views = views;
    this.#removals = removals;
    this.#watchedAt = watchedAt;
  }

  told(watcher: RegistryClient, before: readonly Instance[] | undefined, after: readonly Instance[]): void {
    this.lists++;
    if (!watcher.isLive) return;
    const at = this.#watchedAt.get(watcher.name)?.name;
    this.#world.log.add('list ', watcher.name, { at }, after.map(({ instanceId }) => instanceId).join(' '));
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(after)) {
      this.#fail(watcher, 'is told the list that it has');
    }
    if (after.length === 0) this.#checkEmpty(watcher, before);
    const ids = new Set(after.map(({ instanceId }) => instanceId));
    for (const { instanceId } of before ?? []) if (!ids.has(instanceId)) this.#checkGone(watcher, instanceId);
    const knew = new Set(before?.map(({ instanceId }) => instanceId));
    for (const id of ids) if (!knew.has(id)) this.#checkNew(watcher, id);
  }

  #checkEmpty(watcher: RegistryClient, before: readonly Instance[] | undefined): void {
    const node = this.#watchedAt.get(watcher.name);
    if ((before === undefined && node?.names?.core.viewState().isComplete !== true) || this.#mayBeAlone()) return;
    if (node === undefined || !this.#reach.isFine(watcher.process, node.process, settledMs)) return;
    for (const client of this.#clients) {
      if (client.service !== watcher.service || !client.isLive) continue;
      if (this.#removals.isHeld(node, client)) {
        this.#fail(watcher, `gets an empty list from ${node.name}, while ${client.name} lives`);
      } else if (this.#reachesAll(client) && this.#mayNotMiss(node, client, knew(before, client))) {
        this.#fail(watcher, `gets an empty list from ${node.name}, while ${client.name} lives and reaches everybody`);
      }
    }
  }

  #reachesAll(client: RegistryClient): boolean {
    if (client.bornMs > this.#reach.nowMs - 30_000 || !this.#reach.isCalm(client.process, 30_000)) return false;
    return this.#nodes.every(({ name, isUp }) => !isUp || this.#reach.isUncut(name, client.name, 20_000));
  }

  #checkGone(watcher: RegistryClient, id: string): void {
    const client = this.#clientOf(id);
    const { nowMs } = this.#reach;
    this.#views.look();
    if (!client.isLive || client.deadMs > nowMs - toldMs || this.#views.lostMs(client) > nowMs - toldMs) return;
    const isSilent = client.contactMs < nowMs - removalMs && client.bornMs < nowMs - removalMs;
    if (isSilent || this.#mayBeAlone()) return;
    const node = this.#watchedAt.get(watcher.name);
    if (node !== undefined && (this.#isOutOfSight(node, client) || this.#isNewToBoth(node, client))) return;
    this.#fail(watcher, `loses ${id} at ${node?.name}, which is alive and which no name server lost`);
  }

  /** Of what is out of its sight a name server says what it sees, unless it is sure: a client is to leave it. */
  #mayNotMiss(node: RegistryNode, client: RegistryClient, isListed: boolean): boolean {
    const isSure = node.names?.core.viewState().isComplete === true;
    return !this.#isOutOfSight(node, client) || (isListed && isSure);
  }

  /** For longer than it keeps what it doesn't hear of, the name server has heard nothing of whoever holds it. */
  #isOutOfSight(node: RegistryNode, client: RegistryClient): boolean {
    const holder = this.#views.lastHolder(client);
    return holder !== undefined && this.#reach.wasCutFor(node.name, holder.name, outOfSightMs, settledMs);
  }

  /**
   * Whoever held it lost it with its former life, and the name server that tells began later: only a third one knows of
   * it, for as long as it keeps it, and need not have reached either yet.
   */
  #isNewToBoth(node: RegistryNode, client: RegistryClient): boolean {
    const holder = this.#views.lastHolder(client);
    const sinceMs = this.#reach.nowMs - keptMs;
    return [node, holder].every((each) => each !== undefined && !this.#reach.hasRunSince(each.process, sinceMs));
  }

  /** One of two that is told to go on alone is sure of what it doesn't know. */
  #mayBeAlone(): boolean {
    const [first, second] = this.#nodes;
    if (this.#nodes.length > 2 || first!.onPeerLoss === 'freeze') return false;
    return !this.#reach.isFine(first!.process, second!.process, settledMs);
  }

  #checkNew(watcher: RegistryClient, id: string): void {
    const client = this.#clientOf(id);
    const node = this.#watchedAt.get(watcher.name);
    if (node === undefined || !this.#views.isGoneAt(node, client) || client.deadMs > this.#reach.nowMs - settledMs)
      return;
    if (!this.#reach.isCalm(node.process, settledMs)) return;
    const isOnTime =
      this.#nodes.every(({ name }) => this.#reach.isUncut(name, node.name, settledMs)) &&
      this.#reach.isCalm(watcher.process, settledMs) &&
      this.#nodes.every(({ name }) => this.#reach.isUncut(name, watcher.name, sentMs));
    if (isOnTime) this.#fail(watcher, `is told of ${id}, which is dead`);
  }

  #clientOf(id: string): RegistryClient {
    return this.#clients.find(({ name }) => name === id)!;
  }

  #fail(watcher: RegistryClient, what: string): void {
    this.#world.fail(new Error(`${watcher.name}, a listener, ${what}`));
  }
}

function knew(list: readonly Instance[] | undefined, { name }: RegistryClient): boolean {
  return list?.some(({ instanceId }) => instanceId === name) === true;
}
