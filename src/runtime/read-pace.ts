/**
 * When a background read may begin, so that those who wait for syncs hardly notice it. Pure: time is a parameter.
 *
 * ```
 * free ── a sync begins ──► beside ── no sync for a second ──► free
 *                            │  ▲
 *     a tenth of the time ───┘  └─── with reads again
 *                          clear
 * ```
 *
 * - *free*: nobody syncs, and reads run as they come, a few at once.
 * - *beside*: one read at a time, begun while no sync runs (a device serves what it has in the order in which it came),
 *   and no more bytes a second than the rate allows.
 * - *clear*: no reads, to see how long syncs take without them. What they take beside reads is judged by that.
 *
 * The rate: a sync beside reads is late when it takes half as long again as 99 of 100 clear ones. Each late one takes a
 * tenth of the rate, each other one gives a thousandth, so that the rate stays where about one in a hundred is late. It
 * is no constant of some disk, and does not ask why syncs are late: the device, the processors, the locks of a file
 * system. It never falls below a floor, so that a reader gets on whatever happens.
 */

import { DecayingHistogram } from '../base/decaying-histogram.js';
import { assert } from '../base/errors.js';

/** The largest read that is begun as one: on common disks less than half a millisecond. */
export const backgroundReadBytesMax: number = 256 * 1024;
/** Reads at once while nobody syncs. */
export const freeReadsMax = 8;
/** What background reads get at least, all together, less the tenth of the time in which there are none. */
export const backgroundBytesPerSecondMin: number = 32 * 1024 * 1024;
/** More is no limit. */
const bytesPerSecondMax = 2 * 1024 * 1024 * 1024;
/** After so long without a sync there is nobody to care for. */
const restMs = 1_000;
/** A read that waits for running syncs to end begins anyway after so long: there may always be one. */
export const yieldMsMax = 2;
/** Reads, then none; the first part of which still counts as beside them. */
const besideMs = 900;
export const clearMs = 100;
const settleMs = 20;
/** A timer that came late does not cost reads anything up to here. */
const catchUpMs = 4;
/** Syncs are not judged by fewer clear ones. */
const clearSyncsMin = 64;
/** About so many of the last clear ones are remembered. */
const clearSyncsMax = 2_048;
const lateFactor = 1.5;
const fall = 0.9;
const rise = 1.001;

export class ReadPace {
  readonly #clearMs = new DecayingHistogram(clearSyncsMax);
  #syncs = 0;
  #lastSyncMs = Number.NEGATIVE_INFINITY;
  #reads = 0;
  #lastReadMs = Number.NEGATIVE_INFINITY;
  #bytesPerSecond = bytesPerSecondMax;
  #lastFallMs = Number.NEGATIVE_INFINITY;
  /** When the next read may begin, by the rate. */
  #dueMs = Number.NEGATIVE_INFINITY;
  /** Until when there are, or were, no reads so that clear syncs are seen; when there are none next. */
  #clearUntilMs = Number.NEGATIVE_INFINITY;
  #nextClearMs = Number.NEGATIVE_INFINITY;

  /** Reads that were begun and have not ended. */
  get reads(): number {
    return this.#reads;
  }

  /** What reads may have now, all together; undefined: as much as there is. */
  bytesPerSecond(nowMs: number): number | undefined {
    return this.#isFree(nowMs) ? undefined : this.#bytesPerSecond;
  }

  syncBegan(): void {
    this.#syncs++;
  }

  syncEnded(beganMs: number, nowMs: number): void {
    assert(this.#syncs > 0, 'a sync ended that never began');
    this.#syncs--;
    this.#lastSyncMs = nowMs;
    const tookMs = nowMs - beganMs;
    if (this.#reads === 0 && beganMs >= this.#lastReadMs + settleMs) this.#clearMs.record(tookMs);
    else if (this.#clearMs.count >= clearSyncsMin) this.#judge(beganMs, tookMs, nowMs);
  }

  /**
   * Milliseconds until a read may begin that has waited since `askedMs`; 0: now. Ask again then, and whenever a sync or a
   * read has ended; it is Infinity while only that can help.
   */
  waitMs(askedMs: number, nowMs: number): number {
    if (this.#isFree(nowMs)) return this.#reads < freeReadsMax ? 0 : Number.POSITIVE_INFINITY;
    if (this.#reads > 0) return Number.POSITIVE_INFINITY;
    const fromMs = Math.max(askedMs, this.#dueMs, this.#clearUntil(nowMs));
    if (fromMs > nowMs) return fromMs - nowMs;
    return this.#syncs === 0 ? 0 : Math.max(0, fromMs + yieldMsMax - nowMs);
  }

  readBegan(bytes: number, nowMs: number): void {
    this.#reads++;
    this.#dueMs = Math.max(this.#dueMs, nowMs - catchUpMs) + (bytes * 1_000) / this.#bytesPerSecond;
  }

  readEnded(nowMs: number): void {
    assert(this.#reads > 0, 'a read ended that never began');
    this.#reads--;
    this.#lastReadMs = nowMs;
  }

  #isFree(nowMs: number): boolean {
    return this.#syncs === 0 && nowMs - this.#lastSyncMs >= restMs;
  }

  /** The end of the last pause that lets clear syncs be seen; begins one when it is time. */
  #clearUntil(nowMs: number): number {
    if (nowMs >= this.#nextClearMs) {
      // A pause that came by itself is as good.
      const isRested = nowMs - this.#lastReadMs >= clearMs;
      if (!isRested) this.#clearUntilMs = nowMs + clearMs;
      this.#nextClearMs = nowMs + clearMs + besideMs;
    }
    return this.#clearUntilMs;
  }

  #judge(beganMs: number, tookMs: number, nowMs: number): void {
    if (tookMs <= lateFactor * this.#clearMs.percentile(99)) {
      this.#bytesPerSecond = Math.min(bytesPerSecondMax, this.#bytesPerSecond * rise);
    } else if (beganMs >= this.#lastFallMs) {
      // Those that were late together, behind the same thing, count as one.
      this.#bytesPerSecond = Math.max(backgroundBytesPerSecondMin, this.#bytesPerSecond * fall);
      this.#lastFallMs = nowMs;
    }
  }
}
