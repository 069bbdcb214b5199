/**
 * A watch over name servers that lag behind each other, under a seed. Each owner's log is told in order, every node has
 * some part of each, and a client goes from node to node with what it has seen. What any of them tells in whatever order:
 * an instance that lives is never taken from the client, it never goes back to an older version, and at the end it has
 * exactly what is.
 */
import t from 'tap';
import { WatchView } from '../../src/discovery/watch-view.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import type { taskd } from '../../src/wire/generated/messages.js';

interface Change {
  readonly instanceId: string;
  readonly version: number;
  readonly kind: 'put' | 'end';
}

interface Node {
  /** How much of each owner's log it has. */
  readonly have: number[];
  /** It knows that it lacks something: it says so. */
  isUnsure: boolean;
}

const owners = 3;

class World {
  readonly random: SeededRandom;
  readonly logs: Change[][] = Array.from({ length: owners }, () => []);
  readonly nodes: Node[] = Array.from({ length: 3 }, () => ({ have: Array<number>(owners).fill(0), isUnsure: false }));
  /** What really lives, by id. */
  readonly truth: Map<string, number> = new Map();
  readonly view: WatchView = new WatchView();
  #versions = 0;
  node: Node;
  isListed = false;
  #behindOf: number[] | undefined;
  /** What the node told last, so that changes can be told as such. */
  #told = new Map<string, number>();

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.node = this.nodes[0]!;
  }

  /** A client registers, moves to another owner with a higher version, or deregisters. */
  change(): void {
    const instanceId = `i${this.random.below(6)}`;
    const log = this.logs[this.random.below(owners)]!;
    const lives = this.truth.get(instanceId);
    if (lives !== undefined && this.random.below(3) === 0) {
      log.push({ instanceId, version: lives, kind: 'end' });
      this.truth.delete(instanceId);
    } else {
      const version = ++this.#versions;
      log.push({ instanceId, version, kind: 'put' });
      this.truth.set(instanceId, version);
    }
  }

  /** A node gets a bit more of a log. */
  spread(node: Node): void {
    const owner = this.random.below(owners);
    node.have[owner] = Math.min(this.logs[owner]!.length, node.have[owner]! + 1 + this.random.below(3));
  }

  merged(node: Node): Map<string, number> {
    const ended = new Map<string, number>();
    const shown = new Map<string, number>();
    for (const [owner, log] of this.logs.entries()) {
      for (const { instanceId, version, kind } of log.slice(0, node.have[owner])) {
        const into = kind === 'put' ? shown : ended;
        into.set(instanceId, Math.max(version, into.get(instanceId) ?? 0));
      }
    }
    for (const [id, version] of ended) if ((shown.get(id) ?? 0) <= version) shown.delete(id);
    return shown;
  }

  endedAt(node: Node, instanceId: string): number {
    let ended = 0;
    for (const [owner, log] of this.logs.entries()) {
      for (const each of log.slice(0, node.have[owner])) {
        if (each.kind === 'end' && each.instanceId === instanceId) ended = Math.max(ended, each.version);
      }
    }
    return ended;
  }

  move(node: Node): void {
    this.view.cut();
    this.node = node;
    this.isListed = false;
    const known = new Map(this.view.known.map(({ owner, sequence }) => [owner, sequence]));
    this.#behindOf = Array.from({ length: owners }, (_, owner) => known.get(`n${owner}`) ?? 0);
  }

  /** The node tells its client something: the list, a part of it, or what changed. */
  tell(): void {
    const { node, random } = this;
    const covers = this.#behindOf?.every((sequence, owner) => node.have[owner]! >= sequence) ?? true;
    if (covers && this.#behindOf !== undefined) {
      this.#behindOf = undefined;
      this.isListed = false;
    }
    const now = this.merged(node);
    const state = this.#state(!covers);
    if (!this.isListed) {
      const all = [...now].map(([id, version]) => instance(id, version));
      const split = random.below(all.length + 1);
      const isWhole = random.below(2) === 0;
      this.#apply({ full: true, changed: isWhole ? all : all.slice(0, split), more: !isWhole, state });
      if (!isWhole) {
        // Cut off in the middle of a list now and then.
        if (random.below(4) === 0) {
          this.move(this.nodes[random.below(3)]!);
          return;
        }
        this.#apply({ changed: all.slice(split), state });
      }
      this.isListed = true;
    } else {
      const changed = [...now].filter(([id, version]) => this.#told.get(id) !== version);
      const removed = [...this.#told.keys()].filter((id) => !now.has(id));
      // What is only out of sight is not told as gone.
      const ended = removed.filter((id) => state.authoritative || this.endedAt(node, id) >= this.#told.get(id)!);
      this.#apply({
        changed: changed.map(([id, version]) => instance(id, version)),
        removed: ended.map((instanceId) => ({ service: 's', instanceId })),
        state,
      });
    }
    this.#told = now;
  }

  #state(behind: boolean): taskd.ViewState.$Properties {
    const { have, isUnsure } = this.node;
    const revision = have.map((sequence, owner) => ({ owner: `n${owner}`, incarnation: 1, sequence }));
    return { revision, behind, authoritative: !behind && !isUnsure };
  }

  #apply(event: taskd.WatchEvent.$Properties): void {
    const before = this.seen;
    this.view.apply(event);
    const after = this.seen;
    for (const [id, version] of before) {
      const lives = this.truth.get(id);
      if (!after.has(id) && lives === version) throw new Error(`${id}, which lives, was taken away`);
      if ((after.get(id) ?? version) < version) throw new Error(`${id} went back to version ${after.get(id)}`);
    }
  }

  get seen(): Map<string, number> {
    return new Map((this.view.list ?? []).map(({ instanceId, incarnation }) => [instanceId, incarnation]));
  }
}

function instance(instanceId: string, version: number): taskd.Instance.$Properties {
  return { service: 's', instanceId, version: { incarnation: version, counter: 1 } };
}

t.test('no order of answers of any nodes takes away who lives', (t) => {
  let moves = 0;
  for (let seed = 1; seed <= Number(process.env['SEEDS'] ?? 400); seed++) {
    const world = new World(seed);
    const { random } = world;
    try {
      for (let i = 0; i < 150; i++) {
        const node = world.nodes[random.below(3)]!;
        const action = random.below(12);
        if (action < 3) world.change();
        else if (action < 7) world.spread(node);
        else if (action === 7) node.isUnsure = !node.isUnsure;
        else if (action === 8) {
          world.move(node);
          moves++;
        } else world.tell();
      }
      for (const node of world.nodes) {
        for (const [owner, log] of world.logs.entries()) node.have[owner] = log.length;
        node.isUnsure = false;
      }
      world.tell();
      world.move(world.nodes[random.below(3)]!);
      while (!world.isListed) world.tell();
      const seen = [...world.seen].sort().join(' ');
      const truth = [...world.truth].sort().join(' ');
      if (seen !== truth) throw new Error(`it has ${seen} and not ${truth}`);
    } catch (error) {
      t.fail(`seed ${seed}: ${(error as Error).message}`);
    }
  }
  t.ok(moves > 1_000, `${moves} moves`);
  t.end();
});
