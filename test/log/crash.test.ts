import t from 'tap';
import { LogStore } from '../../src/log/log-store.js';
import type { PartitionLog } from '../../src/log/partition-log.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { allValues, batchOf } from './batches.js';

const options = { segmentBytes: 2_500, tailBytesMax: 20_000 };
const fullLifeBatches = 6;

/**
 * What the outside was promised, life after life: values that were told synced or were read, and terms. A value's
 * place in the list is its offset.
 */
class Promises {
  kept: string[] = [];
  /** What was appended last at each offset. */
  appended: string[] = [];
  isCreated = false;
  term = 0;

  /** What a start finds must hold all that was promised, and beyond it only what was really appended. */
  check(found: readonly string[]): void {
    for (const [offset, value] of this.kept.entries()) {
      if (found[offset] !== value) throw new Error(`offset ${offset} was "${value}", is "${found[offset]}"`);
    }
    for (const [offset, value] of found.entries()) {
      if (this.appended[offset] !== value) throw new Error(`offset ${offset} holds "${value}", never appended there`);
    }
    this.kept = [...found];
    this.appended = [...found];
  }
}

/** One life: opens or creates the log, checks what it finds, appends, and closes if nothing stops it before. */
async function live(runtime: Runtime, promises: Promises, life: number, seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const store = await LogStore.open(runtime, '/var/taskd', options);
  const known = store.replicas().length > 0;
  if (promises.isCreated && !known) throw new Error('the replica is no longer known');
  const log = known ? await store.open(1, 0) : await store.create(1, 0);
  promises.isCreated = true;
  if (log.problem !== undefined) throw new Error(`damaged: ${log.problem}`);
  const term = await log.raiseTerm();
  if (term <= promises.term) throw new Error(`term ${term} after ${promises.term}`);
  promises.term = term;
  promises.check(await allValues(log, 700));
  await appendSome(runtime, log, promises, life, random);
  promises.check(await allValues(log, 300));
  await store.close();
}

/** Appends in bursts of a few batches, with a rest in which the recovery point is stored. */
async function appendSome(
  runtime: Runtime,
  log: PartitionLog,
  promises: Promises,
  life: number,
  random: SeededRandom,
): Promise<void> {
  let appended = 0;
  const pause = (ms: number): Promise<void> => new Promise((resolve) => runtime.clock.timer(ms, resolve));
  while (appended < fullLifeBatches) {
    for (let burst = 1 + random.below(3); burst > 0; burst--) {
      const sizes = [3, 60, 600, 1_400];
      const values = Array.from({ length: 1 + random.below(2) }, (_, i) =>
        `${life}.${appended}.${i}`.padEnd(sizes[random.below(4)]!, '-'),
      );
      log.append(batchOf(...values));
      promises.appended.push(...values);
      appended++;
    }
    await new Promise<void>((resolve, reject) => {
      log.onFailed = reject;
      log.onSynced = (syncedEnd) => {
        promises.kept = promises.appended.slice(0, syncedEnd);
        if (syncedEnd === log.logEnd) resolve();
      };
    });
    if (random.below(4) === 0) await pause(1_500);
  }
}

interface Fault {
  readonly killAfterOperations?: number;
  readonly killWhen?: () => boolean;
  readonly powerLoss?: boolean;
  /** One sync fails in this life: it ends with an error then, which must not be one of this test's checks. */
  readonly mayFail?: boolean;
}

/** Runs one life to its end; true when nothing cut it short. */
async function runLife(world: SimWorld, host: SimProcess, promises: Promises, fault: Fault = {}): Promise<boolean> {
  let end = 'none';
  const seed = world.seed * 100 + host.lives;
  host.start(async (runtime) => {
    try {
      await live(runtime, promises, host.lives, seed);
      end = 'whole';
    } catch (error) {
      if (!(fault.mayFail && /EIO/.test(String(error)))) throw error;
      end = 'failed';
    }
  });
  if (fault.killAfterOperations !== undefined) {
    host.killAfterOperations(fault.killAfterOperations, { powerLoss: fault.powerLoss ?? false });
  }
  await world.run({ until: () => end !== 'none' || !host.isAlive || fault.killWhen?.() === true });
  host.kill({ powerLoss: fault.powerLoss ?? false });
  return end === 'whole';
}

