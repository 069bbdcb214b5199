import { type Candidate, isOpen, type Picker, usable } from '../picker.js';

/**
 * `broadcast`: `pickAll` gives everyone who isn't disabled, suspects too. `pick` gives those who are usable one after
 * another, in the order of the list, whatever their weights: as many picks as there are of them reach each once.
 */
export class BroadcastPicker implements Picker {
  #given: readonly Candidate[] | undefined;
  #usable: readonly Candidate[] = [];
  #next = 0;

  pick<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) {
      this.#given = candidates;
      this.#usable = usable(candidates);
    }
    if (this.#next >= this.#usable.length) this.#next = 0;
    return this.#usable[this.#next++] as C | undefined;
  }

  pickAll<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): readonly C[] {
    return candidates.filter(isOpen);
  }
}
