import type { NewInstance } from './instance.js';

export interface ClaimVersion {
  readonly incarnation: number;
  readonly counter: number;
}

/**
 * What follows from a version that was seen. `stale`: it is none above ours, nothing to do. `again`: register again,
 * the next version is above it. `duplicate`: another living process has our id.
 */
export type Supersession = 'stale' | 'again' | 'duplicate';

/** Times a minute that a claim rises above another one of the same id; then someone else really is that instance. */
const raisesMax = 3;
const raiseWindowMs = 60_000;

/**
 * The version side of one registration: pure. Every register is sent with a version of its own, higher than the one
 * before, so moving to another connection or name server is one takeover.
 *
 *   IDLE ──nextVersion──▶ CLAIMED ──superseded, below──▶ IDLE (register again above what was seen)
 *                                └──superseded more than 3 times a minute──▶ DUPLICATE
 */
export class Claim {
  instance: NewInstance;
  #incarnation: number;
  #counter: number;
  #raisedMs: number[] = [];

  /**
   * `incarnation` must grow from start to start of the process: its start time in milliseconds. `counter` is drawn below
   * 2^20: two processes with one id that start in the same millisecond would otherwise have equal versions, of which
   * name servers can't tell that there are two.
   */
  constructor(instance: NewInstance, incarnation: number, counter: number) {
    this.instance = instance;
    this.#incarnation = incarnation;
    this.#counter = counter;
  }

  /** The version last used. */
  get version(): ClaimVersion {
    return { incarnation: this.#incarnation, counter: this.#counter };
  }

  nextVersion(): ClaimVersion {
    this.#counter++;
    return this.version;
  }

  /** A name server told that it has seen a version of our instance. One up to ours is our own: `stale`. */
  superseded(seen: ClaimVersion, nowMs: number): Supersession {
    return this.#compare(seen) <= 0 ? 'stale' : this.#raise(seen, nowMs);
  }

  /** The register with the version last used was refused: the version seen is another's, even when it equals ours. */
  refused(seen: ClaimVersion, nowMs: number): Supersession {
    return this.#compare(seen) < 0 ? 'stale' : this.#raise(seen, nowMs);
  }

  #compare(seen: ClaimVersion): number {
    return seen.incarnation - this.#incarnation || seen.counter - this.#counter;
  }

  #raise(seen: ClaimVersion, nowMs: number): Supersession {
    this.#raisedMs = this.#raisedMs.filter((ms) => ms > nowMs - raiseWindowMs);
    if (this.#raisedMs.length >= raisesMax) return 'duplicate';
    this.#raisedMs.push(nowMs);
    this.#incarnation = seen.incarnation + 1;
    this.#counter = 0;
    return 'again';
  }
}

/** Parses `incarnation.counter`, the hint of SUPERSEDED. */
export function parseVersion(text: string): ClaimVersion | undefined {
  const match = /^(\d{1,16})\.(\d{1,16})$/.exec(text);
  return match === null ? undefined : { incarnation: Number(match[1]), counter: Number(match[2]) };
}
