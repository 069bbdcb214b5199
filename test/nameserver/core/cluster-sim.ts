import { ClusterChecks, endMs, faultsEndMs } from './cluster-checks.js';
import { ClusterClient } from './cluster-client.js';
import { ClusterNode } from './cluster-node.js';
import { ClusterWorld, type Party } from './cluster-world.js';

/**
 * One run of 2, 3 or 5 name servers, 10 to 30 clients and 4 watchers in virtual time: start together, faults from 20 s
 * to 120 s, then 170 s of quiet. The cores are the real ones, and their frames travel as bytes.
 */
export function simulateCluster(seed: number, trace?: (line: string) => void): readonly string[] {
  const world = new ClusterWorld(seed, trace);
  const nodes: ClusterNode[] = [];
  const clients: ClusterClient[] = [];
  const watchers: ClusterClient[] = [];
  const checks = new ClusterChecks(world, nodes, clients, watchers);
  const size = world.pick([2, 3, 3, 5]);
  for (let i = 0; i < size; i++) nodes.push(new ClusterNode(world, checks, i));
  for (const node of nodes) node.peers = nodes.filter((other) => other !== node);
  const count = world.int(10, 30);
  for (let i = 0; i < count; i++) clients.push(new ClusterClient(world, nodes, checks, i, undefined));
  for (let i = 0; i < 4; i++) watchers.push(new ClusterClient(world, nodes, checks, i, i % 3));
  world.parties.push(...nodes, ...clients, ...watchers);
  for (const node of nodes) world.after(world.int(0, 800), () => node.start());
  for (const client of [...clients, ...watchers]) world.after(world.int(0, 2_000), () => client.begin());
  new Faults(world, nodes, clients, watchers).arm();
  world.after(faultsEndMs, () => {
    world.log('FAULTS END');
    world.healAll();
    for (const node of nodes) if (!node.isUp) node.start();
  });
  checks.arm();
  world.run(endMs);
  return world.failures;
}

/** What goes wrong, and when. */
class Faults {
  readonly #world: ClusterWorld;
  readonly #nodes: readonly ClusterNode[];
  readonly #clients: readonly ClusterClient[];
  readonly #watchers: readonly ClusterClient[];

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

