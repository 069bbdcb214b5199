import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { readDataFolder } from '../../src/log/data-folder.js';
import { LogStore, type LogStoreOptions } from '../../src/log/log-store.js';
import { FileError } from '../../src/runtime/files.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { allValues, batchOf, synced } from './batches.js';

const runtime = nodeRuntime(silentLogger);
const base = mkdtempSync(join(tmpdir(), 'taskd-log-store-'));
t.teardown(() => rmSync(base, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => join(base, String(++folders));

/** Every file below a folder with its content. */
function contents(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    found[path] = entry.isFile() ? readFileSync(path).toString('base64') : 'folder';
  }
  return found;
}

/** Opens a folder that must be refused, with this code and a message like this, and nothing changed in it. */
async function refused(t: Test, folder: string, code: ErrorCode, message: RegExp, options?: LogStoreOptions) {
  const before = contents(folder);
  try {
    await (await LogStore.open(runtime, folder, options)).close();
    t.fail('it was taken');
  } catch (error) {
    if (!isTaskdError(error)) throw error;
    t.equal(error.code, code);
    t.match(error.message, message);
    t.notMatch(error.message, /\n/);
  }
  t.same(contents(folder), before, 'nothing changed');
}

t.test('a new folder gets its ids, and keeps them', async (t) => {
  const folder = join(newFolder(), 'with', 'parents');
  const store = await LogStore.open(runtime, folder);
  t.match(store.clusterId, /^[0-9a-f]{24}$/);
  t.match(store.diskId, /^[0-9a-f]{32}$/);
  await store.close();
  const again = await LogStore.open(runtime, folder, { clusterId: store.clusterId });
  t.equal(again.diskId, store.diskId);
  await again.close();
});

t.test('the manifest knows every replica, and ids are never used again', async (t) => {
  const folder = newFolder();
  const store = await LogStore.open(runtime, folder, { clusterId: 'c' });
  await Promise.all([store.create(1, 0), store.create(1, 1), store.create(9, 0)]);
  await t.rejects(store.create(1, 1), { code: ErrorCode.ALREADY_EXISTS });
  await t.rejects(store.open(1, 2), { code: ErrorCode.NOT_FOUND });
  await store.close();
  // A crash between the folder and the manifest leaves a folder that nobody knows.
  mkdirSync(join(folder, 'data', '1', '2-4'), { recursive: true });
  const again = await LogStore.open(runtime, folder);
  t.same(
    again.replicas().map((each) => `${each.topicId}/${each.partition}`),
    ['1/0', '1/1', '9/0'],
  );
  t.equal(await again.open(1, 1), await again.open(1, 1), 'the same object');
  t.equal((await again.create(1, 2)).replicaId, 5);
  await again.close();
});

t.test('a term is durable before it is told, and many share a sync', async (t) => {
  const folder = newFolder();
  const store = await LogStore.open(runtime, folder);
  const logs = await Promise.all(Array.from({ length: 20 }, (_, i) => store.create(1, i)));
  t.same(await Promise.all(logs.map((log) => log.raiseTerm())), new Array(20).fill(1));
  t.equal(await logs[3]!.raiseTerm(), 2);
  await store.close();
  const again = await LogStore.open(runtime, folder);
  t.equal((await again.open(1, 3)).term, 2);
  t.equal((await again.open(1, 4)).term, 1);
  await again.close();
});

t.test('the journal turns generations as it grows', async (t) => {
  const folder = newFolder();
  let store = await LogStore.open(runtime, folder);
  const logs = await Promise.all(Array.from({ length: 50 }, (_, i) => store.create(1, i)));
  for (let i = 0; i < 100; i++) await Promise.all(logs.map((log) => log.raiseTerm()));
  await store.close();
  store = await LogStore.open(runtime, folder);
  t.equal((await store.open(1, 49)).term, 100);
  await store.close();
});

t.test('a folder in use is refused until it is let go', async (t) => {
  const folder = newFolder();
  const store = await LogStore.open(runtime, folder);
  await refused(t, folder, ErrorCode.CONFLICT, /in use by another taskd; stop that one/);
  await store.close();
  await (await LogStore.open(runtime, folder)).close();
});

t.test('what is under way when the store closes is done or refused, and no failure of the disk', async (t) => {
  const failures: unknown[] = [];
  const outcomes = new Set<string>();
  for (let turns = 0; turns < 24; turns++) {
    const folder = newFolder();
    const store = await LogStore.open(runtime, folder, { segmentBytes: 1_000 });
    store.onFailed = (error) => failures.push(error);
    const log = await store.create(1, 0);
    for (let i = 0; i < 30; i++) log.append(batchOf('x'.repeat(100)));
    await synced(log);
    const work = Promise.allSettled([log.saveSnapshot(20, new Uint8Array(100_000)), log.trimTo(turns)]);
    for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
    const closed = store.close();
    await closed;
    await t.rejects(log.saveSnapshot(30, new Uint8Array(10)), { code: ErrorCode.DRAINING });
    await t.rejects(log.trimTo(29), { code: ErrorCode.DRAINING });
    for (const { status } of await work) outcomes.add(status);
    const again = await LogStore.open(runtime, folder);
    const found = await again.open(1, 0);
    t.same([found.problem, found.logStart, found.logEnd], [undefined, turns, 30]);
    await again.close();
  }
  t.same(failures, []);
  t.same([...outcomes], ['fulfilled']);
});

t.test("somebody else's folder is refused", async (t) => {
  const folder = newFolder();
  mkdirSync(folder);
  writeFileSync(join(folder, 'thesis.txt'), 'precious');
  await refused(t, folder, ErrorCode.INVALID, /is not empty and not a data folder .*thesis\.txt.*choose an empty/);
  writeFileSync(join(folder, 'meta'), 'precious too');
  await refused(t, folder, ErrorCode.INVALID, /meta is not what taskd wrote/);
});

t.test('a newer format and another cluster are refused', async (t) => {
  const folder = newFolder();
  await (await LogStore.open(runtime, folder, { clusterId: 'one' })).close();
  await refused(t, folder, ErrorCode.CONFLICT, /belongs to cluster one, not to two/, { clusterId: 'two' });
  writeFileSync(join(folder, 'meta'), 'taskd data folder\nformat 2\nwho knows\n');
  await refused(t, folder, ErrorCode.UNSUPPORTED_VERSION, /data format 2, this taskd reads format 1; run the taskd/);
});

t.test('a damaged or missing journal is refused', async (t) => {
  const folder = newFolder();
  let store = await LogStore.open(runtime, folder);
  await (await store.create(1, 0)).raiseTerm();
  await store.close();
  store = await LogStore.open(runtime, folder);
  await (await store.open(1, 0)).raiseTerm();
  await store.close();
  const paths = ['state.0', 'state.1'].map((name) => join(folder, name));
  const generation = (path: string): number => readFileSync(path).readUInt32BE(12);
  const newest = generation(paths[0]!) > generation(paths[1]!) ? paths[0]! : paths[1]!;
  const bytes = readFileSync(newest);
  for (const at of [0, 40, 64, 100]) {
    writeFileSync(newest, Buffer.from(bytes).fill(0x5a, at, at + 8));
    await refused(t, folder, ErrorCode.STORAGE_FAILED, /state journal .* is damaged.*restore the whole data folder/);
  }
  writeFileSync(newest, bytes);
  await (await LogStore.open(runtime, folder)).close();
});

t.test('a journal of which one half is gone is refused, whichever it is, and goes on once it is back', async (t) => {
  const folder = newFolder();
  await (await LogStore.open(runtime, folder)).close();
  const store = await LogStore.open(runtime, folder);
  // Only the newer generation knows this one.
  const log = await store.create(1, 0);
  log.append(batchOf('a'));
  await synced(log);
  await store.close();
  for (const [name, other] of [
    ['state.0', 'state.1'],
    ['state.1', 'state.0'],
  ] as const) {
    const path = join(folder, name);
    const bytes = readFileSync(path);
    const otherBytes = readFileSync(join(folder, other));
    const isMissing = new RegExp(
      `${name} is missing.*${other} may be the older one.*put that very file back.*restore the whole`,
    );
    rmSync(path);
    await refused(t, folder, ErrorCode.STORAGE_FAILED, isMissing);
    await t.rejects(readDataFolder(runtime.files, folder), { code: ErrorCode.STORAGE_FAILED, message: isMissing });
    writeFileSync(path, '');
    await refused(t, folder, ErrorCode.STORAGE_FAILED, new RegExp(`${name} is empty.*restore the whole`));
    t.ok(readFileSync(join(folder, other)).equals(otherBytes), 'nothing was written');
    writeFileSync(path, bytes);
    const again = await LogStore.open(runtime, folder);
    t.same(await allValues(await again.open(1, 0)), ['a']);
    await again.close();
  }
});

t.test('a path that is a file, or below one, or not writable, is refused', async (t) => {
  const folder = newFolder();
  mkdirSync(folder);
  writeFileSync(join(folder, 'file'), '');
  for (const path of ['file', 'file/below']) {
    await t.rejects(LogStore.open(runtime, join(folder, path)), {
      code: ErrorCode.INVALID,
      message: /is not a folder; choose another path/,
    });
  }
  chmodSync(folder, 0o500);
  if (process.getuid?.() === 0) t.comment('root may write everywhere');
  else await t.rejects(LogStore.open(runtime, join(folder, 'new')), { message: /give this user the right to write/ });
  chmodSync(folder, 0o700);
});

t.test('an unfinished beginning is begun anew', async (t) => {
  const folder = newFolder();
  mkdirSync(folder);
  for (const name of ['state.0', 'state.1', 'meta.new']) writeFileSync(join(folder, name), 'half');
  const store = await LogStore.open(runtime, folder);
  const log = await store.create(1, 0);
  log.append(batchOf('a'));
  await synced(log);
  t.same(await allValues(log), ['a']);
  await store.close();
});

t.test('a folder that can not be looked through is let go of', async (t) => {
  const folder = newFolder();
  await (await LogStore.open(runtime, folder)).close();
  const files = new Proxy(runtime.files, {
    get: (target, name) => {
      if (name === 'exists') {
        return (path: string) =>
          path.endsWith('/data') ? Promise.reject(new FileError('EIO', path)) : target.exists(path);
      }
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  await t.rejects(LogStore.open({ ...runtime, files }, folder), {
    code: ErrorCode.STORAGE_FAILED,
    message: /could not be looked through .*EIO.*; mend the disk/,
  });
  await (await LogStore.open(runtime, folder)).close();
});
