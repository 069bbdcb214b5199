import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { Queue } from './queue.js';
import { QueueFaults } from './queue-faults.js';
import { QueueRot } from './queue-rot.js';
import type { ScenarioOptions, WorldResult } from './world-result.js';

/** Faults go on for so long, and then everything has so long to come to an end. */
const faultsMsMax = 4_000;
const settleMs = 30_000;

/** Runs one broker with its producers and consumers under one seed: crashes for a while, then all is read and compared. */
export async function runQueueSeed(seed: number, options: ScenarioOptions = {}): Promise<WorldResult> {
  const random = new SeededRandom(seed).fork();
  const up = (from: number, doublings: number): number => from * 2 ** (random.unit() * doublings);
  const speeds = {
    network: { typicalMs: up(0.05, 5), slowMs: up(5, 4), slowChance: random.unit() * 0.01 },
    disk: { typicalMs: up(0.02, 4), syncTypicalMs: up(0.2, 6), slowMs: up(10, 3), slowChance: random.unit() * 0.01 },
  };
  const world = new SimWorld(seed, { ...options, ...speeds });
  const rot = new QueueRot();
  const queue = new Queue(world, rot);
  const faults = new QueueFaults(world, queue, rot);
  let problem: Error | undefined;
  try {
    queue.start();
    // Mostly there is a topic before the first fault; a start is hit often enough later.
    const isEarly = world.random.below(6) === 0;
    await world.run({ untilMs: 20_000, until: () => isEarly || queue.topicId !== undefined });
    await world.run({ untilMs: world.nowMs + world.random.unit() * 300 });
    faults.start();
    await world.run({ untilMs: world.nowMs + world.random.unit() * faultsMsMax });
    faults.stop();
    queue.settle();
    if (!(await world.run({ untilMs: world.nowMs + settleMs, until: () => queue.isSettled }))) {
      throw new Error(`seed ${seed}: no end within ${settleMs} ms after the last fault`);
    }
  } catch (error) {
    problem = error as Error;
  }
  const { records, broker } = queue;
  return {
    seed,
    problem,
    counts: { records: records.acknowledgedCount, unknown: records.unknownCount, lives: broker.lives },
    events: world.events,
    virtualMs: world.nowMs,
    digest: world.digest,
    faults: faults.summary(),
    log: world.log.lines,
  };
}
