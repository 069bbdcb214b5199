import { type Candidate, isOpen, type Picker } from '../picker.js';

/**
 * `specified`: the one whose id the key is, also when he is suspect, and nobody else; undefined when he isn't there, is
 * disabled, or there is no key. O(1) a pick, O(n) a new list.
 */
export class SpecifiedPicker implements Picker {
  readonly #byId = new Map<string, Candidate>();
  #given: readonly Candidate[] | undefined;

  pick<C extends Candidate>(key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) this.#take(candidates);
    return key === undefined ? undefined : (this.#byId.get(key) as C | undefined);
  }

  #take(candidates: readonly Candidate[]): void {
    this.#given = candidates;
    this.#byId.clear();
    for (const candidate of candidates) if (isOpen(candidate)) this.#byId.set(candidate.id, candidate);
  }
}
