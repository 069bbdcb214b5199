import type { Random } from '../runtime/random.js';

/** The next try comes within this time; after rounds in vain the limit doubles, up to `waitMsMax`. */
export const firstWaitMs = 500;
export const waitMsMax = 5_000;
/** A session that ends sooner was of no use: from the second one in a row on, the limit doubles too. */
const usefulMs = 10_000;
/** Whoever failed within this time is asked after those who didn't. */
const failedMs = 30_000;

export interface ServerTry {
  /** Which of the servers, from 0. */
  readonly server: number;
  /** How long to wait before. */
  readonly waitMs: number;
}

/**
 * Which name server to go to next, and when: pure. Servers are asked in rounds, each of them once a round.
 *
 *   next ─▶ failed ─▶ next ─▶ … ─▶ failed: all were asked in vain, the next round waits longer
 *             next ─▶ reached ─▶ lost ─▶ next: a new round
 *
 * The order is drawn anew for each round, so that clients spread over the servers when they start and when one of them
 * goes away. Last comes the one that was just left, before it those that failed a short while ago. Every wait is drawn
 * from zero to its limit, so that those who lose the same server don't come to another one at the same time.
 */
export class ServerOrder {
  readonly #count: number;
  readonly #random: Random;
  readonly #failedMs = new Map<number, number>();
  #round: number[] = [];
  #vainRounds = 0;
  #shortSessions = 0;
  #left: number | undefined;
  #reachedMs = 0;
  #isFirst = true;

  constructor(count: number, random: Random) {
    this.#count = count;
    this.#random = random;
  }

  next(nowMs: number): ServerTry {
    if (this.#round.length === 0) this.#round = this.#draw(nowMs);
    const server = this.#round.shift()!;
    // Clients start at different times by themselves.
    const waitMs = this.#isFirst ? 0 : this.#random.unit() * this.#waitMsMax;
    this.#isFirst = false;
    return { server, waitMs };
  }

  /** It could not be reached, or doesn't serve. True when that ends a round: all have been asked in vain. */
  failed(server: number, nowMs: number): boolean {
    this.#failedMs.set(server, nowMs);
    if (this.#round.length > 0) return false;
    this.#vainRounds++;
    return true;
  }

  reached(server: number, nowMs: number): void {
    this.#failedMs.delete(server);
    this.#round = [];
    this.#vainRounds = 0;
    this.#reachedMs = nowMs;
  }

  /** The session with it is over, whoever ended it. */
  lost(server: number, nowMs: number): void {
    this.#left = server;
    this.#round = [];
    this.#shortSessions = nowMs - this.#reachedMs >= usefulMs ? 0 : this.#shortSessions + 1;
  }

  /** All servers but this one, in no order. */
  others(server: number): number[] {
    return this.#shuffled().filter((each) => each !== server);
  }

  get #waitMsMax(): number {
    const doublings = this.#vainRounds + Math.max(0, this.#shortSessions - 1);
    return Math.min(waitMsMax, firstWaitMs * 2 ** Math.min(doublings, 10));
  }

  #draw(nowMs: number): number[] {
    const rank = (server: number): number => {
      if (server === this.#left) return 2;
      return nowMs - (this.#failedMs.get(server) ?? Number.NEGATIVE_INFINITY) < failedMs ? 1 : 0;
    };
    // The sort keeps the order of equals.
    const round = this.#shuffled().sort((a, b) => rank(a) - rank(b));
    this.#left = undefined;
    return round;
  }

  #shuffled(): number[] {
    const servers = Array.from({ length: this.#count }, (_, i) => i);
    for (let i = servers.length - 1; i > 0; i--) {
      const j = this.#random.below(i + 1);
      [servers[i], servers[j]] = [servers[j]!, servers[i]!];
    }
    return servers;
  }
}
