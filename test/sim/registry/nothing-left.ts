import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import type { RegistryClient } from './client.js';
import type { RegistryNode } from './node.js';

/** After all clients left: nothing of them is at any name server. After those left too: no process holds anything. */
export class NothingLeft {
  readonly #world: SimWorld;
  readonly #nodes: readonly RegistryNode[];
  readonly #clients: readonly RegistryClient[];

  constructor(world: SimWorld, nodes: readonly RegistryNode[], clients: readonly RegistryClient[]) {
    this.#world = world;
    this.#nodes = nodes;
    this.#clients = clients;
  }

  /** No name server keeps a tombstone. */
  get areTombstonesGone(): boolean {
    return this.#nodes.every(({ names }) => names?.core.tombstoneCount === 0);
  }

  checkTombstones(): void {
    for (const { name, names } of this.#nodes) {
      const count = names?.core.tombstoneCount;
      if (count !== 0) this.#fail(`${name} keeps ${count} tombstones`);
    }
  }

  /** The clients have left. */
  checkNodes(): void {
    for (const { name, names, server } of this.#nodes) {
      const { sessionCount, instanceCount, watcherCount } = names!;
      if (sessionCount + instanceCount + watcherCount > 0) {
        this.#fail(`${name} has ${sessionCount} sessions, ${instanceCount} instances, ${watcherCount} watchers`);
      }
      const connections = server!.openConnections;
      const peers = this.#nodes.length - 1;
      if (connections !== peers) this.#fail(`${name} has ${connections} connections open, not ${peers} of its peers`);
    }
  }

  /** All have left, and their processes run on with nothing to do. */
  checkProcesses(): void {
    for (const { process } of [...this.#nodes, ...this.#clients]) {
      if (!process.isAlive) continue;
      const { holdings, planned, name } = process;
      if (holdings.length > 0) this.#fail(`${name} still holds ${holdings.join(', ')}`);
      if (planned > 0) this.#fail(`${name} still has ${planned} timers`);
    }
    const { openEnds } = this.#world.network;
    if (openEnds > 0) this.#fail(`${openEnds} ends of connections are open`);
  }

  #fail(what: string): void {
    this.#world.fail(new Error(`after all is quiet ${what}`));
  }
}
