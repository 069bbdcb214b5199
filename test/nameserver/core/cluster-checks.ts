import type { OwnerPosition } from '../../../src/nameserver/core/view-state.js';
import { compareVersions, type InstanceVersion } from '../../../src/nameserver/instance.js';
import type { ClusterClient, ListOnlooker } from './cluster-client.js';
import type { ClusterNode, ListMessage, Onlooker } from './cluster-node.js';
import { services } from './cluster-node.js';
import type { ClusterWorld } from './cluster-world.js';

/** When the faults end. */
export const faultsEndMs = 120_000;
export const endMs: number = faultsEndMs + 170_000;

/**
 * What a cluster of name servers promises.
 *
 *   a  logs agree 5 s after the faults, all live clients are seen everywhere at +25 s, view = truth at +75 s
 *      and at any time what was registered long enough is seen where one other node lies between
 *   b  no live instance leaves the view of a node that is connected to its owner
 *   g  a node that reaches no other loses no live instance of another one
 *   c  no zombie past its bound; none is seen again after all nodes had removed it; what was deregistered is nowhere to
 *      be seen where the node that answered is heard
 *   d  d1 no authoritative empty list beside a live instance; d2 no removal caused only by a watcher's move
 *   e  every node ready at +20 s, no node stops itself (there are no twins here)
 *   f  no tombstone left at +165 s
 */
export class ClusterChecks implements Onlooker, ListOnlooker {
  readonly #world: ClusterWorld;
  readonly #nodes: readonly ClusterNode[];
  readonly #clients: readonly ClusterClient[];
  readonly #watchers: readonly ClusterClient[];
  readonly #ended = new Map<
    number,
    { readonly at: ClusterNode; readonly boot: number; readonly version: InstanceVersion; readonly atMs: number }
  >();

  constructor(
    world: ClusterWorld,
    nodes: readonly ClusterNode[],
    clients: readonly ClusterClient[],
    watchers: readonly ClusterClient[],
  ) {
    this.#world = world;
    this.#nodes = nodes;
    this.#clients = clients;
    this.#watchers = watchers;
  }

