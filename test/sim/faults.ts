import type { Random } from '../../src/runtime/random.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import type { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { FaultPlan, fillDisk, mendDisk } from './fault-plan.js';

const kinds = [
  'kill',
  'kill in a turn',
  'power loss',
  'power loss at a promise',
  'stop',
  'pause',
  'cut',
  'block',
  'step',
  'failing sync',
  'full disk',
  'slow disk',
] as const;

type Fault = (typeof kinds)[number];

/** A process that is down comes back within so long. */
const downMsMax = 3_000;
/** After a failed sync somebody looks, and starts the process again. */
const mendMsMax = 1_500;
const pauseMsMax = 16_000;
/** Longer than a lease lives without its worker. */
const longPauseMsMin = 10_000;
const fullMsMax = 6_000;
const fullBytesLeft = 48 * 1024;
const slowDiskMsMax = 4_000;
const blockMsMax = 14_000;
const stepMsMax = 5_000;
const keeperMs = 100;

/**
 * Breaks things at random while it is on: kills with and without power loss, stops, pauses, cut connections, one-way
 * and two-way blocks, steps of wall clocks, syncs that fail, are slow, or find the disk full. A process that died is
 * started again after a while, always; sometimes the power goes again soon after that, when what the last life left has
 * just been taken for good.
 */
export class Faults {
  readonly #world: SimWorld;
  readonly #processes: readonly SimProcess[];
  /** The one whose disk matters. */
  readonly #keeper: SimProcess;
  readonly #random: Random;
  /** 1: any duration up to the maximum; higher: mostly short ones. */
  readonly #skew: number;
  readonly #plan: FaultPlan<Fault>;
  /** The next promise is followed by a power loss. */
  #isLurking = false;
  /** The same, for the answer to a submit. */
  #isLurkingForSubmit = false;
  #isSyncFailing = false;
  /** What a failed sync left in memory only is taken for good by the next life. */
  #isMended = false;
  /** Freezes at the next promise, before what follows it arrives. */
  #sleeper: SimProcess | undefined;
  #isOver = false;

  /** `keeper` is the one of the processes whose disk matters. */
  constructor(world: SimWorld, processes: readonly SimProcess[], keeper: SimProcess) {
    this.#world = world;
    this.#keeper = keeper;
    this.#processes = processes;
    this.#random = world.random.fork();
    // Drawn from the seed, so that some worlds are rough and some only slow.
    const everyMs = 300 * 2 ** (this.#random.unit() * 4);
    this.#skew = [0.3, 1, 2, 3, 4][this.#random.below(5)]!;
    const weights = kinds.map((kind) => [kind, this.#random.below(4)] as const);
    this.#plan = new FaultPlan(world, this.#random, everyMs, weights);
  }

  /** How often each was done, as text. */
  summary(): string {
    return this.#plan.summary();
  }

  start(): void {
    this.#keep();
    this.#plan.start((kind) => this.#strike(kind));
  }

  /** Somebody outside has just learnt what the keeper must not forget. */
  promised(isSubmit: boolean): void {
    if (!this.#plan.isOn) return;
    this.#sleeper?.pause(longPauseMsMin + this.#random.unit() * (pauseMsMax - longPauseMsMin));
    this.#sleeper = undefined;
    if (!this.#keeper.isAlive || !(this.#isLurking || (isSubmit && this.#isLurkingForSubmit))) return;
    this.#isLurking = false;
    this.#isLurkingForSubmit = false;
    this.#keeper.kill({ powerLoss: true });
  }

  /** No more faults: everything runs, wires are whole, clocks are left where they are. */
  stop(): void {
    this.#plan.stop();
    this.#world.network.heal();
    const { disk } = this.#keeper;
    // A sync may have failed just now, unseen: the next life mends it.
    if (this.#isSyncFailing) this.#keeper.kill();
    this.#isSyncFailing = false;
    mendDisk(disk);
    for (const process of this.#processes) {
      process.pause(0);
      process.killAfterOperations(Number.POSITIVE_INFINITY);
      if (!process.isAlive) process.restart();
    }
  }

  /** From now on whoever goes stays away. */
  end(): void {
    this.#isOver = true;
  }

  /** Starts what is down, each after a time of its own; also when faults are over, for what was stopping then. */
  #keep(): void {
    const upAt = new Map<SimProcess, number>();
    const look = (): void => {
      if (this.#isOver) return;
      for (const process of this.#processes) {
        if (process.isAlive) upAt.delete(process);
        else if (!upAt.has(process)) upAt.set(process, this.#world.nowMs + this.#random.unit() * downMsMax);
        else if (this.#world.nowMs >= upAt.get(process)!) this.#restart(process);
      }
      if (this.#isSyncFailing && this.#keeper.disk.failingSyncs === 0) {
        this.#isSyncFailing = false;
        this.#world.after(this.#random.unit() * mendMsMax, () => {
          this.#keeper.kill();
          this.#isMended = true;
        });
      }
      this.#world.after(keeperMs, look);
    };
    look();
  }

  #restart(process: SimProcess): void {
    process.restart();
    if (process !== this.#keeper) return;
    const isMended = this.#isMended;
    this.#isMended = false;
    if (this.#random.below(isMended ? 2 : 4) > 0) return;
    this.#world.after(this.#random.unit() ** 2 * (isMended ? 4_000 : 1_000), () => {
      if (this.#plan.isOn) process.kill({ powerLoss: true });
    });
  }

  #strike(kind: Fault): void {
    const process = this.#processes[this.#random.below(this.#processes.length)]!;
    const other = this.#processes[this.#random.below(this.#processes.length)]!;
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
      case 'power loss at a promise':
        this.#isLurking = true;
        break;
      case 'failing sync':
        this.#keeper.disk.failingSyncs = 1;
        this.#isSyncFailing = true;
        break;
      case 'full disk':
        fillDisk(this.#world, this.#keeper.disk, this.#random.below(fullBytesLeft), this.#skewed(fullMsMax));
        break;
      case 'slow disk':
        this.#slowDown();
        break;
      case 'stop':
        process.stop();
        break;
      case 'pause':
        if (this.#random.below(2) === 0) this.#sleeper = process;
        else process.pause(this.#skewed(pauseMsMax));
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

  /** What is asked meanwhile is asked again by those who lost their connection, and perhaps promised too early. */
  #slowDown(): void {
    const { disk, name } = this.#keeper;
    const forMs = this.#skewed(slowDiskMsMax);
    disk.syncExtraMs = 30 * 2 ** (this.#random.unit() * 5);
    this.#world.after(forMs, () => {
      disk.syncExtraMs = 0;
    });
    for (const process of this.#processes) {
      if (this.#random.below(2) === 0) continue;
      const thenLurk = this.#random.below(2) === 0;
      this.#world.after(this.#random.unit() * forMs, () => {
        this.#world.network.cut(name, process.name);
        this.#isLurkingForSubmit ||= thenLurk;
      });
    }
  }

  /** A duration, mostly short or mostly long. */
  #skewed(maxMs: number): number {
    return this.#random.unit() ** this.#skew * maxMs;
  }
}
