import t, { type Test } from 'tap';
import { ErrorCode, isTaskdError, Retry, TaskdError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { Partition } from '../../src/broker/partition.js';
import { reserveName } from '../../src/log/disk-space.js';
import { LogStore } from '../../src/log/log-store.js';
import type { PartitionLog } from '../../src/log/partition-log.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { SimDisk } from '../../src/runtime/sim/sim-disk.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { allValues, batchOf, synced } from './batches.js';

const MIB = 1024 * 1024;
const options = { space: { minFreeBytes: 2 * MIB, reserveBytesMax: MIB } };
const folder = '/var/taskd';

/** Runs `life` in a process until it is over. */
async function run(world: SimWorld, host: SimProcess, life: (runtime: Runtime) => Promise<void>): Promise<void> {
  let isOver = false;
  host.start(async (runtime) => {
    await life(runtime);
    isOver = true;
  });
  const done = await world.run({ untilMs: world.nowMs + 600_000, until: () => isOver });
  host.kill();
  if (!done) throw new Error('it never came to an end');
}

const pause = (runtime: Runtime, ms: number): Promise<void> =>
  new Promise((resolve) => runtime.clock.timer(ms, resolve));

function setFree(disk: SimDisk, bytes: number): void {
  disk.limitBytes = Number.POSITIVE_INFINITY;
  const { freeBytes, totalBytes } = disk.space();
  disk.limitBytes = totalBytes - freeBytes + bytes;
}

async function opened(store: LogStore, topicId: number, isInternal: boolean): Promise<PartitionLog> {
  const known = store.replicas().some((replica) => replica.topicId === topicId);
  const log = known ? await store.open(topicId, 0) : await store.create(topicId, 0);
  log.isInternal = isInternal;
  return log;
}

/** The error with which the log refuses a batch, or undefined when it took it. */
function refusal(log: PartitionLog, bytes = 10): TaskdError | undefined {
  try {
    log.append(batchOf('x'.repeat(bytes)));
    return undefined;
  } catch (error) {
    if (error instanceof TaskdError) return error;
    throw error;
  }
}

function isFull(t: Test, error: TaskdError | undefined): void {
  t.ok(isTaskdError(error, ErrorCode.STORAGE_FULL), String(error));
  t.equal(error?.retry, Retry.AFTER);
}

t.test('while little is free, only records of taskd itself are taken, and then all again', async (t) => {
  const world = new SimWorld(1);
  const host = world.process('broker');
  setFree(host.disk, 10 * MIB);
  await run(world, host, async (runtime) => {
    const store = await LogStore.open(runtime, folder, options);
    const users = await opened(store, 1, false);
    const own = await opened(store, 2, true);
    t.equal(refusal(users), undefined);
    // It is noticed in the very append that goes below, not only at the next look.
    let appended = 0;
    while (refusal(users, 100_000) === undefined) appended++;
    t.ok(appended > 60 && appended < 90, `${appended} times 100 kB of 8 MiB`);
    const error = refusal(users);
    isFull(t, error);
    t.match(error?.message, /1 MiB of the disk are left, .* only above 2 MiB; free some space or delete topics/);
    t.equal(refusal(own), undefined);
    await synced(users);
    await synced(own);
    t.equal(users.problem, undefined);
    setFree(host.disk, 10 * MIB);
    await pause(runtime, 1_500);
    t.equal(refusal(users), undefined, 'by itself');
    await store.close();
  });
});

t.test('when others have filled the disk, the reserve is for taskd itself', async (t) => {
  const world = new SimWorld(2);
  const host = world.process('broker');
  setFree(host.disk, 20 * MIB);
  await run(world, host, async (runtime) => {
    const store = await LogStore.open(runtime, folder, options);
    const users = await opened(store, 1, false);
    const own = await opened(store, 2, true);
    await store.tend();
    await pause(runtime, 3_000);
    t.equal(store.space.reserveBytes, MIB);
    t.equal(host.disk.file(`${folder}/${reserveName}`).size, MIB);
    refusal(users, 50_000);
    setFree(host.disk, 0);
    t.equal(refusal(own, 50_000), undefined);
    await synced(own);
    t.equal(store.space.reserveBytes, 0, 'it was used');
    t.notOk(host.disk.exists(`${folder}/${reserveName}`));
    t.ok(users.syncedEnd < users.logEnd, 'but not for what a user had sent');
    await own.raiseTerm();
    setFree(host.disk, 20 * MIB);
    await synced(users);
    await pause(runtime, 1_500);
    await store.tend();
    await pause(runtime, 3_000);
    t.equal(store.space.reserveBytes, MIB, 'it is made again');
    await store.close();
  });
});

t.test('a start on a full disk serves what is there, and writes when there is room', async (t) => {
  const world = new SimWorld(3);
  const host = world.process('broker');
  const shared = { logger: silentLogger, snapshotBytes: MIB };
  // What follows it needs another page.
  const kept = 'kept'.padEnd(3_980);
  await run(world, host, async (runtime) => {
    const store = await LogStore.open(runtime, folder, options);
    const log = await opened(store, 1, false);
    log.append(batchOf(kept));
    await synced(log);
    // No clean end: the power goes.
  });
  setFree(host.disk, 0);
  await run(world, host, async (runtime) => {
    const store = await LogStore.open(runtime, folder, options);
    const log = await store.open(1, 0);
    const partition = new Partition(log, false, shared);
    await partition.activate();
    t.equal(partition.problem, undefined);
    t.equal(partition.isActive, false);
    t.equal(partition.isReadable, true);
    t.same(await allValues(log), [kept]);
    t.throws(() => partition.appendOwn(batchOf('x'), 1), { code: ErrorCode.STORAGE_FULL, retry: Retry.AFTER });
    setFree(host.disk, 20 * MIB);
    await new Promise<void>((resolve) => {
      partition.onCommitted = () => {
        if (partition.isActive) resolve();
      };
    });
    await pause(runtime, 1_500);
    partition.appendOwn(batchOf('x'), 1);
    await synced(log);
    await store.close();
  });
});

t.test('5 % is enough for a small disk, and 10 GiB for a large one', async (t) => {
  for (const [total, minimum] of [
    [512 * MIB, 25.6 * MIB],
    [2 ** 41, 10 * 1024 * MIB],
  ] as const) {
    const world = new SimWorld(4);
    const host = world.process('broker');
    if (total < 2 ** 40) host.disk.limitBytes = total;
    await run(world, host, async (runtime) => {
      const store = await LogStore.open(runtime, folder, { space: { reserveBytesMax: 0 } });
      t.equal(store.space.minFreeBytes, minimum);
      await store.close();
    });
  }
});

t.test('a log whose disk fills while it closes is closed all the same, and found as after a crash', async (t) => {
  const world = new SimWorld(8);
  const host = world.process('broker');
  await run(world, host, async (runtime) => {
    const store = await LogStore.open(runtime, folder);
    const log = await opened(store, 1, false);
    log.append(batchOf('kept'));
    await synced(log);
    setFree(host.disk, 4_096);
    log.append(batchOf('x'.repeat(100_000)));
    await store.close();
  });
  host.disk.limitBytes = Number.POSITIVE_INFINITY;
  await run(world, host, async (runtime) => {
    const log = await opened(await LogStore.open(runtime, folder), 1, false);
    t.equal(log.problem, undefined);
    t.same(await allValues(log), ['kept']);
    t.equal(refusal(log), undefined);
    await synced(log);
  });
});

t.test('what a crash left of the reserve is made whole', async (t) => {
  const world = new SimWorld(9);
  const host = world.process('broker');
  await run(world, host, async (runtime) => {
    await (await LogStore.open(runtime, folder)).close();
    const handle = await runtime.files.open(`${folder}/${reserveName}`, 'create');
    await handle.write([new Uint8Array(1_000)], 0);
    await handle.close();
    const store = await LogStore.open(runtime, folder, options);
    t.equal(store.space.reserveBytes, 1_000);
    await store.tend();
    await pause(runtime, 1_000);
    t.equal(store.space.reserveBytes, MIB);
    t.equal(host.disk.file(`${folder}/${reserveName}`).size, MIB);
    await store.close();
  });
});