  arm(): void {
    const world = this.#world;
    const faults = this.#faults();
    const count = world.int(3, 10);
    for (let i = 0; i < count; i++) world.after(world.int(20_000, faultsEndMs - 6_000), world.pick(faults));
    for (let i = 0; i < 4; i++) {
      world.after(world.int(20_000, faultsEndMs), () => world.pick(this.#watchers).move(world.pick(this.#nodes)));
    }
    if (!world.chance(0.3)) return;
    // Faults on top of each other.
    const beginMs = world.int(25_000, 60_000);
    for (let i = 0; i < 4; i++) world.after(beginMs + world.int(0, 30_000), world.pick(faults));
  }

  #faults(): (() => void)[] {
    const world = this.#world;
    const node = (): ClusterNode => world.pick(this.#nodes);
    const client = (): ClusterClient => world.pick(this.#clients);
    return [
      () => this.#cutInTwo(),
      () => this.#cutOff(node()),
      () => this.#cutOneWay(node(), node()),
      () => this.#bridge(node()),
      () => this.#onePath(),
      () => world.pause(node(), this.#duration(200, 60_000)),
      () => world.pause(client(), this.#duration(200, 25_000)),
      () => this.#crash(node(), this.#duration(50, 25_000), world.chance(0.4)),
      () => this.#crash(node(), this.#duration(50, 2_000), world.chance(0.4)),
      () => this.#rollingRestart(),
      () => this.#restartAll(),
      () => this.#stepClock(),
      () => this.#die(client()),
      () => this.#restart(client()),
      () => {
        for (let i = 0; i < 3; i++) client().move(node());
      },
      () => this.#deregister(client()),
      () => this.#disconnectMany(node()),
      () => this.#resetPeers(node(), node()),
      () => this.#resetClient(client()),
      () => this.#moveWatchers(),
      () => this.#moveWatchers(),
      () => this.#pauseAndEnd(node()),
      () => this.#stutter(node(), 20),
      () => this.#pauseAll(),
    ];
  }

  #leftMs(): number {
    return faultsEndMs - this.#world.nowMs;
  }

  #duration(from: number, to: number): number {
    return Math.min(this.#world.int(from, to), this.#leftMs());
  }

  #cutInTwo(): void {
    const world = this.#world;
    const sides = new Map<Party, boolean>();
    for (const party of this.#nodes) sides.set(party, world.chance(0.5));
    if (world.chance(0.5)) {
      for (const party of [...this.#clients, ...this.#watchers]) sides.set(party, world.chance(0.5));
    }
    world.log('cut', this.#nodes.map((each) => Number(sides.get(each))).join(''));
    world.cut((a, b) => sides.has(a) && sides.has(b) && sides.get(a) !== sides.get(b), this.#duration(500, 50_000));
  }

  #cutOff(node: ClusterNode): void {
    this.#world.log('cut off', node.key);
    const isPeers = (a: Party, b: Party): boolean => a instanceof ClusterNode && b instanceof ClusterNode;
    this.#world.cut((a, b) => (a === node || b === node) && isPeers(a, b), this.#duration(1_000, 80_000));
  }

  #cutOneWay(from: ClusterNode, to: ClusterNode): void {
    if (from === to) return;
    this.#world.log('cut one way', from.key, to.key);
    this.#world.cut((a, b) => a === from && b === to, this.#duration(1_000, 50_000));
  }

  /** Two sides that only meet over one node. */
  #bridge(over: ClusterNode): void {
    if (this.#nodes.length < 3) return;
    const sides = new Map<Party, number>(this.#nodes.map((each, i) => [each, i % 2]));
    this.#world.log('bridge', over.key);
    this.#world.cut(
      (a, b) => a !== over && b !== over && sides.has(a) && sides.has(b) && sides.get(a) !== sides.get(b),
      this.#duration(2_000, 60_000),
    );
  }

  /** A node that is only reached over another one. */
  #onePath(): void {
    if (this.#nodes.length < 5) return;
    const far = this.#world.pick(this.#nodes);
    const over = this.#world.pick(this.#nodes.filter((each) => each !== far));
    this.#world.log('one path to', far.key, 'over', over.key);
    const isFar = (a: Party, b: Party): boolean => a === far && b !== over && b instanceof ClusterNode;
    this.#world.cut((a, b) => isFar(a, b) || isFar(b, a), this.#duration(10_000, 60_000));
  }

  #crash(node: ClusterNode, ms: number, isDiskLost: boolean): void {
    if (!node.isUp) return;
    this.#world.log(node.key, 'crashes', ms, isDiskLost ? 'disk lost' : '');
    node.stop();
    if (isDiskLost) node.disk = 0;
    this.#world.after(ms, () => {
      if (!node.isUp) node.start();
    });
  }

  #rollingRestart(): void {
    let atMs = 0;
    for (const node of this.#nodes) {
      this.#world.after(atMs, () => {
        if (this.#leftMs() > 5_000) this.#leave(node, this.#world.int(100, 3_000));
      });
      atMs += this.#world.int(4_000, 9_000);
    }
  }

  /** A node stands still; its clients move away, and some of them end meanwhile. */
  #pauseAndEnd(node: ClusterNode): void {
    const world = this.#world;
    if (this.#leftMs() < 30_000) return;
    const theirs = this.#clients.filter(({ owner }) => owner === node);
    world.pause(node, this.#duration(30_000, 70_000));
    world.after(world.int(8_000, 20_000), () => {
      for (const client of theirs.slice(0, 3)) {
        if (world.chance(0.5)) client.die();
        else this.#deregister(client);
      }
    });
  }

  /** A node that stands still again and again. */
  #stutter(node: ClusterNode, times: number): void {
    if (times === 0 || this.#leftMs() < 6_000) return;
    this.#world.pause(node, this.#world.int(1_000, 5_000));
    this.#world.after(this.#world.int(5_050, 5_500), () => this.#stutter(node, times - 1));
  }

  #pauseAll(): void {
    this.#world.log('all nodes pause');
    const ms = this.#duration(5_000, 60_000);
    for (const node of this.#nodes) this.#world.pause(node, ms + this.#world.int(0, 300));
  }

  #leave(node: ClusterNode, ms: number): void {
    const world = this.#world;
    if (!node.isUp || node.pause !== undefined) return;
    world.log(node.key, 'leaves');
    node.leave();
    for (const [conn, party] of node.connected) {
      if (!world.isCut(node, party)) world.after(world.int(1, 20), () => (party as ClusterClient).closed(conn));
    }
    const { boot } = node;
    world.after(world.int(1_000, 3_000), () => {
      if (!node.isUp || node.boot !== boot || !node.isLeaving) return;
      node.isUp = false;
      world.after(ms, () => {
        if (!node.isUp) node.start();
      });
    });
  }

  #restartAll(): void {
    this.#world.log('all nodes restart');
    const isDiskLost = this.#world.chance(0.3);
    for (const node of this.#nodes) this.#crash(node, this.#duration(100, 3_000), isDiskLost);
  }

  #stepClock(): void {
    const party = this.#world.pick([...this.#nodes, ...this.#clients]);
    const stepMs = this.#world.pick([-3_600_000, -60_000, -5_000, 60_000, 3_600_000]);
    party.skewMs += stepMs;
    this.#world.log(party.key, 'clock step', stepMs);
  }

