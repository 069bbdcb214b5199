import type { EventLoop, EventOwner } from './event-loop.js';

/** Thrown by the simulated `exit`, to leave the code that called it; not an error of the run. */
export class SimExit extends Error {
  override readonly name = 'SimExit';

  constructor(code: number) {
    super(`exit ${code}`);
  }
}

/** What holds something for an incarnation and must let go when it dies. */
export interface Holding {
  /** How many of whatever it is are held now. */
  readonly held: number;
  /** `powerLoss`: the whole host went dark, so nothing could say goodbye. */
  ownerDied(powerLoss: boolean): void;
}

/** After a flush that deferred again, the next flush comes so much later: the price of a turn. */
const turnMs = 0.005;

/**
 * One life of a simulated process, from start to exit or kill. Once `isAlive` is false none of its callbacks is called
 * and none of its pending operations settles: its code just stops, wherever it was.
 */
export class SimIncarnation implements EventOwner {
  /** Counts the lives of one process from 1. */
  readonly number: number;
  readonly processName: string;
  isAlive = true;
  pausedUntilMs = 0;
  readonly holdings: Set<Holding> = new Set();
  readonly #loop: EventLoop;
  #deferred: (() => void)[] = [];
  #atTurnEnd: (() => void)[] = [];
  #operationsLeft = Number.POSITIVE_INFINITY;
  #onLastOperation: (() => void) | undefined;

  constructor(loop: EventLoop, processName: string, number: number) {
    this.#loop = loop;
    this.processName = processName;
    this.number = number;
  }

  defer(callback: () => void): void {
    if (this.isAlive) this.#deferred.push(callback);
  }

  get hasDeferred(): boolean {
    return this.#deferred.length > 0;
  }

  /** Calls back when the promises of this turn have gone on, before what it deferred. */
  atTurnEnd(callback: () => void): void {
    this.#atTurnEnd.push(callback);
  }

  endTurn(): void {
    if (this.#atTurnEnd.length === 0) return;
    const callbacks = this.#atTurnEnd;
    this.#atTurnEnd = [];
    for (const callback of callbacks) callback();
  }

  /** Runs what the turn deferred. What that defers in turn waits for a turn of its own. */
  flush(): void {
    const callbacks = this.#deferred;
    this.#deferred = [];
    for (const callback of callbacks) {
      if (!this.isAlive) return;
      callback();
    }
    if (this.hasDeferred) this.#loop.at(turnMs, this, () => {});
  }

  /** Calls `then` in the middle of whatever runs, before the operation on files or sockets that follows `count` more. */
  afterOperations(count: number, then: () => void): void {
    this.#operationsLeft = count;
    this.#onLastOperation = then;
  }

  /** Called before each operation that others can see; false when the process is dead and nothing must happen. */
  mayOperate(): boolean {
    if (this.isAlive && this.#operationsLeft-- <= 0) {
      this.#operationsLeft = Number.POSITIVE_INFINITY;
      this.#onLastOperation?.();
    }
    return this.isAlive;
  }
}
