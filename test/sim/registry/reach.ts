import type { SimProcess } from '../../../src/runtime/sim/sim-process.js';
import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';

const longAgo = -1e9;
/** With so much delay a link is as good as cut: nobody waits longer for an answer. */
const outwaitedMs = 1_000;
/** In a shorter time between two cuts nothing need have come through. */
const againMs = 3_000;

/**
 * Who is cut from whom, who stands still, and until when it was so: the faults are done through here, and what a
 * checker may demand depends on it.
 */
export class Reach {
  /** When the last cut, slow link, pause or start of a name server was over. */
  disturbedMs: number = longAgo;
  readonly #world: SimWorld;
  /** `from>to` → when the last cut ends or ended. */
  readonly #cutUntilMs = new Map<string, number>();
  /** `from>to` → when it began; one that follows another one at once goes on with it. */
  readonly #cutSinceMs = new Map<string, number>();
  /** `from>to` → until when something may come that took long. */
  readonly #lateUntilMs = new Map<string, number>();
  /** The same of what took so long that nobody waits for it. */
  readonly #outwaitedUntilMs = new Map<string, number>();
  /** When it last fell asleep. */
  readonly #asleepMs = new Map<string, number>();
  /** When it last woke, or will. */
  readonly #wokeMs = new Map<string, number>();
  readonly #startedMs = new Map<string, number>();

  constructor(world: SimWorld) {
    this.#world = world;
  }

  get nowMs(): number {
    return this.#world.nowMs;
  }

  /** Nothing passes from `from` to `to` for so long. */
  cut(from: string, to: string, forMs: number): void {
    const untilMs = this.nowMs + forMs;
    const key = `${from}>${to}`;
    if (this.#cutEndMs(from, to) < this.nowMs - againMs) this.#cutSinceMs.set(key, this.nowMs);
    this.#cutUntilMs.set(key, Math.max(untilMs, this.#cutUntilMs.get(key) ?? longAgo));
    this.#world.network.block(from, to, forMs);
    this.disturb(forMs);
  }

  /** Everything from `from` to `to` takes up to `extraMs` longer for so long. */
  slow(from: string, to: string, extraMs: number, forMs: number): void {
    const untilMs = this.nowMs + forMs + extraMs;
    this.#lateUntilMs.set(`${from}>${to}`, untilMs);
    if (extraMs >= outwaitedMs) this.#outwaitedUntilMs.set(`${from}>${to}`, untilMs);
    this.#world.network.slow(from, to, extraMs, forMs);
    this.disturb(forMs);
  }

  pause(process: SimProcess, forMs: number): void {
    if (!process.isAlive || this.isPaused(process.name)) return;
    this.#asleepMs.set(process.name, this.nowMs);
    this.#wokeMs.set(process.name, this.nowMs + forMs);
    process.pause(forMs);
    this.disturb(forMs);
  }

  /** A process begins a life. */
  started(name: string): void {
    this.#startedMs.set(name, this.nowMs);
    this.#wokeMs.delete(name);
  }

  /** Something goes on for so long that leaves nobody cut off and may delay what is due. */
  disturb(forMs: number): void {
    this.disturbedMs = Math.max(this.disturbedMs, this.nowMs + forMs);
  }

  /** The last time in this life that it stood still, which may not be over. */
  lastPause(name: string): { readonly fromMs: number; readonly untilMs: number } | undefined {
    const untilMs = this.#wokeMs.get(name);
    return untilMs === undefined ? undefined : { fromMs: this.#asleepMs.get(name)!, untilMs };
  }

  isPaused(name: string): boolean {
    return this.#wokeMsOf(name) > this.nowMs;
  }

  isCut(from: string, to: string): boolean {
    return this.#cutEndMs(from, to) > this.nowMs;
  }

  /** Something that was sent a while ago may still come. */
  isLate(from: string, to: string): boolean {
    return (this.#lateUntilMs.get(`${from}>${to}`) ?? longAgo) > this.nowMs;
  }

  /** No cut between them, in either direction, for so long. */
  isUncut(a: string, b: string, forMs: number): boolean {
    if (a === b) return true;
    return Math.max(this.#cutEndMs(a, b), this.#cutEndMs(b, a)) < this.nowMs - forMs;
  }

  /** A cut between them, in either direction, has lasted for so long by now, or had when it ended within `agoMs`. */
  wasCutFor(a: string, b: string, forMs: number, agoMs: number): boolean {
    return [`${a}>${b}`, `${b}>${a}`].some((key) => {
      const endMs = Math.min(this.#cutUntilMs.get(key) ?? longAgo, this.nowMs);
      return endMs >= this.nowMs - agoMs && endMs - (this.#cutSinceMs.get(key) ?? endMs) >= forMs;
    });
  }

  /** It runs, and neither started nor woke within this time. */
  isCalm(process: SimProcess, forMs: number): boolean {
    const sinceMs = this.nowMs - forMs;
    const { name } = process;
    return process.isAlive && this.#wokeMsOf(name) < sinceMs && (this.#startedMs.get(name) ?? longAgo) < sinceMs;
  }

  /** It has run since then at the latest. */
  hasRunSince({ name, isAlive }: SimProcess, sinceMs: number): boolean {
    return isAlive && (this.#startedMs.get(name) ?? longAgo) < sinceMs;
  }

  /** It runs and has not stood still within this time, whenever it started. */
  isAwake(process: SimProcess, forMs: number): boolean {
    return process.isAlive && this.#wokeMsOf(process.name) < this.nowMs - forMs;
  }

  /** Both have been calm and not cut from each other for so long, and what they say comes soon. */
  isFine(a: SimProcess, b: SimProcess, forMs: number): boolean {
    const isSoon = [`${a.name}>${b.name}`, `${b.name}>${a.name}`].every((key) => {
      return (this.#outwaitedUntilMs.get(key) ?? longAgo) < this.nowMs - forMs;
    });
    return isSoon && this.isUncut(a.name, b.name, forMs) && this.isCalm(a, forMs) && this.isCalm(b, forMs);
  }

  #wokeMsOf(name: string): number {
    return this.#wokeMs.get(name) ?? longAgo;
  }

  #cutEndMs(from: string, to: string): number {
    return this.#cutUntilMs.get(`${from}>${to}`) ?? longAgo;
  }
}
