import t from 'tap';
import { LogStore } from '../../src/log/log-store.js';
import type { PartitionLog } from '../../src/log/partition-log.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { allValues, batchOf, synced } from './batches.js';

const options = { segmentBytes: 6_000 };

/** Runs `work` in a simulated process and waits for its end. */
async function inWorld(world: SimWorld, work: (runtime: Runtime) => Promise<void>): Promise<void> {
  const host = world.process('broker');
  let end: 'open' | 'done' | unknown = 'open';
  host.start(async (runtime) => {
    try {
      await work(runtime);
      end = 'done';
    } catch (error) {
      end = error;
    }
  });
  await world.run({ until: () => end !== 'open' });
  if (end !== 'done') throw end;
}

const written = (log: PartitionLog): Promise<number> => new Promise((resolve) => (log.onWritten = resolve));

t.test('with a flush interval batches are written at once and synced when it is over', (t) =>
  inWorld(new SimWorld(1), async (runtime) => {
    const store = await LogStore.open(runtime, '/var/taskd', options);
    const log = await store.create(1, 0);
    log.flushIntervalMs = 500;
    const beganMs = runtime.clock.monotonicMs();
    log.append(batchOf('a'));
    t.equal(await written(log), 1);
    t.equal(log.syncedEnd, 0, 'not on disk');
    t.same(await log.read(0, 1_000), [], 'and not read');
    log.append(batchOf('b'));
    log.append(batchOf('c'));
    t.equal(await written(log), 3, 'one write a turn');
    t.equal(log.syncedEnd, 0);
    await synced(log);
    const tookMs = runtime.clock.monotonicMs() - beganMs;
    t.ok(tookMs >= 500 && tookMs < 600, `synced after ${tookMs} ms`);
    t.same(await allValues(log), ['a', 'b', 'c']);
    await store.close();
  }),
);

t.test('whoever needs the disk gets it at once, and a shorter interval counts at once', (t) =>
  inWorld(new SimWorld(2), async (runtime) => {
    const store = await LogStore.open(runtime, '/var/taskd', options);
    const log = await store.create(1, 0);
    log.flushIntervalMs = 3_600_000;
    const beganMs = runtime.clock.monotonicMs();
    log.append(batchOf('a'));
    log.hurry();
    await synced(log);
    log.append(batchOf('b'));
    await written(log);
    log.hurry();
    await synced(log);
    log.append(batchOf('c'));
    await written(log);
    log.flushIntervalMs = 0;
    await synced(log);
    log.flushIntervalMs = 3_600_000;
    log.hurry();
    log.append(batchOf('d'));
    await written(log);
    t.equal(log.syncedEnd, 3, 'hurrying while nothing waits has no effect on what comes later');
    await store.close();
    t.equal(log.syncedEnd, 4, 'closing syncs');
    t.ok(runtime.clock.monotonicMs() - beganMs < 1_000);
  }),
);

t.test('a segment that is full is synced before the next one begins', (t) =>
  inWorld(new SimWorld(3), async (runtime) => {
    const store = await LogStore.open(runtime, '/var/taskd', options);
    const log = await store.create(1, 0);
    log.flushIntervalMs = 3_600_000;
    for (let i = 0; i < 12; i++) log.append(batchOf(`${i}`.padEnd(1_000)));
    while ((await written(log)) < 12) {}
    t.ok(log.syncedEnd >= 5 && log.syncedEnd < 12, `${log.syncedEnd} are on disk`);
    await store.close();
    t.equal(log.syncedEnd, 12);
  }),
);

t.test('a death of the process loses nothing written, a power loss nothing synced, and neither damages', async (t) => {
  let lostByPower = 0;
  for (let seed = 1; seed <= 30; seed++) {
    const world = new SimWorld(seed);
    const { random } = world;
    const host = world.process('broker');
    const appended: string[] = [];
    let writtenEnd = 0;
    let syncedEnd = 0;
    let found: string[] | undefined;
    host.start(async (runtime) => {
      const store = await LogStore.open(runtime, '/var/taskd', options);
      const log = await store.create(1, 0);
      log.flushIntervalMs = random.below(3) * 20;
      log.onWritten = (end) => {
        writtenEnd = end;
      };
      log.onSynced = (end) => {
        syncedEnd = end;
      };
      for (;;) {
        for (let burst = random.below(3); burst >= 0; burst--) {
          const value = `${appended.length}`.padEnd(random.below(1_500), '.');
          appended.push(value);
          log.append(batchOf(value));
        }
        await new Promise<void>((resolve) => runtime.clock.timer(random.unit() * 4, resolve));
        if (random.below(20) === 0) log.hurry();
      }
    });
    const powerLoss = seed % 2 === 0;
    const endMs = 2 + random.below(150);
    await world.run({ untilMs: endMs });
    host.kill({ powerLoss });
    host.start(async (runtime) => {
      const store = await LogStore.open(runtime, '/var/taskd', options);
      if (store.replicas().length === 0) found = [];
      else {
        const log = await store.open(1, 0);
        if (log.problem !== undefined) throw new Error(log.problem);
        found = await allValues(log);
      }
      await store.close();
    });
    await world.run({ until: () => found !== undefined });
    const kept = powerLoss ? syncedEnd : Math.max(writtenEnd, syncedEnd);
    if (found!.length < kept) t.fail(`seed ${seed}: ${kept} were promised, ${found!.length} are there`);
    if (found!.length < writtenEnd) lostByPower++;
    const isPrefix = found!.every((value, i) => value === appended[i]);
    if (!isPrefix) t.fail(`seed ${seed}: what is there was not appended so`);
  }
  t.ok(lostByPower > 0, 'power losses did take what was only written');
});