  #die(client: ClusterClient): void {
    const world = this.#world;
    client.die();
    world.after(this.#duration(100, 40_000), () => {
      if (!world.chance(0.6)) return;
      if (world.chance(0.3)) client.skewMs -= 600_000;
      client.reborn();
    });
  }

  #restart(client: ClusterClient): void {
    client.die();
    this.#world.after(this.#world.int(100, 400), () => client.reborn());
  }

  #deregister(client: ClusterClient): void {
    const world = this.#world;
    if (client.state !== 'up' || !client.wants || client.pause !== undefined) return;
    world.log(client.key, 'deregisters');
    client.deregister();
    if (!world.chance(0.4)) return;
    world.after(this.#duration(500, 20_000), () => {
      if (!client.isUp || client.wants) return;
      client.wants = true;
      client.bornMs = world.nowMs;
      client.isEnding = false;
      client.deadMs = -1;
      client.isGoneEverywhere = false;
      if (client.state === 'up') client.register();
    });
  }

  #disconnectMany(node: ClusterNode): void {
    const world = this.#world;
    const set = new Set<Party>(this.#clients.filter(({ owner }) => owner === node));
    if (set.size < 4 || this.#leftMs() < 40_000) return;
    const isReset = world.chance(0.5);
    const ms = 20_000;
    world.log('mass disconnect', node.key, set.size, isReset ? 'resets' : 'silent');
    if (isReset) for (const client of set) this.#breakConnection(client as ClusterClient, node);
    if (isReset && !world.chance(0.7)) return;
    for (const party of set) {
      const client = party as ClusterClient;
      // Who was silent before isn't part of the mass.
      if (client.contactMs < world.nowMs - 6_000 || client.pause !== undefined) continue;
      client.massUntilMs = world.nowMs + ms + 3_000;
      client.massAt = node;
    }
    world.cut((a, b) => set.has(a) || set.has(b), ms);
  }

  #breakConnection(client: ClusterClient, node: ClusterNode): void {
    const { conn } = client;
    this.#world.after(5, () => {
      if (node.isUp && node.pause === undefined) node.broken(conn);
      client.closed(conn);
    });
  }

  #resetPeers(a: ClusterNode, b: ClusterNode): void {
    if (a === b) return;
    this.#world.log('reset', a.key, b.key);
    this.#world.reset(a, b);
  }

  #resetClient(client: ClusterClient): void {
    const { node, conn } = client;
    if (node === undefined) return;
    this.#world.reset(client, node);
    if (node.isUp && node.pause === undefined) node.broken(conn);
    client.closed(conn);
  }

  #moveWatchers(): void {
    for (const watcher of this.#watchers) if (this.#world.chance(0.6)) watcher.move(this.#world.pick(this.#nodes));
  }
}
