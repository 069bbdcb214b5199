import type { Clock, Timer } from '../clock.js';
import type { EventLoop } from './event-loop.js';
import type { SimIncarnation } from './sim-incarnation.js';

/** How one simulated host's wall clock differs from the world's time. */
export interface WallClock {
  offsetMs: number;
  /** Milliseconds that it gains in a million. */
  driftPpm: number;
}

/** The world's epoch: the wall clock of virtual time 0 (2026-01-01, UTC). */
export const worldEpochMs: number = 1_767_225_600_000;

/** Virtual time as one process sees it: a monotonic clock from an arbitrary start and a wall clock that may step. */
export class SimClock implements Clock {
  readonly #loop: EventLoop;
  readonly #owner: SimIncarnation;
  readonly #wall: WallClock;
  readonly #startMs: number;

  constructor(loop: EventLoop, owner: SimIncarnation, wall: WallClock, startMs: number) {
    this.#loop = loop;
    this.#owner = owner;
    this.#wall = wall;
    this.#startMs = startMs;
  }

  monotonicMs(): number {
    return this.#startMs + this.#loop.nowMs;
  }

  wallMs(): number {
    const nowMs = this.#loop.nowMs;
    return Math.floor(worldEpochMs + nowMs + this.#wall.offsetMs + (nowMs * this.#wall.driftPpm) / 1_000_000);
  }

  timer(delayMs: number, callback: () => void): Timer {
    // Whole milliseconds, rounded up, as the real clock does, and always later than now.
    const { nowMs } = this.#loop;
    const dueMs = Math.max(Math.ceil(nowMs + delayMs), Math.floor(nowMs) + 1);
    return this.#loop.at(dueMs - nowMs, this.#owner, callback);
  }

  defer(callback: () => void): void {
    this.#owner.defer(callback);
  }
}
