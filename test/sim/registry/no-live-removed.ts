import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { RegistryNode } from './node.js';
import type { Reach } from './reach.js';
import type { ViewEvents, Views } from './views.js';

/** A client that lately began, woke, or was reachable again may still be on its way to a new registration. */
const settledMs = 15_000;
/** A name server's newest claim has reached all who can be reached. */
const heldMs = 7_000;
const fineMs = 8_000;
/** Removal takes longer, whatever was missed. */
const wokenMs = 10_000;
/** All that a disturbance of any kind leads to is over. */
const calmMs = 25_000;

/**
 * No live session is removed at a name server that isn't cut from its owner. A ready name server may stop showing the
 * instance of a live client only when
 *
 *   1. the two name servers, that one and the one that holds the newest claim, or the client and the latter, were cut
 *      from each other, or one of the three started or stood still, within the last seconds; or the claim is that new;
 *   2. and, whoever holds it, some name server was cut off or stood still within the last 25 s, or the client was, or
 *      that one started: the start of another one is no reason.
 *
 * Nor is one removed by a name server that lost many clients at once, in the first 20 s; nor, when all stood still at
 * once and there had been no fault before, in the first 10 s after that.
 */
export class NoLiveRemoved implements ViewEvents {
  removals = 0;
  #asleepMs = Number.NEGATIVE_INFINITY;
  #awakeMs = Number.NEGATIVE_INFINITY;
  /** Those of whom nobody may say that they were silent before all fell asleep. */
  #slept: ReadonlySet<RegistryClient> = new Set();
  readonly #world: SimWorld;
  readonly #reach: Reach;
  readonly #nodes: readonly RegistryNode[];
  readonly #views: Views;

  constructor(world: SimWorld, reach: Reach, nodes: readonly RegistryNode[], views: Views) {
    this.#world = world;
    this.#reach = reach;
    this.#nodes = nodes;
    this.#views = views;
  }

  /** All stand still from now on, for so long. */
  asleep(clients: readonly RegistryClient[], forMs: number): void {
    this.#slept = new Set(
      clients.filter((each) => each.isLive && this.#nodes.every((at) => this.#isAllCalm(at, each))),
    );
    this.#asleepMs = this.#reach.nowMs;
    this.#awakeMs = this.#asleepMs + forMs;
  }

  appeared(): void {}

  removed(node: RegistryNode, client: RegistryClient): void {
    this.removals++;
    if (!node.isReady || !client.isLive) return;
    const isJustAwake = this.#reach.nowMs < this.#awakeMs + wokenMs && client.deadMs < this.#asleepMs;
    const hasSleptOn = this.#nodes.every((each) => this.#reach.hasRunSince(each.process, this.#asleepMs));
    if (this.#slept.has(client) && isJustAwake && hasSleptOn) {
      this.#fail(node, client, 'all had stood still');
    } else if (this.#isOneOfMany(node, client)) {
      this.#fail(node, client, 'it lost its name server with many others at once');
    } else if (this.isHeld(node, client)) {
      this.#fail(node, client, `${this.#views.holder(client)!.node.name} holds it`);
    } else if (this.#isAllCalm(node, client)) {
      this.#fail(node, client, `there was no fault for ${calmMs / 1_000} s`);
    }
  }

  /** True when the name server must show it, since it has reached whoever holds its newest claim for a while. */
  isHeld(node: RegistryNode, client: RegistryClient): boolean {
    const holder = this.#views.holder(client);
    if (holder === undefined || !this.isSettled(client, heldMs)) return false;
    return this.#reach.isFine(node.process, holder.node.process, fineMs);
  }

  /** True for a live client whose newest claim is held, for so long, by a name server that it has reached for a while. */
  isSettled(client: RegistryClient, forMs: number): boolean {
    const { nowMs } = this.#reach;
    const holder = this.#views.holder(client);
    if (holder === undefined || holder.sinceMs >= nowMs - forMs || client.bornMs >= nowMs - settledMs) return false;
    return this.#reach.isFine(client.process, holder.node.process, settledMs);
  }

  #isOneOfMany(node: RegistryNode, { massUntilMs, massAt }: RegistryClient): boolean {
    if (massAt === undefined || massUntilMs < this.#reach.nowMs) return false;
    const at = this.#nodes.find(({ name }) => name === massAt)!;
    return this.#reach.isFine(node.process, at.process, 40_000);
  }

  #isAllCalm(node: RegistryNode, client: RegistryClient): boolean {
    const { process } = client;
    if (!this.#reach.isCalm(process, calmMs) || client.bornMs > this.#reach.nowMs - calmMs) return false;
    if (!this.#reach.isCalm(node.process, calmMs)) return false;
    return this.#nodes.every((each) => {
      const isCalm = !each.isUp || this.#reach.isAwake(each.process, calmMs);
      const isSeen = this.#reach.isUncut(each.name, node.name, calmMs);
      return isCalm && isSeen && this.#reach.isUncut(each.name, process.name, calmMs);
    });
  }

  #fail(node: RegistryNode, client: RegistryClient, why: string): void {
    this.#world.fail(new Error(`${node.name} removed ${client.name}, which is alive: ${why}`));
  }
}
