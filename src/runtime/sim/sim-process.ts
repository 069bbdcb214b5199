import type { Logger } from '../../base/logger.js';
import type { Process } from '../process.js';
import type { Runtime } from '../runtime.js';
import type { EventLoop } from './event-loop.js';
import type { SeededRandom } from './seeded-random.js';
import { SimClock, type WallClock } from './sim-clock.js';
import type { SimDisk } from './sim-disk.js';
import { type DiskSpeed, SimFiles } from './sim-files.js';
import { SimExit, SimIncarnation } from './sim-incarnation.js';
import { SimNet } from './sim-net.js';
import type { SimNetwork } from './sim-network.js';

/** What all processes of a world share. */
export interface Surroundings {
  readonly loop: EventLoop;
  readonly network: SimNetwork;
  readonly random: SeededRandom;
  readonly diskSpeed: DiskSpeed;
  logger(processName: string): Logger;
  fail(error: unknown): void;
}

export interface KillOptions {
  /** The host goes dark with it: unsynced bytes and names may be lost, and its peers are told nothing. */
  readonly powerLoss?: boolean;
}

type Main = (runtime: Runtime) => Promise<void> | void;

/** Monotonic clocks start anywhere in the first day after a boot. */
const monotonicStartMsMax = 86_400_000;

/**
 * One simulated process on a host of its own: a disk and a wall clock that outlive it, and a life at a time.
 *
 * States: off → `start` → running → `kill`, `exit` → off. `pause` freezes a running one.
 */
export class SimProcess {
  readonly name: string;
  readonly disk: SimDisk;
  readonly wallClock: WallClock = { offsetMs: 0, driftPpm: 0 };
  /** Of the last life that ended by `exit`. */
  exitCode: number | undefined;
  readonly #world: Surroundings;
  readonly #monotonicStartMs: number;
  #incarnation: SimIncarnation | undefined;
  #runtime: Runtime | undefined;
  #main: Main | undefined;
  #lives = 0;
  #stopCallbacks: ((signal: string) => void)[] = [];

  constructor(world: Surroundings, name: string, disk: SimDisk) {
    this.#world = world;
    this.name = name;
    this.disk = disk;
    this.#monotonicStartMs = world.random.below(monotonicStartMsMax);
  }

  get isAlive(): boolean {
    return this.#incarnation?.isAlive ?? false;
  }

  /** Of the life that is running. */
  get runtime(): Runtime {
    if (this.#runtime === undefined || !this.isAlive) throw new Error(`process ${this.name} is not running`);
    return this.#runtime;
  }

  /** Lives begun so far. */
  get lives(): number {
    return this.#lives;
  }

  /** Sockets, files and locks that the life that is running holds, each by the name of its class. */
  get holdings(): string[] {
    const holdings = this.isAlive ? [...this.#incarnation!.holdings] : [];
    return holdings.filter(({ held }) => held > 0).map((each) => each.constructor.name);
  }

  /** Timers and other events that the life that is running waits for. */
  get planned(): number {
    return this.isAlive ? this.#world.loop.plannedFor(this.#incarnation!) : 0;
  }

  /** Begins a life that runs `main`, in an event of its own. An error from it fails the world. */
  start(main: Main): void {
    if (this.isAlive) throw new Error(`process ${this.name} is running already`);
    this.#main = main;
    this.exitCode = undefined;
    this.#stopCallbacks = [];
    const { loop, network } = this.#world;
    network.setDark(this.name, false);
    const incarnation = new SimIncarnation(loop, this.name, ++this.#lives);
    this.#incarnation = incarnation;
    const runtime = this.#newRuntime(incarnation);
    this.#runtime = runtime;
    loop.at(0, incarnation, () => {
      Promise.resolve(main(runtime)).catch((error: unknown) => {
        if (!(error instanceof SimExit)) this.#world.fail(error);
      });
    });
  }

  /** Ends the life at once, as `kill -9` does. Harmless when there is none. */
  kill(options: KillOptions = {}): void {
    const incarnation = this.#incarnation;
    if (incarnation === undefined || !incarnation.isAlive) return;
    const powerLoss = options.powerLoss ?? false;
    incarnation.isAlive = false;
    if (powerLoss) this.#world.network.setDark(this.name, true);
    for (const holding of [...incarnation.holdings]) holding.ownerDied(powerLoss);
    incarnation.holdings.clear();
  }

  /** Kills in the middle of a turn: instead of the operation on files or sockets that follows `count` more. */
  killAfterOperations(count: number, options: KillOptions = {}): void {
    this.#incarnation?.afterOperations(count, () => this.kill(options));
  }

  /** Kills, when it runs, and begins the next life with the same main. */
  restart(options: KillOptions = {}): void {
    this.kill(options);
    if (this.#main === undefined) throw new Error(`process ${this.name} was never started`);
    this.start(this.#main);
  }

  /** Freezes the process for so long, as SIGSTOP and SIGCONT do; its kernel goes on. */
  pause(forMs: number): void {
    if (this.#incarnation !== undefined) this.#incarnation.pausedUntilMs = this.#world.loop.nowMs + forMs;
  }

  /** Asks the process to stop, as SIGTERM does. */
  stop(signal = 'SIGTERM'): void {
    const incarnation = this.#incarnation;
    if (incarnation === undefined) return;
    this.#world.loop.at(0, incarnation, () => {
      for (const callback of this.#stopCallbacks) callback(signal);
    });
  }

  /** Steps the host's wall clock, either way. */
  stepWall(byMs: number): void {
    this.wallClock.offsetMs += byMs;
  }

  #newRuntime(incarnation: SimIncarnation): Runtime {
    const { loop, network, random, diskSpeed } = this.#world;
    const process: Process = {
      pid: 1000 + this.#lives,
      hostName: this.name,
      residentBytes: () => 64 * 1024 * 1024,
      onStop: (callback) => {
        this.#stopCallbacks.push(callback);
      },
      exit: (code) => {
        if (incarnation.isAlive) {
          this.exitCode = code;
          this.kill();
        }
        throw new SimExit(code);
      },
    };
    return {
      clock: new SimClock(loop, incarnation, this.wallClock, this.#monotonicStartMs),
      random: random.fork(),
      files: new SimFiles(loop, incarnation, this.disk, random.fork(), diskSpeed),
      net: new SimNet(loop, incarnation, network),
      process,
      logger: this.#world.logger(this.name),
    };
  }
}
