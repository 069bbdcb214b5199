import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { Delayed, type DelayedOptions } from './delayed.js';
import type { ScenarioOptions, WorldResult } from './world-result.js';

/** After the last record was due, everything must be there within so long. */
const settleMs = 120_000;
/** A parked record is away for so long at least. */
const parkedMsMin = 4_000;

export interface DelayedScenario {
  readonly seed: number;
  readonly crashes: number;
  /** So many times the disk fails a target, which takes nothing until the next crash. Default 0. */
  readonly breaks?: number;
  /** One more crash, at the broker's n-th operation on files after its start. */
  readonly crashAt?: { readonly operation: number; readonly powerLoss: boolean };
  readonly delayed: DelayedOptions;
}

export interface DelayedResult extends WorldResult {
  readonly heldMax: number;
}

/** Delayed records through crashes: kills and power losses at any operation, cut connections. */
export async function runDelayed(
  scenario: DelayedScenario,
  options: ScenarioOptions & { readonly look?: () => void } = {},
): Promise<DelayedResult> {
  const { seed, crashes, breaks = 0 } = scenario;
  const world = new SimWorld(seed, options);
  const delayed = new Delayed(world, scenario.delayed);
  const { random } = world;
  const { spanMs } = scenario.delayed;
  let kills = 0;
  let powerLosses = 0;
  const crash = (): void => {
    const powerLoss = random.below(2) === 0;
    kills++;
    if (powerLoss) powerLosses++;
    delayed.broker.killAfterOperations(random.below(30), { powerLoss });
    const outageMs = random.below(5) === 0 ? 8_000 : 400;
    world.after(20 + random.below(outageMs), () => delayed.broker.restart());
    if (random.below(3) === 0) world.network.cut('broker', 'client');
  };
  for (let i = 0; i < crashes; i++) world.after(random.unit() * spanMs, crash);
  for (let i = 0; i < breaks; i++) world.after(random.unit() * spanMs, () => delayed.breakTarget());
  // What was parked comes back when it has been late for twice as long.
  if (breaks > 0) delayed.records.allowedLateMs += spanMs + parkedMsMin;
  const { crashAt } = scenario;
  const watch = (): void => {
    if (delayed.broker.isAlive) {
      world.after(50, watch);
      return;
    }
    kills++;
    delayed.broker.restart();
  };
  const { look } = options;
  const lookAgain = (): void => {
    look!();
    world.after(60_000, lookAgain);
  };
  if (look !== undefined) lookAgain();
  let problem: Error | undefined;
  try {
    delayed.start();
    if (crashAt !== undefined) {
      delayed.broker.killAfterOperations(crashAt.operation, { powerLoss: crashAt.powerLoss });
      watch();
    }
    await world.run({ untilMs: spanMs });
    if (breaks > 0) {
      delayed.broker.disk.failingSyncs = 0;
      kills++;
      delayed.broker.restart();
    }
    await world.run({ untilMs: world.nowMs + settleMs, until: () => delayed.isSent });
    // Looks at all records, so not after each event.
    for (let waited = 0; waited < settleMs && !(delayed.isSent && delayed.records.isComplete()); waited += 1_000) {
      await world.run({ untilMs: world.nowMs + 1_000 });
    }
    delayed.records.finish();
    // A failure of a checker ends the world's next run.
    await world.run({ untilMs: world.nowMs + 5_000 });
  } catch (error) {
    problem = error as Error;
  }
  const { records, broker, heldMax } = delayed;
  return {
    seed,
    problem,
    counts: {
      kills,
      stored: records.stored,
      unknown: records.unknown,
      refused: records.refused,
      delivered: records.delivered,
      cancelled: records.cancelled,
      'dead letters': records.deadLetters,
      overtaken: records.overtaken,
      parked: delayed.parked,
      lives: broker.lives,
    },
    events: world.events,
    virtualMs: world.nowMs,
    digest: world.digest,
    faults: `${kills} kills, ${powerLosses} of them by power loss`,
    log: world.log.lines,
    heldMax,
  };
}

/**
 * A dozen records that take every way through the ladder, with one crash at a given operation on files: storing, moving,
 * saying `Moved`, a Fire, its batch, `FireDone`, a trim, and the start after it. `counts.lives` is 1 when the broker had
 * ended its work before.
 */
export function runDelayedCrashPoint(operation: number, powerLoss: boolean): Promise<DelayedResult> {
  const sizes = { segmentBytes: 2_048, trimBytes: 300 };
  const shares = { cancelShare: 0.3, doomedShare: 0.15 };
  const delayed = { records: 24, spanMs: 4_000, ...sizes, ...shares, gridMs: 1, pollMs: 500 };
  return runDelayed({ seed: 1, crashes: 0, crashAt: { operation, powerLoss }, delayed });
}

/** Many records over an hour, for the memory that they take; `look` is called each virtual minute. */
export function runManyDelayed(
  seed: number,
  records: number,
  crashes: number,
  options: ScenarioOptions & { readonly look?: () => void } = {},
): Promise<DelayedResult> {
  const sizes = { segmentBytes: 4 * 1024 * 1024, trimBytes: 6 * 1024 * 1024 };
  const delayed = {
    records,
    spanMs: 3_600_000,
    ...sizes,
    cancelShare: 0.01,
    doomedShare: 0.01,
    gridMs: 500,
    pollMs: 5_000,
  };
  return runDelayed({ seed, crashes, delayed }, options);
}

/** A small world under one seed, every trait of it drawn. */
export function runDelayedSeed(seed: number, options: ScenarioOptions = {}): Promise<WorldResult> {
  const random = new SeededRandom(seed).fork();
  const delayed = {
    records: 200,
    spanMs: [4_000, 20_000, 90_000][random.below(3)]!,
    segmentBytes: 4_096 * 2 ** random.below(6),
    trimBytes: 2_048 * 2 ** random.below(6),
    cancelShare: 0.2,
    doomedShare: random.below(2) * 0.1,
    gridMs: 1,
    pollMs: 500,
  };
  const crashes = 2 + random.below(10);
  if (random.below(3) > 0) return runDelayed({ seed, crashes, delayed }, options);
  // A target that takes nothing, and memory for a few records.
  const heldMax = 6 + random.below(20);
  const scenario = { seed, crashes: random.below(4), breaks: 1 + random.below(3), delayed: { ...delayed, heldMax } };
  return runDelayed(scenario, options);
}
