/** A source of random numbers. Seeded in the simulator and in tests; the system's own generator in production. */
export interface Random {
  /** An unsigned 32-bit integer. */
  u32(): number;
  /** An integer in [0, bound), `bound` at most 2^32. */
  below(bound: number): number;
  /** A number in [0, 1). */
  unit(): number;
  /** `length` random bytes, owned by the caller. */
  bytes(length: number): Uint8Array;
}
