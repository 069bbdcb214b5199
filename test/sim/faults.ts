import type { Random } from '../../src/runtime/random.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import type { SimWorld } from '../../src/runtime/sim/sim-world.js';

/** How one seed treats its world; drawn from the seed, so that some are rough and some only slow. */
interface Temper {
  /** Mean time between two faults. */
  readonly everyMs: number;
  /** 1: any duration up to the maximum; higher: mostly short ones. */
  readonly skew: number;
  readonly weights: readonly (readonly [kind: Fault, weight: number])[];
}

type Fault = 'kill' | 'kill in a turn' | 'power loss' | 'stop' | 'pause' | 'cut' | 'block' | 'step';

/** A process that is down comes back within so long. */
const downMsMax = 3_000;
const pauseMsMax = 14_000;
const blockMsMax = 14_000;
const stepMsMax = 5_000;
const keeperMs = 100;

/**
 * Breaks things at random while it is on: kills with and without power loss, stops, pauses, cut connections, one-way
 * and two-way blocks, steps of wall clocks. A process that died is started again after a while, always.
 */
export class Faults {
  readonly #world: SimWorld;
  readonly #processes: readonly SimProcess[];
  readonly #random: Random;
  readonly #temper: Temper;
  readonly #counts = new Map<Fault, number>();
  #isOn = false;

  constructor(world: SimWorld, processes: readonly SimProcess[]) {
    this.#world = world;
    this.#processes = processes;
    this.#random = world.random.fork();
    this.#temper = this.#draw();
  }

  /** How often each was done, as text. */
  summary(): string {
    return [...this.#counts].map(([kind, count]) => `${count} ${kind}`).join(', ');
  }

  start(): void {
    this.#isOn = true;
    this.#keep();
    this.#plan();
  }

  /** No more faults: everything runs, wires are whole, clocks are left where they are. */
  stop(): void {
    this.#isOn = false;
    this.#world.network.heal();
    for (const process of this.#processes) {
      process.pause(0);
      if (!process.isAlive) process.restart();
    }
  }

  #draw(): Temper {
    const kinds: Fault[] = ['kill', 'kill in a turn', 'power loss', 'stop', 'pause', 'cut', 'block', 'step'];
    const everyMs = 300 * 2 ** (this.#random.unit() * 4);
    return {
      everyMs,
      skew: 1 + this.#random.below(4),
      weights: kinds.map((kind) => [kind, this.#random.below(4)] as const),
    };
  }

  #plan(): void {
    this.#world.after(-Math.log(1 - this.#random.unit()) * this.#temper.everyMs, () => {
      if (!this.#isOn) return;
      this.#one();
      this.#plan();
    });
  }

  /** Starts what is down, each after a time of its own; also when faults are over, for what was stopping then. */
  #keep(): void {
    const upAt = new Map<SimProcess, number>();
    const look = (): void => {
      for (const process of this.#processes) {
        if (process.isAlive) upAt.delete(process);
        else if (!upAt.has(process)) upAt.set(process, this.#world.nowMs + this.#random.unit() * downMsMax);
        else if (this.#world.nowMs >= upAt.get(process)!) process.restart();
      }
      this.#world.after(keeperMs, look);
    };
    look();
  }

  #one(): void {
    const kind = this.#pick();
    const process = this.#processes[this.#random.below(this.#processes.length)]!;
    const other = this.#processes[this.#random.below(this.#processes.length)]!;
    if (kind === undefined) return;
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    this.#world.log.add('fault', process.name, { other: other.name }, kind);
    switch (kind) {
      case 'kill':
        process.kill();
        break;
      case 'kill in a turn':
        process.killAfterOperations(this.#random.below(20), { powerLoss: this.#random.below(2) === 0 });
        break;
      case 'power loss':
        process.kill({ powerLoss: true });
        break;
      case 'stop':
        process.stop();
        break;
      case 'pause':
        process.pause(this.#skewed(pauseMsMax));
        break;
      case 'cut':
        this.#world.network.cut(process.name, other.name);
        break;
      case 'block': {
        const forMs = this.#skewed(blockMsMax);
        this.#world.network.block(process.name, other.name, forMs);
        if (this.#random.below(2) === 0) this.#world.network.block(other.name, process.name, forMs);
        break;
      }
      case 'step':
        process.stepWall(Math.round((this.#random.unit() * 2 - 1) * stepMsMax));
        break;
    }
  }

  #pick(): Fault | undefined {
    const total = this.#temper.weights.reduce((sum, [, weight]) => sum + weight, 0);
    if (total === 0) return undefined;
    let at = this.#random.below(total);
    for (const [kind, weight] of this.#temper.weights) {
      if (at < weight) return kind;
      at -= weight;
    }
    return undefined;
  }

  /** A duration, by the temper's skew. */
  #skewed(maxMs: number): number {
    return this.#random.unit() ** this.#temper.skew * maxMs;
  }
}
