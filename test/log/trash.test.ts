import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { LogStore } from '../../src/log/log-store.js';
import { temporaryFolder } from '../support/broker-node.js';
import { allValues, batchOf, synced } from './batches.js';
import { FixedRuntime } from './fixed-runtime.js';

const dayMs = 24 * 3_600_000;

/** A folder with topic 1 of two partitions and topic 2 of one, each with a record. */
async function filled(runtime: FixedRuntime, folder: string): Promise<LogStore> {
  const store = await LogStore.open(runtime, folder);
  for (const [topicId, partition] of [
    [1, 0],
    [1, 1],
    [2, 0],
  ] as const) {
    const log = await store.create(topicId, partition);
    log.append(batchOf('x'));
    await synced(log);
  }
  return store;
}

const places = (store: LogStore): string[] => store.replicas().map((each) => `${each.topicId}/${each.partition}`);

t.test('a deleted topic lies in the trash for a day, and its ids are never used again', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = new FixedRuntime();
  const store = await filled(runtime, folder);
  const log = await store.open(1, 0);
  await store.remove(1);
  t.same(places(store), ['2/0']);
  t.throws(() => log.append(batchOf('y')), { code: ErrorCode.DRAINING });
  t.notOk(existsSync(join(folder, 'data', '1')));
  const trash = join(folder, 'trash');
  t.same(readdirSync(trash), [`1-${runtime.wallMs}`]);
  await store.remove(1);
  mkdirSync(join(trash, 'mine'));
  writeFileSync(join(trash, 'a file'), '');
  runtime.wallMs += dayMs - 1;
  await store.tend();
  t.equal(readdirSync(trash).length, 3);
  runtime.wallMs += 1;
  await store.tend();
  t.same(readdirSync(trash).sort(), ['a file', 'mine'], 'what is not ours stays');
  t.equal((await store.create(1, 0)).replicaId, 4);
  await store.close();
  const again = await LogStore.open(runtime, folder);
  t.same(places(again), ['1/0', '2/0']);
  t.equal((await again.create(3, 0)).replicaId, 5);
  await again.close();
});

t.test('a crash between the steps of a removal is followed by the same end', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = new FixedRuntime();
  await (await filled(runtime, folder)).close();
  // It was renamed, and the journal does not know yet.
  mkdirSync(join(folder, 'trash'));
  renameSync(join(folder, 'data', '1'), join(folder, 'trash', '1-5'));
  const store = await LogStore.open(runtime, folder);
  t.same(places(store), ['1/0', '1/1', '2/0']);
  await store.remove(1);
  t.same(places(store), ['2/0']);
  t.same(await allValues(await store.open(2, 0)), ['x']);
  await store.tend();
  t.same(readdirSync(join(folder, 'trash')), []);
  await store.close();
});

t.test('a folder that nobody knows is kept and named', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = new FixedRuntime();
  await (await filled(runtime, folder)).close();
  mkdirSync(join(folder, 'data', '77'));
  await (await LogStore.open(runtime, folder)).close();
  t.match(runtime.warnings, [{ fields: { path: join(folder, 'data', '77') } }]);
  t.ok(existsSync(join(folder, 'data', '77')));
});
