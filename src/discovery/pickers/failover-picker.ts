import type { Clock } from '../../runtime/clock.js';
import { type Candidate, type Picker, type PickOutcome, usable } from '../picker.js';

/** After a failed call a candidate is passed over for so long; then it is first again, if it was. */
const passedOverMs = 10_000;

/**
 * `failover`: always the first of the list that may be chosen and did not fail lately; so one works and the others
 * stand by, in the order of the list (the registry's lists are in the order of ids). When all have failed, whose time
 * is over soonest. O(those passed over) a pick, O(n) a new list.
 */
export class FailoverPicker implements Picker {
  readonly #clock: Clock;
  /** Until when those whose last call failed are passed over; of the listed only. */
  readonly #failedUntilMs = new Map<string, number>();
  readonly #listed = new Set<string>();
  #given: readonly Candidate[] | undefined;
  #usable: readonly Candidate[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  pick<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) this.#take(candidates);
    if (this.#failedUntilMs.size === 0) return this.#usable[0] as C | undefined;
    const nowMs = this.#clock.monotonicMs();
    let soonest: Candidate | undefined;
    let soonestMs = Number.POSITIVE_INFINITY;
    for (const candidate of this.#usable) {
      const untilMs = this.#failedUntilMs.get(candidate.id);
      if (untilMs === undefined || untilMs <= nowMs) return candidate as C;
      if (untilMs < soonestMs) {
        soonest = candidate;
        soonestMs = untilMs;
      }
    }
    return soonest as C | undefined;
  }

  done(id: string, outcome: PickOutcome): void {
    if (outcome.isOk) this.#failedUntilMs.delete(id);
    else if (this.#listed.has(id)) this.#failedUntilMs.set(id, this.#clock.monotonicMs() + passedOverMs);
  }

  #take(candidates: readonly Candidate[]): void {
    this.#given = candidates;
    this.#usable = usable(candidates);
    this.#listed.clear();
    for (const { id } of candidates) this.#listed.add(id);
    for (const id of this.#failedUntilMs.keys()) if (!this.#listed.has(id)) this.#failedUntilMs.delete(id);
  }
}
