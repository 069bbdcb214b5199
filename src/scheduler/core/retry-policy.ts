import { taskd } from '../../wire/generated/messages.js';

/** Tries of a run that names no number: the first and one for each level of the default ladder, some 8 hours in all. */
export const attemptsDefault = 14;
const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
/** Waits before the 2nd, 3rd … try of a run that names none. */
// biome-ignore format: a ladder reads as one line
export const ladderDefaultMs: readonly number[] = [
  second, 5 * second, 10 * second, 30 * second, minute, 2 * minute, 5 * minute,
  10 * minute, 20 * minute, 30 * minute, hour, 2 * hour, 4 * hour,
];
export const attemptsMax = 100;
export const ladderLevelsMax = 32;
/** Of an encoded RetryPolicy: several times what the longest ladder takes. */
export const retryBytesMax = 1_024;
export const delayMsMax: number = 7 * 24 * hour;
export const timeoutMsMax: number = 7 * 24 * hour;
/** Lost leases that a run survives; the next one makes it a dead letter. */
export const lostMax = 5;
const lostDelayMsMax: number = 30 * second;

/** How a run is tried: interned, since nearly all runs share a few of them. */
export interface RunSpec {
  readonly attemptsMax: number;
  readonly delaysMs: readonly number[];
  /** Of one attempt; 0: none. */
  readonly timeoutMs: number;
  /** Why no run may have it; empty when it is fine. */
  readonly problem: string;
}

/** The spec in an encoded RetryPolicy (may be empty) and a timeout. Never throws. */
export function runSpec(retry: Uint8Array, timeoutMs: number): RunSpec {
  let policy: taskd.RetryPolicy;
  try {
    policy = taskd.RetryPolicy.decode(retry);
  } catch {
    return { attemptsMax: 1, delaysMs: ladderDefaultMs, timeoutMs: 0, problem: 'the retry policy is malformed' };
  }
  const attempts = policy.attemptsMax === 0 ? attemptsDefault : policy.attemptsMax;
  const delaysMs = policy.delaysMs.length === 0 ? ladderDefaultMs : policy.delaysMs;
  // Not Math.max(...): a record may hold millions of levels, more than a call takes arguments.
  const longest = delaysMs.reduce((most, ms) => Math.max(most, ms), 0);
  let problem = '';
  if (attempts > attemptsMax) {
    problem = `${attempts} attempts are wanted; at most ${attemptsMax} are allowed`;
  } else if (delaysMs.length > ladderLevelsMax) {
    problem = `the retry ladder has ${delaysMs.length} levels; at most ${ladderLevelsMax} are allowed`;
  } else if (longest > delayMsMax) {
    problem = `a retry delay is ${longest} ms; at most ${delayMsMax} (7 days) are allowed`;
  } else if (timeoutMs > timeoutMsMax) {
    problem = `the timeout is ${timeoutMs} ms; at most ${timeoutMsMax} (7 days) are allowed`;
  }
  // No run ever waits by a ladder that is refused, so it need not be kept.
  return { attemptsMax: attempts, delaysMs: problem === '' ? delaysMs : ladderDefaultMs, timeoutMs, problem };
}

/**
 * The wait before the next try after `attempts` failed ones: its level of the ladder (the last repeats) plus up to a
 * tenth of it, by a hash of run and attempt, so that runs which failed together don't come back together. Never less
 * than the level, and the same in every replay.
 */
export function retryDelayMs(spec: RunSpec, run: number, attempts: number): number {
  const { delaysMs } = spec;
  const level = delaysMs[Math.min(attempts, delaysMs.length) - 1]!;
  let hash = Math.imul((run >>> 0) ^ Math.imul(attempts, 0x9e37_79b1), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return level + Math.floor((((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32) * (level / 10));
}

/** The wait after the `lost`-th lost lease: none after the first, then 1 s, doubling, at most 30 s. */
export function lostDelayMs(lost: number): number {
  return lost <= 1 ? 0 : Math.min(lostDelayMsMax, second * 2 ** (lost - 2));
}
