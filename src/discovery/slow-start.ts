export interface SlowStartOptions {
  /** Time from a candidate's appearance until it has its whole weight; 0 turns slow start off. Default 30,000. */
  readonly windowMs: number;
  /** 1: the weight rises in a line; above, faster at first. Default 1. */
  readonly aggression: number;
  /** The least share of its weight. Default 0.1. */
  readonly floor: number;
}

export const slowStartDefaults: SlowStartOptions = { windowMs: 30_000, aggression: 1, floor: 0.1 };

/** What is younger counts as this old. */
const ageMsMin = 1_000;

/**
 * The share of its weight that a candidate of some age gets, as Envoy computes it:
 *
 *   max(floor, (max(age, 1 s) ÷ window) ^ (1 ÷ aggression)), and 1 after the window
 */
export function slowStartShare(ageMs: number, options: SlowStartOptions): number {
  const { windowMs, aggression, floor } = options;
  if (ageMs >= windowMs) return 1;
  return Math.min(1, Math.max(floor, (Math.max(ageMs, ageMsMin) / windowMs) ** (1 / aggression)));
}
