import type { Random } from './random.js';

const TWO_32 = 0x1_0000_0000;

/** Everything a `Random` offers, derived from one source of uniform 32-bit words. */
export abstract class WordRandom implements Random {
  abstract u32(): number;

  /** Uniform without bias: words that would favour the low results are drawn again. */
  below(bound: number): number {
    if (!(Number.isInteger(bound) && bound >= 1 && bound <= TWO_32)) {
      throw new RangeError(`taskd bug: below() needs a bound in [1, 2^32], got ${bound}`);
    }
    const limit = TWO_32 - (TWO_32 % bound);
    let word = this.u32();
    while (word >= limit) word = this.u32();
    return word % bound;
  }

  unit(): number {
    const high = this.u32() >>> 5;
    const low = this.u32() >>> 6;
    return (high * 0x400_0000 + low) / 0x20_0000_0000_0000;
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      let word = this.u32();
      for (let i = 0; i < 4 && at < length; i++, at++) {
        out[at] = word;
        word >>>= 8;
      }
    }
    return out;
  }
}
