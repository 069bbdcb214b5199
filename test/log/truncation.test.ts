import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { LogStore } from '../../src/log/log-store.js';
import type { PartitionLog } from '../../src/log/partition-log.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { allValues, batchOf, synced } from './batches.js';

const options = { segmentBytes: 2_000, tailBytesMax: 20_000 };
const open = (runtime: Runtime): Promise<LogStore> => LogStore.open(runtime, '/var/taskd', options);
const longText = (name: string, i: number): string => `${name}${i}`.padEnd(20 + ((i * 397) % 900), '.');

/** Runs one life to its end, or to the kill; its errors fail the test. */
async function live(world: SimWorld, host: SimProcess, main: (runtime: Runtime) => Promise<void>): Promise<void> {
  let isOver = false;
  host.start(async (runtime) => {
    await main(runtime);
    isOver = true;
  });
  await world.run({ until: () => isOver || !host.isAlive });
  host.kill();
}

async function fill(log: PartitionLog, name: string, count: number): Promise<string[]> {
  const values = Array.from({ length: count }, (_, i) => longText(name, i));
  for (const value of values) {
    log.append(batchOf(value));
    if (value.length % 3 > 0) await synced(log);
  }
  return values;
}

t.test('what was cut is gone, what remains is there, and appends go on', async (t) => {
  const cuts = fc.record({ count: fc.integer({ min: 1, max: 12 }), end: fc.nat(12), isSynced: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(cuts, fc.nat(1_000), async ({ count, end, isSynced }, seed) => {
      const world = new SimWorld(seed);
      const host = world.process('broker');
      const cut = Math.min(end, count);
      let kept: string[] = [];
      await live(world, host, async (runtime) => {
        const store = await open(runtime);
        const log = await store.create(1, 0);
        await log.raiseTerm();
        const values = await fill(log, 'old', count);
        if (isSynced) await synced(log);
        let told = 0;
        log.onSynced = (syncedEnd) => {
          told = syncedEnd;
        };
        const cutting = log.truncateTo(cut);
        if (cut < count) t.throws(() => log.append(batchOf('too early')), { code: ErrorCode.BUSY });
        await cutting;
        t.ok(told <= cut, 'no sync tells of what was cut');
        t.equal(log.logEnd, cut);
        t.same(await allValues(log), values.slice(0, log.syncedEnd));
        kept = values.slice(0, cut);
        kept.push(...(await fill(log, 'new', 5)));
        await synced(log);
        t.same(await allValues(log), kept);
      });
      if (seed % 2 === 0) host.disk.losePower();
      await live(world, host, async (runtime) => {
        const store = await open(runtime);
        const log = await store.open(1, 0);
        t.same([log.problem, await allValues(log)], [undefined, kept]);
        await store.close();
      });
    }),
    { numRuns: 60 },
  );
});

t.test('a crash at any operation of a cut leaves the log as it was, or cut', async (t) => {
  let cutAnyway = 0;
  for (const count of [6, 11]) {
    for (let operations = 0, isDone = false; !isDone; operations++) {
      for (const powerLoss of [true, false]) {
        const world = new SimWorld(operations * 10 + count);
        const host = world.process('broker');
        let values: string[] = [];
        await live(world, host, async (runtime) => {
          const log = await (await open(runtime)).create(1, 0);
          values = await fill(log, 'old', count);
          await synced(log);
          host.killAfterOperations(operations, { powerLoss });
          await log.truncateTo(2);
          isDone = true;
        });
        // The next life may die as well, then the power may go.
        await live(world, host, async (runtime) => {
          host.killAfterOperations(world.random.below(60), { powerLoss: world.random.below(2) === 0 });
          await (await open(runtime)).open(1, 0);
        });
        await live(world, host, async (runtime) => {
          const log = await (await open(runtime)).open(1, 0);
          const found = await allValues(log);
          if (log.problem !== undefined) throw new Error(`crash at ${operations}: ${log.problem}`);
          const expected = found.length === 2 ? values.slice(0, 2) : values;
          if (found.length === 2) cutAnyway++;
          if (found.join() !== expected.join()) throw new Error(`crash at ${operations}: ${found.length} values`);
          log.append(batchOf('after'));
          await synced(log);
        });
      }
    }
  }
  t.ok(cutAnyway > 5, `${cutAnyway} were cut`);
});

t.test('only a batch boundary above the recovery point will do', async (t) => {
  const world = new SimWorld(1);
  await live(world, world.process('broker'), async (runtime) => {
    const store = await open(runtime);
    const log = await store.create(1, 0);
    log.append(batchOf('a', 'b', 'c'));
    log.append(batchOf('d'));
    for (const end of [-1, 1, 2, 5]) {
      await t.rejects(log.truncateTo(end), { code: ErrorCode.INVALID, message: /only a batch boundary/ });
    }
    t.equal(log.append(batchOf('e')), 4, 'nothing was changed');
    await synced(log);
    await log.truncateTo(5);
    t.ok(log.moveRecoveryPoint());
    await t.rejects(log.truncateTo(3), { code: ErrorCode.INVALID });
    t.equal((await allValues(log)).length, 5);
  });
});

t.test('what waits for room on a full disk can be cut off', async (t) => {
  const world = new SimWorld(2);
  const host = world.process('broker');
  await live(world, host, async (runtime) => {
    const log = await (await open(runtime)).create(1, 0);
    await fill(log, 'old', 3);
    await synced(log);
    const { totalBytes, freeBytes } = host.disk.space();
    host.disk.limitBytes = totalBytes - freeBytes + 4_096;
    log.append(batchOf('x'.repeat(5_000)));
    await new Promise<void>((resolve) => runtime.clock.timer(100, resolve));
    await log.truncateTo(3);
    host.disk.limitBytes = Number.POSITIVE_INFINITY;
    t.equal(log.append(batchOf('new')), 3);
    await synced(log);
    t.equal((await allValues(log)).at(-1), 'new');
  });
});

t.test('a cut that the disk refuses fails the log for good', async (t) => {
  const world = new SimWorld(3);
  const host = world.process('broker');
  let values: string[] = [];
  await live(world, host, async (runtime) => {
    const log = await (await open(runtime)).create(1, 0);
    values = await fill(log, 'old', 4);
    await synced(log);
    host.disk.failingSyncs = 2;
    const error = await log.truncateTo(2).catch((each: unknown) => each);
    t.ok(isTaskdError(error, ErrorCode.STORAGE_FAILED));
    t.throws(() => log.append(batchOf('x')), { code: ErrorCode.STORAGE_FAILED });
  });
  host.disk.failingSyncs = 0;
  await live(world, host, async (runtime) => {
    const log = await (await open(runtime)).open(1, 0);
    const found = await allValues(log);
    t.same(found, values.slice(0, found.length));
  });
});

t.test('a cut and a trim of one moment do not meet', async (t) => {
  const texts = Array.from({ length: 40 }, (_, i) => `v${i}`.padEnd(100, '.'));
  const [trim, cut] = [20, 23];
  for (const isCutFirst of [true, false]) {
    for (let seed = 0; seed < 40; seed++) {
      const world = new SimWorld(seed);
      await live(world, world.process('broker'), async (runtime) => {
        const store = await LogStore.open(runtime, '/var/taskd', { segmentBytes: 1_000 });
        const log = await store.create(1, 0);
        for (const text of texts) log.append(batchOf(text));
        await synced(log);
        const pause = (): Promise<void> =>
          new Promise((resolve) => void runtime.clock.timer((seed % 20) * (seed % 7) * 0.05, resolve));
        const first = isCutFirst ? log.truncateTo(cut) : log.trimTo(trim);
        await pause();
        await Promise.all([first, isCutFirst ? log.trimTo(trim) : log.truncateTo(cut)]);
        const found = await allValues(log);
        t.same([log.logStart, log.logEnd, found], [trim, cut, texts.slice(trim, cut)], `seed ${seed}`);
      });
    }
  }
});

t.test('what is being cut off can not be trimmed to, and a trim that came first bounds the cut', async (t) => {
  const world = new SimWorld(4);
  await live(world, world.process('broker'), async (runtime) => {
    const log = await (await LogStore.open(runtime, '/var/taskd')).create(1, 0);
    for (let i = 0; i < 10; i++) log.append(batchOf(`v${i}`));
    await synced(log);
    const cutting = log.truncateTo(6);
    await t.rejects(log.trimTo(7), { code: ErrorCode.OFFSET_OUT_OF_RANGE });
    await cutting;
    const trimming = log.trimTo(5);
    await t.rejects(log.truncateTo(4), { code: ErrorCode.INVALID });
    await trimming;
    t.equal(log.append(batchOf('new')), 6);
  });
});
