import type { Random } from '../../runtime/random.js';
import { type Candidate, type Picker, usable } from '../picker.js';
import { SmoothRoundRobin } from './smooth-round-robin.js';

/** The first list is entered at a place at random, up to so many picks a candidate in. */
const startPicksEach = 4;

/**
 * `round-robin`: smooth weighted, in nginx's order (see `SmoothRoundRobin`), from a start at random, so that callers
 * that start together don't all begin with the same candidate. With another list whoever stays keeps his place in the
 * order, and a newcomer is neither early nor late. O(n log n) a new list, O(number of different weights) a pick.
 */
export class RoundRobinPicker implements Picker {
  readonly #random: Random;
  #order: SmoothRoundRobin | undefined;
  #given: readonly Candidate[] | undefined;
  #usable: readonly Candidate[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  pick<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) this.#take(candidates);
    const member = this.#order!.pick();
    return member === -1 ? undefined : (this.#usable[member] as C);
  }

  #take(candidates: readonly Candidate[]): void {
    const before = new Map<string, number>();
    const lags = this.#order?.lags() ?? [];
    for (let i = 0; i < lags.length; i++) before.set(this.#usable[i]!.id, lags[i]!);
    this.#given = candidates;
    this.#usable = usable(candidates);
    const weights = this.#usable.map(({ weight }) => weight);
    if (before.size === 0) {
      this.#order = new SmoothRoundRobin(weights);
      const skipped = weights.length === 0 ? 0 : this.#random.below(startPicksEach * weights.length);
      for (let i = 0; i < skipped; i++) this.#order.pick();
      return;
    }
    let sum = 0;
    let stayed = 0;
    for (const { id } of this.#usable) {
      const lag = before.get(id);
      if (lag === undefined) continue;
      sum += lag;
      stayed++;
    }
    const mean = stayed === 0 ? 0 : sum / stayed;
    this.#order = new SmoothRoundRobin(
      weights,
      this.#usable.map(({ id }) => before.get(id) ?? mean),
    );
  }
}
