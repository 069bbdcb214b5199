import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import type { DiskSpeed } from '../../src/runtime/sim/sim-files.js';
import type { NetworkSpeed } from '../../src/runtime/sim/sim-network.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { Cluster } from './cluster.js';
import { Faults } from './faults.js';
import type { ScenarioOptions, WorldResult } from './world-result.js';

/** Faults go on for so long, and then everything has so long to come to an end. */
const faultsMs = 20_000;
const settleMs = 120_000;

/** From a fast machine to one whose disk and wires are slow, which keeps what is in flight in flight for longer. */
function speeds(seed: number): { network: NetworkSpeed; disk: DiskSpeed } {
  const random = new SeededRandom(seed).fork();
  const up = (from: number, doublings: number): number => from * 2 ** (random.unit() * doublings);
  return {
    network: { typicalMs: up(0.05, 7), slowMs: up(10, 4), slowChance: random.unit() * 0.01 },
    disk: { typicalMs: up(0.02, 5), syncTypicalMs: up(0.2, 7), slowMs: up(20, 4), slowChance: random.unit() * 0.01 },
  };
}

/** Runs the main job under one seed: faults for a while, then calm until every acknowledged submit has ended. */
export async function runSeed(seed: number, options: ScenarioOptions = {}): Promise<WorldResult> {
  const world = new SimWorld(seed, { ...options, ...speeds(seed) });
  const cluster = new Cluster(world);
  const faults = new Faults(world, cluster.processes, world.process('server'));
  cluster.onPromise = (isSubmit) => faults.promised(isSubmit);
  let problem: Error | undefined;
  try {
    cluster.start();
    await world.run({ untilMs: world.random.unit() * 3_000 });
    faults.start();
    await world.run({ untilMs: world.nowMs + faultsMs });
    faults.stop();
    cluster.settle();
    if (!(await world.run({ untilMs: world.nowMs + settleMs, until: () => cluster.isSettled }))) {
      const pending = cluster.ends.pending().map((run) => `${run} (${cluster.starts.history(run)})`);
      throw new Error(`seed ${seed}: no end within ${settleMs} ms after the last fault: ${pending.join('; ')}`);
    }
  } catch (error) {
    problem = error as Error;
  }
  return {
    seed,
    problem,
    counts: {
      submits: cluster.ends.acknowledgedCount,
      starts: cluster.starts.count,
      fires: cluster.fires.count,
    },
    events: world.events,
    virtualMs: world.nowMs,
    digest: world.digest,
    faults: faults.summary(),
    log: world.log.lines,
  };
}
