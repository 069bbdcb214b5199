import { WordRandom } from '../word-random.js';

/**
 * Reproducible numbers: xoshiro128** (Blackman and Vigna, 2018), its state filled from `seed` by a 32-bit
 * SplitMix-style mixer. Equal seeds give equal sequences on every machine. Not for secrets.
 */
export class SeededRandom extends WordRandom {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    super();
    // Both halves of a seed above 2^32 count.
    let state = (Math.trunc(seed) ^ Math.imul(Math.floor(seed / 0x1_0000_0000), 0x85eb_ca6b)) | 0;
    const next = (): number => {
      state = (state + 0x9e37_79b9) | 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
      return z ^ (z >>> 15);
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1;
  }

  override u32(): number {
    const scrambled = Math.imul(this.#b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** A generator of its own, seeded from this one: draws on either do not disturb the other. */
  fork(): SeededRandom {
    return new SeededRandom(this.u32() * 0x20_0000 + (this.u32() >>> 11));
  }
}
