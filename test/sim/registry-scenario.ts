import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { RegistryCluster } from './registry/cluster.js';
import { truthMs } from './registry/convergence.js';
import { RegistryFaults } from './registry/faults.js';
import type { ScenarioOptions, WorldResult } from './world-result.js';

/** Without faults first, so that all are there; then with. */
const calmMs = 15_000;
const faultsMsMin = 30_000;
const faultsMsMax = 150_000;
/** The last tombstone goes within so long after the last fault. */
const tombstonesMs = 165_000;
/** From the end of the clients' sessions, and from that of the name servers', until nothing may be left. */
const leaveMs = 5_000;
const lingerMs = 35_000;

/** Runs a cluster of name servers under one seed: faults for a while, then calm until all has come right and has ended. */
export async function runRegistrySeed(seed: number, options: ScenarioOptions = {}): Promise<WorldResult> {
  const random = new SeededRandom(seed).fork();
  const up = (from: number, doublings: number): number => from * 2 ** (random.unit() * doublings);
  const speeds = {
    network: { typicalMs: up(0.1, 7), slowMs: up(20, 4), slowChance: random.unit() * 0.03 },
    disk: { typicalMs: up(0.02, 4), syncTypicalMs: up(0.2, 7), slowMs: up(10, 5), slowChance: random.unit() * 0.02 },
  };
  const world = new SimWorld(seed, { ...options, ...speeds });
  const cluster = new RegistryCluster(world);
  const faults = new RegistryFaults(world, cluster);
  let problem: Error | undefined;
  try {
    cluster.start();
    const elapse = (forMs: number): Promise<boolean> => world.run({ untilMs: world.nowMs + forMs });
    await elapse(calmMs);
    const faultsMs = faultsMsMin + random.unit() * (faultsMsMax - faultsMsMin);
    faults.start(faultsMs);
    await elapse(faultsMs);
    faults.stop();
    cluster.settle();
    await elapse(truthMs + 1);
    await check(world, cluster.overrides.check());
    const untilMs = world.nowMs + tombstonesMs - truthMs;
    await world.run({ untilMs, until: () => cluster.left.areTombstonesGone });
    cluster.left.checkTombstones();
    cluster.closeClients();
    await elapse(leaveMs);
    cluster.left.checkNodes();
    cluster.closeNodes();
    await elapse(lingerMs);
    cluster.left.checkProcesses();
    await elapse(1);
  } catch (error) {
    problem = error as Error;
  }
  return {
    seed,
    problem,
    counts: {
      nodes: cluster.nodes.length,
      clients: cluster.clients.length,
      removals: cluster.removals.removals,
      lists: cluster.lists.lists,
      overrides: cluster.overrides.acknowledged,
    },
    events: world.events,
    virtualMs: world.nowMs,
    digest: world.digest,
    faults: faults.summary(),
    log: world.log.lines,
  };
}

/** Lets the world run until a check that takes time is over. */
async function check(world: SimWorld, checking: Promise<void>): Promise<void> {
  let isOver = false;
  checking.then(
    () => {
      isOver = true;
    },
    (error: unknown) => world.fail(error),
  );
  if (await world.run({ untilMs: world.nowMs + 20_000, until: () => isOver })) return;
  throw new Error(`seed ${world.seed}: not every name server says its overrides`);
}
