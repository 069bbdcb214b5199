import { nextTurn } from '../node/turn.js';
import { captureUnhandled } from '../node/unhandled.js';
import { EventLoop } from './event-loop.js';
import { SeededRandom } from './seeded-random.js';
import { SimDisk } from './sim-disk.js';
import type { DiskSpeed } from './sim-files.js';
import { SimExit, type SimIncarnation } from './sim-incarnation.js';
import { SimLog } from './sim-log.js';
import { type NetworkSpeed, SimNetwork } from './sim-network.js';
import { SimProcess } from './sim-process.js';

export interface SimOptions {
  readonly network?: NetworkSpeed;
  readonly disk?: DiskSpeed;
  /** Gets each line that a process logs, as it comes. */
  readonly print?: (line: string) => void;
}

export interface RunOptions {
  /** Stops at this virtual time; without it, when nothing is planned any more. */
  readonly untilMs?: number;
  /** Stops as soon as it is true; asked after every event. */
  readonly until?: () => boolean;
}

const defaultNetwork: NetworkSpeed = { typicalMs: 0.2, slowMs: 40, slowChance: 0.002 };
const defaultDisk: DiskSpeed = { typicalMs: 0.05, syncTypicalMs: 0.5, slowMs: 60, slowChance: 0.002 };

/**
 * A world of processes in virtual time under one seed: the same seed gives the same run, event by event.
 *
 * One event runs at a time, then every promise that can go on does, then what the turn deferred; only then comes the
 * next event. An error that a callback throws, a rejection that nobody handles and a main that rejects end the run.
 * One world runs at a time in a Node process.
 */
export class SimWorld {
  readonly seed: number;
  readonly random: SeededRandom;
  readonly network: SimNetwork;
  readonly log: SimLog;
  readonly #loop = new EventLoop();
  readonly #diskSpeed: DiskSpeed;
  readonly #processes = new Map<string, SimProcess>();
  #failure: { readonly error: unknown } | undefined;

  constructor(seed: number, options: SimOptions = {}) {
    this.seed = seed;
    this.random = new SeededRandom(seed);
    this.network = new SimNetwork(this.#loop, this.random.fork(), options.network ?? defaultNetwork);
    this.#diskSpeed = options.disk ?? defaultDisk;
    this.log = new SimLog(() => this.#loop.nowMs, options.print);
  }

  /** Virtual milliseconds since the world began. */
  get nowMs(): number {
    return this.#loop.nowMs;
  }

  /** A number that depends on everything that happened so far. */
  get digest(): number {
    return this.#loop.digest;
  }

  /** Events so far. */
  get events(): number {
    return this.#loop.count;
  }

  /** The process of that name; made, with an empty disk and not started, when it is new. */
  process(name: string): SimProcess {
    let process = this.#processes.get(name);
    if (process === undefined) {
      const disk = new SimDisk(this.random.fork());
      process = new SimProcess(
        {
          loop: this.#loop,
          network: this.network,
          random: this.random.fork(),
          diskSpeed: this.#diskSpeed,
          logger: (from) => this.log.logger(from),
          fail: (error) => this.fail(error),
        },
        name,
        disk,
      );
      this.#processes.set(name, process);
    }
    return process;
  }

  /** Runs `callback` in the world's own name `delayMs` from now: for faults and for those who watch. */
  after(delayMs: number, callback: () => void): void {
    this.#loop.at(delayMs, undefined, callback);
  }

  /** Ends the run with this error: for checkers. */
  fail(error: unknown): void {
    if (!(error instanceof SimExit)) this.#failure ??= { error };
  }

  /** Lets virtual time pass. Returns whether `until` came true; throws with the seed when the run failed. */
  async run(options: RunOptions = {}): Promise<boolean> {
    const untilMs = options.untilMs ?? Number.POSITIVE_INFINITY;
    const release = captureUnhandled((error) => this.fail(error));
    try {
      while (this.#failure === undefined) {
        if (options.until?.() === true) return true;
        const event = this.#loop.next(untilMs);
        if (event === undefined) {
          if (untilMs !== Number.POSITIVE_INFINITY) this.#loop.nowMs = Math.max(this.#loop.nowMs, untilMs);
          return false;
        }
        this.#guard(event.run);
        const owner = event.owner as SimIncarnation | undefined;
        if (owner === undefined) continue;
        await nextTurn();
        owner.endTurn();
        if (owner.hasDeferred && owner.isAlive) {
          this.#guard(() => owner.flush());
          await nextTurn();
        }
      }
    } finally {
      release();
    }
    throw this.#report();
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.fail(error);
    }
  }

  #report(): Error {
    const cause = this.#failure!.error;
    const what = cause instanceof Error ? cause.message : String(cause);
    return new Error(`seed ${this.seed}, at ${this.nowMs.toFixed(3)} ms: ${what}`, { cause });
  }
}
