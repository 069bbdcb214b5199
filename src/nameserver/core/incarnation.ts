import type { Random } from '../../runtime/random.js';

/** A starting node asks its peers for so long which incarnation of it they know, and so often. */
export const askMs = 500;
export const askAgainMs = 100;
/** What lies above was never drawn from a clock: whoever says so isn't believed. */
export const incarnationMax: number = 2 ** 48;
/** The same for what others say about an owner: there must be room to go above it. */
export const hearsayMax: number = 2 ** 47;
/** An incarnation rises at random by up to so much, so that two lives that know nothing of each other have two. */
const riseMax = 1_024;
/** When others know higher incarnations of us again and again, another process has our id. */
const raisesMax = 8;
const raiseWindowMs = 60_000;

/**
 * This node's incarnation: above the stored one, above any that a peer knows, and not below the wall clock. It is
 * durable before anything is sent with it.
 *
 *   ASKING ──all peers answered, or 500 ms──▶ STORING ──stored──▶ CURRENT
 *                                                ▲───a peer knows a higher one───┘
 */
export class Incarnation {
  readonly #peers: number;
  readonly #random: Random;
  readonly #asksUntilMs: number;
  readonly #answered = new Set<string>();
  #askedMs = Number.NEGATIVE_INFINITY;
  #highest: number;
  #storing = 0;
  #current = 0;
  #raisedMs: number[] = [];

  /** `stored`: the last one that was made durable, 0 if none. Times are live time. */
  constructor(peers: number, stored: number, random: Random, liveMs: number) {
    this.#peers = peers;
    this.#random = random;
    this.#highest = stored;
    this.#asksUntilMs = liveMs + askMs;
  }

  /** 0 until the first one is stored. */
  get current(): number {
    return this.#current;
  }

  get isAsking(): boolean {
    return this.#current === 0 && this.#storing === 0;
  }

  /** The question is due. */
  mayAsk(liveMs: number): boolean {
    if (!this.isAsking || liveMs - this.#askedMs < askAgainMs) return false;
    this.#askedMs = liveMs;
    return true;
  }

  /** A peer knows this incarnation of us. */
  told(from: string, incarnation: number): void {
    this.#answered.add(from);
    this.#highest = Math.max(this.#highest, incarnation);
  }

  /** The incarnation to store now, if it is time; 0: not yet. */
  draw(liveMs: number, wallMs: number): number {
    if (!this.isAsking || (this.#answered.size < this.#peers && liveMs < this.#asksUntilMs)) return 0;
    return this.#store(wallMs);
  }

  /** A peer knows a higher incarnation of us: the one to store, 0 when one is on its way; undefined: there is a twin. */
  raise(above: number, liveMs: number, wallMs: number): number | undefined {
    if (above <= this.#highest && this.#storing !== 0) return 0;
    this.#highest = Math.max(this.#highest, above);
    this.#raisedMs = this.#raisedMs.filter((ms) => ms > liveMs - raiseWindowMs);
    if (this.#raisedMs.length >= raisesMax) return undefined;
    this.#raisedMs.push(liveMs);
    return this.#store(wallMs);
  }

  /** It is durable; false when it isn't the one asked for, since a higher one was drawn meanwhile. */
  stored(incarnation: number): boolean {
    if (incarnation !== this.#storing) return false;
    this.#storing = 0;
    this.#current = incarnation;
    return true;
  }

  #store(wallMs: number): number {
    const clock = wallMs < incarnationMax ? Math.max(0, Math.floor(wallMs)) : 0;
    this.#storing = Math.max(this.#highest, this.#current, clock) + 1 + this.#random.below(riseMax);
    this.#highest = this.#storing;
    return this.#storing;
  }
}
