export interface OutlierOptions {
  /** Failed calls without a success between them that take a candidate out; 0 turns ejection off. Default 5. */
  readonly errorsInRow: number;
  /** Time out at the first ejection; the n-th takes n times as long. Default 30,000. */
  readonly ejectionMs: number;
  /** No ejection takes longer than this. Default 300,000. */
  readonly ejectionMsMax: number;
  /** The most of the candidates, as a share, that may be out at once; but one may always be. Default 0.1. */
  readonly shareMax: number;
}

export const outlierDefaults: OutlierOptions = {
  errorsInRow: 5,
  ejectionMs: 30_000,
  ejectionMsMax: 300_000,
  shareMax: 0.1,
};

interface History {
  errorsInRow: number;
  /** How many times out, less what time without has taken off. */
  ejections: number;
  /** When it came or comes back from its last ejection. */
  untilMs: number;
  isOut: boolean;
}

/**
 * Who fails all the time is left alone for a while, as Envoy's outlier detection does by consecutive errors. Pure; one
 * history for each candidate that is known.
 *
 *   IN ──5 errors in a row, and room──▶ OUT, for min(30 s × ejections, 300 s) ──time──▶ IN, its errors forgotten
 *
 * There is room for a tenth of the candidates, and always for one; without room the next error asks again. What calls
 * say that were under way when their candidate was taken out doesn't count. Ejections are forgotten one by one, each
 * after 30 s of being in. (Envoy takes one off at every sweep of 10 s.)
 */
export class Outliers {
  readonly #options: OutlierOptions;
  readonly #histories = new Map<string, History>();
  readonly #out = new Set<string>();

  constructor(options: OutlierOptions) {
    this.#options = options;
  }

  get outCount(): number {
    return this.#out.size;
  }

  /** A new candidate, or one that has started anew: nothing speaks against it. */
  join(id: string): void {
    this.#out.delete(id);
    this.#histories.set(id, { errorsInRow: 0, ejections: 0, untilMs: Number.NEGATIVE_INFINITY, isOut: false });
  }

  leave(id: string): void {
    this.#out.delete(id);
    this.#histories.delete(id);
  }

  isOut(id: string): boolean {
    return this.#out.has(id);
  }

  /** When the next one comes back; infinite when nobody is out. */
  get nextBackMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const id of this.#out) nextMs = Math.min(nextMs, this.#histories.get(id)!.untilMs);
    return nextMs;
  }

  /** Lets those back whose time is over. */
  advance(nowMs: number): void {
    for (const id of this.#out) {
      const history = this.#histories.get(id)!;
      if (history.untilMs > nowMs) continue;
      history.isOut = false;
      history.errorsInRow = 0;
      this.#out.delete(id);
    }
  }

  /** How a call to a candidate ended. `count`: all candidates that there are. True when it is taken out for it. */
  record(id: string, isOk: boolean, nowMs: number, count: number): boolean {
    const history = this.#histories.get(id);
    if (history === undefined || history.isOut) return false;
    if (isOk) {
      history.errorsInRow = 0;
      return false;
    }
    const { errorsInRow, ejectionMs, ejectionMsMax, shareMax } = this.#options;
    history.errorsInRow++;
    if (errorsInRow === 0 || history.errorsInRow < errorsInRow) return false;
    if (this.#out.size >= Math.max(1, Math.floor(count * shareMax))) return false;
    if (history.ejections > 0) {
      const forgotten = Math.floor((nowMs - history.untilMs) / ejectionMs);
      history.ejections = Math.max(0, history.ejections - forgotten);
    }
    history.ejections++;
    history.untilMs = nowMs + Math.min(ejectionMs * history.ejections, Math.max(ejectionMs, ejectionMsMax));
    history.isOut = true;
    this.#out.add(id);
    return true;
  }
}
