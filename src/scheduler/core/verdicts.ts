import type { Verdict } from './snapshots.js';

const verdictsMax = 10_000;

/** The latest verdicts on proposals, by offset, for callers that wait for theirs. */
export class Verdicts {
  readonly #verdicts: Map<number, Verdict> = new Map<number, Verdict>();

  get(offset: number): Verdict | undefined {
    return this.#verdicts.get(offset);
  }

  set(offset: number, verdict: Verdict): void {
    this.#verdicts.set(offset, verdict);
    if (this.#verdicts.size > verdictsMax) this.#verdicts.delete(this.#verdicts.keys().next().value!);
  }
}