  /** Arms the checks that come at their time. */
  arm(): void {
    this.#watchDead();
    this.#watchRelayed();
    const positions = new Map<ClusterNode, { boot: number; isOld: boolean; own: OwnerPosition }>();
    this.#world.after(faultsEndMs + 2_000, () => {
      for (const node of this.#nodes) {
        const isOld = this.#world.nowMs - node.upMs > 3_000;
        positions.set(node, { boot: node.boot, isOld, own: positionOf(node, node.key)! });
      }
    });
    this.#world.after(faultsEndMs + 7_000, () => this.#checkLogs(positions));
    this.#world.after(faultsEndMs + 20_000, () => {
      for (const node of this.#nodes) if (!node.isReady) this.#world.fail('e', `${node.key} is not ready`);
    });
    this.#world.after(faultsEndMs + 25_000, () => {
      for (const node of this.#nodes) {
        for (const client of this.#clients) {
          if (!client.isLive || node.view.has(client.id)) continue;
          const where = client.owner?.key ?? client.state;
          this.#world.fail('a', `${node.key} does not see the live ${client.key} (${where})`);
        }
      }
    });
    this.#world.after(faultsEndMs + 75_000, () => this.#checkTruth());
    this.#world.after(endMs - 5_000, () => {
      for (const { key, core } of this.#nodes) {
        if (core.tombstoneCount > 0) this.#world.fail('f', `${key} keeps ${core.tombstoneCount} tombstones`);
      }
    });
  }

  removed(node: ClusterNode, id: number, owner: string): void {
    const world = this.#world;
    const client = this.#clients[id]!;
    if (!node.isReady || !client.isLive) return;
    const { nowMs } = world;
    this.#checkFrozen(node, client, owner);
    const { massAt } = client;
    if (client.massUntilMs > nowMs && world.isCalm(node, 40_000) && massAt !== undefined) {
      if (world.isFine(node, massAt, 40_000)) {
        world.fail('b', `${node.key} lost ${client.key} during a mass disconnect`);
        return;
      }
    }
    if (client.backMs > nowMs - 1_000 || client.contactMs < nowMs - 9_000) return;
    if (client.pause !== undefined || client.bornMs > nowMs - 5_000) return;
    const holder = client.owner;
    const isOwned = holder !== undefined && client.registeredMs < nowMs - 7_000 && world.isFine(node, holder, 8_000);
    const isUncut =
      client.contactMs > nowMs - 4_000 &&
      world.isCalm(node, 25_000) &&
      this.#nodes.every((other) => {
        const isAwake = !other.isUp || (other.pause === undefined && other.wokeMs < nowMs - 25_000);
        return other === node || (isAwake && world.isUncut(node, other, 25_000));
      });
    if (!isOwned && !isUncut) return;
    const where = holder?.key ?? 'none (moving)';
    world.fail('b', `${node.key} lost ${client.key}, alive, owner ${where}${isOwned ? '' : ', no cut for 25 s'}`);
  }

  appeared(node: ClusterNode, id: number): void {
    const client = this.#clients[id]!;
    if (!node.isReady || client.isLive || !client.isGoneEverywhere) return;
    this.#world.fail('c', `${node.key} shows ${client.key} again, dead since ${(client.deadMs / 1_000).toFixed(1)}`);
  }

  ended(node: ClusterNode, id: number, version: InstanceVersion): void {
    this.#ended.set(id, { at: node, boot: node.boot, version, atMs: this.#world.nowMs });
  }

  listed(watcher: ClusterClient, node: ClusterNode, { isAuthoritative, list }: ListMessage): void {
    if (!isAuthoritative || list.length > 0) return;
    const world = this.#world;
    const { nowMs } = world;
    for (const client of this.#clients) {
      if (client.id % services !== watcher.watch || !client.isLive || client.bornMs >= nowMs - 20_000) continue;
      const { owner } = client;
      const isOwned =
        owner !== undefined &&
        client.registeredMs < nowMs - 6_000 &&
        client.contactMs > nowMs - 6_000 &&
        world.isFine(node, owner, 8_000);
      const isReached =
        nowMs - client.contactMs < 40_000 &&
        world.isCalm(client, 30_000) &&
        this.#nodes.every((each) => !each.isUp || world.isUncut(each, client, 20_000));
      if (!isOwned && !isReached) continue;
      world.fail(
        'd1',
        `${watcher.key} gets an authoritative empty list from ${node.key}, ${client.key} lives at ${owner?.key ?? 'none'}`,
      );
      return;
    }
  }

  dropped(watcher: ClusterClient, node: ClusterNode, id: number): void {
    const world = this.#world;
    const { nowMs } = world;
    const client = this.#clients[id]!;
    const { owner, formerOwner } = client;
    const isSteady =
      client.isLive &&
      client.backMs < nowMs - 1_000 &&
      client.contactMs > nowMs - 6_000 &&
      client.bornMs < nowMs - 5_000 &&
      owner !== undefined &&
      (client.registeredMs < nowMs - 1_000 || (formerOwner !== undefined && world.isFine(formerOwner, node, 8_000)));
    const hasMoved = nowMs - watcher.cameMs < 4_000 && watcher.formerNode !== undefined && watcher.formerNode !== node;
    if (!isSteady || !hasMoved || !watcher.formerList.has(id)) return;
    const isQuiet = this.#nodes.every((each) => {
      if (!each.isUp || each.pause !== undefined || each === node) return true;
      return world.isFine(each, node, 3_000) || !world.isCalm(each, 3_000);
    });
    if (!isQuiet || !world.isFine(owner, node, 8_000)) return;
    const way = `${watcher.formerNode?.key}→${node.key}`;
    world.fail('d2', `${watcher.key} moved ${way} and loses ${client.key}, alive at ${owner.key}`);
  }

  #checkFrozen(node: ClusterNode, client: ClusterClient, owner: string): void {
    const world = this.#world;
    const isAlone = this.#nodes.every((other) => other === node || world.isSevered(node, other, 10_000));
    const isSteady =
      client.pause === undefined && client.contactMs > world.nowMs - 6_000 && client.bornMs < world.nowMs - 20_000;
    if (!isAlone || !isSteady || owner === node.key || !world.isCalm(node, 20_000)) return;
    world.fail('g', `${node.key} is alone and lost ${client.key} of ${owner}`);
  }

  #watchDead(): void {
    const { nowMs } = this.#world;
    for (const client of this.#clients) {
      if (client.isLive || client.isGoneEverywhere || client.deadMs < 0 || nowMs - client.deadMs <= 500) continue;
      client.isGoneEverywhere = this.#nodes.every((node) => !node.view.has(client.id));
    }
    for (const [id, { at, boot, version, atMs }] of this.#ended) {
      if (nowMs - atMs < 8_000 || at.boot !== boot) continue;
      for (const node of this.#nodes) {
        const shown = node.view.get(id);
        if (shown === undefined || !node.isReady || compareVersions(shown, version) > 0) continue;
        if (!this.#world.isFine(node, at, 8_000)) continue;
        this.#world.fail('c', `${node.key} shows c${id}, deregistered at ${at.key} at ${(atMs / 1_000).toFixed(1)}`);
        this.#ended.delete(id);
      }
    }
    if (nowMs < endMs) this.#world.after(200, () => this.#watchDead());
  }

  /** Over one node that has met both all the time, a registration gets everywhere. */
  #watchRelayed(): void {
    const world = this.#world;
    const { nowMs } = world;
    for (const client of this.#clients) {
      const { owner, registeredMs } = client;
      if (owner === undefined || !client.isLive || client.pause !== undefined) continue;
      if (nowMs - registeredMs < 12_000 || client.contactMs < nowMs - 6_000) continue;
      const ms = nowMs - registeredMs + 8_000;
      for (const node of this.#nodes) {
        if (node === owner || !node.isReady || node.view.has(client.id)) continue;
        const isMet = (over: ClusterNode): boolean =>
          over !== node && over !== owner && world.isFine(owner, over, ms) && world.isFine(over, node, ms);
        const over = this.#nodes.find(isMet);
        if (over !== undefined) world.fail('a', `${node.key} lacks ${client.key} of ${owner.key}, over ${over.key}`);
      }
    }
    if (nowMs < endMs) world.after(1_000, () => this.#watchRelayed());
  }

  #checkLogs(before: ReadonlyMap<ClusterNode, { boot: number; isOld: boolean; own: OwnerPosition }>): void {
    for (const node of this.#nodes) {
      for (const owner of this.#nodes) {
        const { boot, isOld, own } = before.get(owner)!;
        if (node === owner || !isOld || boot !== owner.boot || this.#world.nowMs - node.upMs <= 6_000) continue;
        const has = positionOf(node, owner.key);
        const isThere =
          has !== undefined &&
          (has.incarnation > own.incarnation || (has.incarnation === own.incarnation && has.sequence >= own.sequence));
        if (isThere) continue;
        const positions = `${has?.incarnation}/${has?.sequence} < ${own.incarnation}/${own.sequence}`;
        this.#world.fail('a', `${node.key} has not caught up with ${owner.key}: ${positions}`);
      }
    }
  }

  #checkTruth(): void {
    const truth = names(this.#clients.filter((client) => client.isLive).map(({ id }) => id));
    for (const node of this.#nodes) {
      const view = names(node.view.keys());
      if (view !== truth) this.#world.fail('ac', `${node.key} view ${view} ≠ truth ${truth}`);
    }
    for (const watcher of this.#watchers) {
      const live = this.#clients.filter((client) => client.isLive && client.id % services === watcher.watch);
      const expected = names(live.map(({ id }) => id));
      const seen = names(watcher.list.keys());
      if (seen !== expected)
        this.#world.fail('ac', `${watcher.key} at ${watcher.node?.key} sees ${seen} ≠ ${expected}`);
    }
  }
}

function positionOf(node: ClusterNode, owner: string): OwnerPosition | undefined {
  return node.core.viewState().revision.find((each) => each.owner === owner);
}

function names(ids: Iterable<number>): string {
  return [...ids].sort((a, b) => a - b).join(',');
}
