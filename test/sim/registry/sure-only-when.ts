import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { RegistryNode } from './node.js';
import type { Reach } from './reach.js';
import type { Views } from './views.js';

const lookMs = 250;
/**
 * A name server knows after so long that it doesn't reach another one any more: one that it still hears says for 5 s that
 * it hears this one, and is believed for 5 s more. Until then it counts with those who are reached.
 */
const noticedMs = 11_500;
/** A client goes to a name server that isn't cut off within this time, and is seen from there. */
const movedMs = 30_000;

/**
 * What may be believed of a name server:
 *
 *   1. it is sure of absences only while it reaches most of the name servers, both ways, unless it is to go on alone
 *   2. while it does, and has for a while, it shows every live instance whose client could reach every name server
 *   3. in one of its lives no log that it has ever goes back, and none is ahead of what its writer wrote
 */
export class SureOnlyWhen {
  readonly #world: SimWorld;
  readonly #reach: Reach;
  readonly #nodes: readonly RegistryNode[];
  readonly #clients: readonly RegistryClient[];
  readonly #views: Views;
  /** By name server: when it last reached each one. */
  readonly #reachedMs = new Map<RegistryNode, Map<RegistryNode, number>>();
  readonly #minorityMs = new Map<RegistryNode, number>();
  readonly #positions = new Map<RegistryNode, { life: number; logs: Map<string, readonly [number, number]> }>();

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
      for (const node of this.#nodes) this.#look(node);
      this.#world.after(lookMs, look);
    };
    look();
  }

  #look(node: RegistryNode): void {
    const { nowMs } = this.#reach;
    const inTouch = this.#nodes.filter((other) => this.#isInTouch(node, other));
    if (2 * inTouch.length <= this.#nodes.length) this.#minorityMs.set(node, nowMs);
    const reachedMs = this.#noteReached(node, inTouch);
    if (node.names === undefined || !node.isUp || this.#reach.isPaused(node.name)) return;
    const { revision, isComplete } = node.names.core.viewState();
    const isLone = this.#nodes.length === 2 && node.onPeerLoss === 'expire';
    const isNoticed = !this.#isMost(reachedMs, noticedMs) && this.#reach.isCalm(node.process, noticedMs);
    if (isComplete && !isLone && isNoticed) {
      this.#fail(`${node.name} is sure of absences, without most of the others for ${noticedMs / 1_000} s`);
    }
    this.#checkPositions(node, revision);
    if (node.isReady && nowMs - (this.#minorityMs.get(node) ?? 0) > movedMs) this.#checkShown(node);
  }

  #checkShown(node: RegistryNode): void {
    if (!this.#reach.isCalm(node.process, movedMs)) return;
    for (const client of this.#clients) {
      if (!client.isLive || client.bornMs > this.#reach.nowMs - movedMs) continue;
      if (!this.#reach.isCalm(client.process, movedMs) || this.#views.shown(node).has(client)) continue;
      const reachesAll = this.#nodes.every((each) => {
        const isAwake = !each.isUp || this.#reach.isCalm(each.process, movedMs);
        return isAwake && this.#reach.isUncut(each.name, client.name, movedMs);
      });
      if (reachesAll) this.#fail(`${node.name} does not show ${client.name}, which is alive and reaches everybody`);
    }
  }

  #checkPositions(
    node: RegistryNode,
    revision: readonly { owner: string; incarnation: number; sequence: number }[],
  ): void {
    const { lives } = node.process;
    let known = this.#positions.get(node);
    if (known?.life !== lives) this.#positions.set(node, (known = { life: lives, logs: new Map() }));
    for (const { owner, incarnation, sequence } of revision) {
      const before = known.logs.get(owner);
      if (before !== undefined && (incarnation - before[0] || sequence - before[1]) < 0) {
        this.#fail(`${node.name} went back from ${before.join('/')} to ${incarnation}/${sequence} of ${owner}`);
      }
      known.logs.set(owner, [incarnation, sequence]);
      const core = this.#nodes.find(({ name, isUp }) => isUp && name === owner)?.names?.core;
      if (core?.incarnation === incarnation && core.sequence < sequence) {
        this.#fail(`${node.name} has ${owner}'s log up to ${sequence}, which has ${core.sequence} changes`);
      }
    }
  }

  #isInTouch(node: RegistryNode, other: RegistryNode): boolean {
    if (other === node) return true;
    return other.isUp && !this.#reach.isPaused(other.name) && this.#reach.isUncut(other.name, node.name, 0);
  }

  /** When it last reached each one, or could still hear of it. */
  #noteReached(node: RegistryNode, inTouch: readonly RegistryNode[]): ReadonlyMap<RegistryNode, number> {
    const reachedMs = this.#reachedMs.get(node) ?? new Map<RegistryNode, number>();
    this.#reachedMs.set(node, reachedMs);
    for (const other of this.#nodes) {
      if (inTouch.includes(other) || this.#reach.isLate(other.name, node.name)) {
        reachedMs.set(other, this.#reach.nowMs);
      }
    }
    return reachedMs;
  }

  /** Most of them were reached within this time, each at some moment of it. */
  #isMost(reachedMs: ReadonlyMap<RegistryNode, number>, withinMs: number): boolean {
    const sinceMs = this.#reach.nowMs - withinMs;
    const reached = [...reachedMs.values()].filter((ms) => ms >= sinceMs);
    return 2 * reached.length > this.#nodes.length;
  }

  #fail(what: string): void {
    this.#world.fail(new Error(what));
  }
}
