import { compareVersions } from '../../../src/nameserver/instance.js';
import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { RegistryNode } from './node.js';
import type { Reach } from './reach.js';
import type { ViewEvents, Views } from './views.js';

/** A shorter pause need not be noticed. */
const pausedMsMin = 1_500;
/** A beat, in which a name server reads what came while it stood still; and a bit for when anybody looks. */
const readMs = 2_500;

/**
 * A name server that stood still ends no session of a live client before it has read what lies in its sockets: the time
 * in which it stood still doesn't count, and from when it goes on there is a beat until anybody is ended.
 */
export class NoEndAtWake implements ViewEvents {
  readonly #world: SimWorld;
  readonly #reach: Reach;
  readonly #views: Views;

  constructor(world: SimWorld, reach: Reach, views: Views) {
    this.#world = world;
    this.#reach = reach;
    this.#views = views;
  }

  appeared(): void {}

  removed(node: RegistryNode, client: RegistryClient, owner: string): void {
    const pause = this.#reach.lastPause(node.name);
    if (owner !== node.name || pause === undefined || !client.isLive) return;
    const { fromMs, untilMs } = pause;
    const { nowMs } = this.#reach;
    if (untilMs - fromMs < pausedMsMin || nowMs < untilMs || nowMs > untilMs + readMs) return;
    if (Math.max(client.bornMs, client.deadMs) > fromMs) return;
    // What is only superseded leaves no tombstone, and what another name server ended has a higher version.
    const [held, ended] = [this.#views.ownVersion(node, client), node.names?.core.endedVersion(client.key)];
    if (held === undefined || ended === undefined || compareVersions(held, ended) !== 0) return;
    const sinceMs = (nowMs - untilMs).toFixed(0);
    this.#world.fail(new Error(`${node.name} ended ${client.name}, which lives, ${sinceMs} ms after it stood still`));
  }
}
