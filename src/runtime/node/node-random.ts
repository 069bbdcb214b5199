import { randomFillSync } from 'node:crypto';
import { WordRandom } from '../word-random.js';

const poolWords = 1024;

/** The system's cryptographic generator, asked for 4 KiB at a time. */
export class NodeRandom extends WordRandom {
  readonly #pool = new Uint32Array(poolWords);
  #next = poolWords;

  override u32(): number {
    if (this.#next === poolWords) {
      randomFillSync(this.#pool);
      this.#next = 0;
    }
    const word = this.#pool[this.#next]!;
    this.#pool[this.#next++] = 0; // Used words are not left in memory.
    return word;
  }
}
