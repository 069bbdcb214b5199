import type { Random } from '../../../src/runtime/random.js';
import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { RegistryCluster } from './cluster.js';
import type { RegistryNode } from './node.js';

export const stories = [
  'sleep of all',
  'end during a long pause',
  'newcomer and a move',
  'loss of a host',
  'restart with late words',
] as const;

export type Story = (typeof stories)[number];
/** How long the move of a client during a pause takes. */
export const moveMs = 25_000;

/** When what was deregistered may be forgotten, if somebody forgets it too soon. */
const endedMs = 74_000;
/** One that starts anew has all that another one knows within this time. */
const restartedMs = 11_000;
/** An update has arrived within this time. */
const answeredMs = 400;
/** So few clients of one that is cut off don't leave it as many that are lost at once. */
const fewMax = 3;
/** When a session that is over is ended. */
const silentMs = 15_000;
const pausedMs: number = endedMs + 2 * restartedMs;

/**
 * Faults that only together do harm, one after the other as it takes to do it: chance alone would rarely put them so.
 * Each is skipped when there isn't time for it.
 */
export class RegistryStories {
  readonly #world: SimWorld;
  readonly #cluster: RegistryCluster;
  readonly #random: Random;

  constructor(world: SimWorld, cluster: RegistryCluster, random: Random) {
    this.#world = world;
    this.#cluster = cluster;
    this.#random = random;
  }

  /** Begins one that has to begin early, as it takes long, or else any. */
  tellEarly(leftMs: number): void {
    const story: Story =
      leftMs > pausedMs && this.#random.below(2) === 0 ? 'end during a long pause' : this.#pick(stories);
    this.tell(story, leftMs);
  }

  /** Begins a story, all of which is over in `leftMs`. */
  tell(story: Story, leftMs: number): void {
    const node = this.#pick(this.#cluster.nodes);
    switch (story) {
      case 'sleep of all':
        this.#standStill(Math.min(leftMs, this.#between(1_000, 60_000)));
        break;
      case 'end during a long pause':
        if (leftMs > pausedMs) this.#endDuringPause(node, Math.min(leftMs, this.#between(pausedMs, pausedMs + 15_000)));
        break;
      case 'newcomer and a move':
        if (leftMs > 6_000) this.#newcomer(node);
        break;
      case 'loss of a host':
        if (leftMs > 32_000) this.#loseHost(node, Math.min(leftMs, this.#between(32_000, 60_000)));
        break;
      case 'restart with late words':
        if (leftMs > 17_000) this.#restartWithLateWords(node);
        break;
    }
  }

  /**
   * A name server that is cut off loses a client to another one, and stands still just before it would end its session.
   * When it goes on, what the others had to say lies in its sockets, and its timers run first.
   */
  moveDuringPause(): void {
    const { nodes, reach, views } = this.#cluster;
    const node = nodes.find((each) => {
      const held = this.#heldBy(each).length;
      return each.isReady && held > 0 && held <= fewMax;
    });
    if (nodes.length < 3 || node === undefined) return;
    const client = this.#pick(this.#heldBy(node));
    client.update();
    this.#world.after(answeredMs, () => {
      for (const other of [...nodes, client]) {
        if (other === node) continue;
        reach.cut(node.name, other.name, silentMs);
        reach.cut(other.name, node.name, silentMs);
      }
      this.#world.network.cut(client.name, node.name);
    });
    const forMs = this.#between(5_000, 8_000);
    this.#world.after(silentMs - this.#between(100, 800), () => {
      reach.pause(node.process, forMs);
      this.#world.after(forMs + 1, () => views.look());
    });
  }

  /** A host with everybody on it stands still. */
  #standStill(forMs: number): void {
    const { nodes, clients, watchers, reach, removals } = this.#cluster;
    removals.asleep(clients, forMs);
    for (const { process } of [...nodes, ...clients, ...watchers]) reach.pause(process, forMs);
  }

  /**
   * A name server stands still until the others might have forgotten that clients of its own were deregistered; of three,
   * the two others start anew before it goes on, one after the other, so that they know only what they told each other.
   */
  #endDuringPause(node: RegistryNode, forMs: number): void {
    const { nodes, reach } = this.#cluster;
    const held = this.#heldBy(node);
    if (!node.isUp || held.length === 0) return;
    reach.pause(node.process, forMs);
    for (const client of held.slice(0, 3))
      this.#world.after(this.#between(0, 1_000) + 12_000, () => client.deregister());
    if (nodes.length !== 3 || this.#random.below(4) === 0) return;
    let atMs = endedMs;
    for (const other of nodes) {
      if (other === node) continue;
      this.#world.after(atMs, () => this.#restart(other));
      atMs += restartedMs;
    }
  }

  /** A client is registered that one name server doesn't hear of, and those who saw it go there. */
  #newcomer(behind: RegistryNode): void {
    const { nodes, watchers, reach } = this.#cluster;
    const newcomer = this.#cluster.newcomer();
    if (newcomer === undefined || !behind.isReady) return;
    const others = nodes.filter((each) => each !== behind);
    for (const { name } of others) reach.cut(name, behind.name, 4_500);
    reach.cut(newcomer.name, behind.name, 4_500);
    newcomer.start();
    for (const watcher of watchers) {
      this.#world.after(this.#between(700, 2_500), () => {
        for (const other of others) {
          this.#world.network.cut(watcher.name, other.name);
          reach.cut(watcher.name, other.name, 1_500);
        }
      });
    }
  }

  /** A name server is gone with clients of its own; later another one starts anew and hears of it from the rest. */
  #loseHost(node: RegistryNode, forMs: number): void {
    const { nodes } = this.#cluster;
    if (!node.isUp || nodes.length < 3) return;
    for (const client of this.#heldBy(node).slice(0, 2)) client.kill(true);
    node.kill(true);
    this.#world.after(forMs, () => node.start());
    const other = this.#pick(nodes.filter((each) => each !== node));
    this.#world.after(this.#between(24_000, forMs - 4_000), () => {
      if (!other.isUp) return;
      other.kill(false);
      this.#world.after(this.#between(100, 1_000), () => other.start());
    });
  }

  /**
   * What an owner said in a former life comes when the new one is known already, over others. Both are young, so that
   * their changes have the same numbers.
   */
  #restartWithLateWords(owner: RegistryNode): void {
    const { nodes, clients, reach } = this.#cluster;
    if (nodes.length < 3 || !owner.isUp) return;
    const reader = this.#pick(nodes.filter((each) => each !== owner));
    this.#restart(owner);
    reach.disturb(16_000);
    this.#world.after(2_000, () => {
      reach.slow(owner.name, reader.name, 8_000, 8_000);
      for (const client of clients) {
        if (this.#random.below(2) === 0) for (const { name } of nodes) this.#world.network.cut(client.name, name);
      }
    });
    this.#world.after(this.#between(3_000, 5_000), () => {
      owner.kill(true);
      this.#world.after(this.#between(20, 200), () => owner.start());
    });
  }

  #restart(node: RegistryNode): void {
    node.kill(false);
    this.#world.after(this.#between(20, 200), () => node.start());
  }

  #heldBy(node: RegistryNode): RegistryClient[] {
    const { clients, views } = this.#cluster;
    return clients.filter((client) => client.isLive && views.holder(client)?.node === node);
  }

  #between(from: number, to: number): number {
    return from + this.#random.below(Math.max(1, Math.floor(to - from) + 1));
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)]!;
  }
}