t.test('a crash at any operation loses nothing promised', async (t) => {
  for (const powerLoss of [true, false]) {
    let operations = powerLoss ? 0 : 1;
    for (let isWhole = false; !isWhole; operations += 4) {
      const world = new SimWorld(operations);
      const host = world.process('broker');
      const promises = new Promises();
      isWhole = await runLife(world, host, promises, { killAfterOperations: operations, powerLoss });
      // After a kill the next life builds on names and bytes that are not on disk yet; then the power goes.
      if (!(await runLife(world, host, promises, { powerLoss: true }))) throw new Error('a whole life was cut short');
      if (!(await runLife(world, host, promises))) throw new Error('a whole life was cut short');
    }
    t.ok(operations > 40, `${operations} operations, ${powerLoss ? 'power loss' : 'kill'}`);
  }
});

t.test('a crash at any operation of a recovery loses nothing promised', async (t) => {
  let operations = 0;
  for (let isWhole = false; !isWhole; operations += 3) {
    const world = new SimWorld(operations);
    const host = world.process('broker');
    const promises = new Promises();
    await runLife(world, host, promises, { killAfterOperations: 60 });
    const fault = { killAfterOperations: operations, powerLoss: operations % 2 === 0 };
    isWhole = await runLife(world, host, promises, fault);
    if (!(await runLife(world, host, promises))) throw new Error('a whole life was cut short');
  }
  t.ok(operations > 40, `${operations} operations`);
});

t.test('a segment whose name was never synced is synced before anything in it counts', async (t) => {
  for (let seed = 1; seed <= 12; seed++) {
    const world = new SimWorld(seed);
    const host = world.process('broker');
    const promises = new Promises();
    const folder = '/var/taskd/data/1/0-1';
    const hasRolled = (): boolean => host.disk.exists(folder) && host.disk.list(folder).length > 1;
    await runLife(world, host, promises, { killWhen: hasRolled });
    const before = promises.kept.length;
    await runLife(world, host, promises, { killWhen: () => promises.kept.length > before, powerLoss: true });
    if (!(await runLife(world, host, promises))) throw new Error('a whole life was cut short');
  }
  t.pass('nothing promised was lost');
});

t.test('crash after crash, with syncs that fail', async (t) => {
  for (let seed = 1; seed <= 15; seed++) {
    const world = new SimWorld(seed);
    const host = world.process('broker');
    const promises = new Promises();
    for (let lives = 1 + world.random.below(5); lives > 0; lives--) {
      const mayFail = world.random.below(3) === 0;
      const life = host.lives + 1;
      if (mayFail) {
        world.after(world.random.unit() * 20, () => {
          if (host.lives === life && host.isAlive) host.disk.failingSyncs = 1;
        });
      }
      const killAfterOperations = world.random.below(70);
      await runLife(world, host, promises, { killAfterOperations, powerLoss: world.random.below(2) === 0, mayFail });
      host.disk.failingSyncs = 0;
    }
    if (!(await runLife(world, host, promises))) throw new Error('a life without faults did not end well');
    host.disk.losePower();
    await runLife(world, host, promises);
  }
  t.pass('nothing promised was lost');
});

t.test('a state journal that was in memory only is not what the next start relies on', async (t) => {
  let opened = 0;
  for (let seed = 1; seed <= 30; seed++) {
    const world = new SimWorld(seed);
    const host = world.process('broker');
    const start = async (killAfter = Number.POSITIVE_INFINITY, powerLoss = false): Promise<void> => {
      let isOver = false;
      host.start(async (runtime) => {
        try {
          const store = await LogStore.open(runtime, '/var/taskd', options);
          // So many that a generation takes several sectors.
          for (let i = store.replicas().length; i < 6; i++) await store.create(1, i);
          opened++;
        } catch (error) {
          if (!/EIO/.test(String(error))) throw error;
        }
        isOver = true;
      });
      host.killAfterOperations(killAfter, { powerLoss });
      await world.run({ until: () => isOver || !host.isAlive });
      host.kill({ powerLoss });
    };
    await start();
    for (let lives = 2 + world.random.below(4); lives > 0; lives--) {
      const isFailing = world.random.below(2) === 0;
      host.disk.failingSyncs = isFailing ? 1 : 0;
      await start(isFailing ? Number.POSITIVE_INFINITY : 8 + world.random.below(14), world.random.below(3) === 0);
    }
    host.disk.failingSyncs = 0;
    host.disk.losePower();
    await start();
  }
  t.ok(opened >= 60, `${opened} starts`);
});
