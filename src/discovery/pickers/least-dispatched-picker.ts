import type { Random } from '../../runtime/random.js';
import { type Candidate, isOpen, type Picker, usable } from '../picker.js';
import { LeastDispatched } from './least-dispatched.js';
import { Roster } from './roster.js';

/**
 * `least-dispatched`: whoever had the fewest picks for his weight, over lists of candidates. Smooth as a weighted
 * round robin, and nobody who comes or returns is flooded. A new list costs O(n), each pick from it O(log n).
 */
export class LeastDispatchedPicker implements Picker {
  readonly #random: Random;
  readonly #order: LeastDispatched = new LeastDispatched();
  readonly #roster: Roster = new Roster();
  /** By slot: the member of the order. */
  readonly #members: number[] = [];
  /** By member. */
  readonly #candidates: (Candidate | undefined)[] = [];
  #given: readonly Candidate[] | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  pick<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) this.#take(candidates);
    const member = this.#order.pick();
    return member === -1 ? undefined : (this.#candidates[member] as C);
  }

  #take(candidates: readonly Candidate[]): void {
    this.#given = candidates;
    this.#roster.take(candidates, {
      joined: (slot, candidate) => {
        this.#members[slot] = this.#order.add(isOpen(candidate) ? candidate.weight : 1, this.#random.unit());
      },
      left: (slot) => {
        const member = this.#members[slot]!;
        this.#order.remove(member);
        this.#candidates[member] = undefined;
      },
    });
    const ready = usable(candidates);
    let next = 0;
    for (const candidate of candidates) {
      const member = this.#members[this.#roster.slotOf(candidate.id)!]!;
      this.#candidates[member] = candidate;
      if (isOpen(candidate)) this.#order.setWeight(member, candidate.weight);
      // `ready` has the order of the list.
      const isReady = ready[next] === candidate;
      if (isReady) next++;
      this.#order.setReady(member, isReady);
    }
  }
}
