import type { Random } from '../../runtime/random.js';
import { type Candidate, type Picker, usable } from '../picker.js';

/**
 * `random`: each with the chance of his weight, by the alias method (Walker, 1977; the table is built as Vose, 1991,
 * does). O(n) a new list, O(1) a pick.
 */
export class RandomPicker implements Picker {
  readonly #random: Random;
  #given: readonly Candidate[] | undefined;
  #usable: readonly Candidate[] = [];
  /** Chance to stay at a column, and whom else the rest of it belongs to. */
  #chances: Float64Array = new Float64Array(0);
  #aliases: Int32Array = new Int32Array(0);

  constructor(random: Random) {
    this.#random = random;
  }

  pick<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) this.#take(candidates);
    const count = this.#usable.length;
    if (count === 0) return undefined;
    const drawn = this.#random.unit() * count;
    const column = Math.floor(drawn);
    return this.#usable[drawn - column < this.#chances[column]! ? column : this.#aliases[column]!] as C;
  }

  #take(candidates: readonly Candidate[]): void {
    this.#given = candidates;
    this.#usable = usable(candidates);
    const count = this.#usable.length;
    let total = 0;
    for (const { weight } of this.#usable) total += weight;
    const shares = Float64Array.from(this.#usable, ({ weight }) => (weight / total) * count);
    const aliases = Int32Array.from({ length: count }, (_, i) => i);
    const small: number[] = [];
    const large: number[] = [];
    for (let i = 0; i < count; i++) (shares[i]! < 1 ? small : large).push(i);
    // Each column with less than its full height is filled up from one with more.
    while (small.length > 0 && large.length > 0) {
      const poor = small.pop()!;
      const rich = large.at(-1)!;
      aliases[poor] = rich;
      shares[rich]! -= 1 - shares[poor]!;
      if (shares[rich]! >= 1) continue;
      large.pop();
      small.push(rich);
    }
    // What is left over is full, but for rounding.
    for (const i of [...small, ...large]) shares[i] = 1;
    this.#chances = shares;
    this.#aliases = aliases;
  }
}
