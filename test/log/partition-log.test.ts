import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, Retry } from '../../src/base/errors.js';
import { isPlacedHere, readBatch } from '../../src/batch/header.js';
import { readJournal } from '../../src/log/journal-scan.js';
import { LogStore } from '../../src/log/log-store.js';
import { FileError, type FileHandle } from '../../src/runtime/files.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { copyFolder } from '../support/copy-folder.js';
import { allValues, batchOf, synced, valuesIn } from './batches.js';
import { FixedRuntime } from './fixed-runtime.js';

const runtime = new FixedRuntime();
const base = mkdtempSync(join(tmpdir(), 'taskd-partition-log-'));
t.teardown(() => rmSync(base, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => join(base, String(++folders));

t.test('what was appended is read again, hot and cold, across rolls and restarts', async (t) => {
  const steps = fc.array(
    fc.oneof(
      { weight: 8, arbitrary: fc.array(fc.string({ maxLength: 600 }), { minLength: 1, maxLength: 5 }) },
      { weight: 2, arbitrary: fc.constant('sync' as const) },
      { weight: 1, arbitrary: fc.constant('close' as const) },
      { weight: 1, arbitrary: fc.constant('kill' as const) },
    ),
    { maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 100, max: 4_000 }), async (steps, bytesMax) => {
      let folder = newFolder();
      const options = { segmentBytes: 3_000, tailBytesMax: 40_000 };
      let store = await LogStore.open(runtime, folder, options);
      let log = await store.create(7, 3);
      await log.raiseTerm();
      const expected: string[] = [];
      for (const step of steps) {
        runtime.wallMs += 5 - (expected.length % 9);
        if (step === 'sync') await synced(log);
        else if (step === 'close' || step === 'kill') {
          await synced(log);
          // What a kill leaves: the files as they are, no clean end.
          const copy = newFolder();
          if (step === 'kill') copyFolder(folder, copy);
          await store.close();
          if (step === 'kill') folder = copy;
          store = await LogStore.open(runtime, folder, options);
          log = await store.open(7, 3);
          t.equal(log.problem, undefined);
          await log.raiseTerm();
        } else {
          t.equal(log.append(batchOf(...step)), expected.length);
          expected.push(...step);
        }
      }
      await synced(log);
      t.equal(log.syncedEnd, expected.length);
      t.same(await allValues(log, bytesMax), expected);
      for (let offset = 0; offset < expected.length; offset += 7) {
        const read = valuesIn(await log.read(offset, bytesMax));
        t.ok(read.base <= offset && read.base + read.values.length > offset);
      }
      await store.close();
    }),
    { numRuns: 12 },
  );
});

t.test('a read is bounded, but gives at least one batch', async (t) => {
  const folder = newFolder();
  for (const tailBytesMax of [1 << 20, 1]) {
    const store = await LogStore.open(runtime, join(folder, String(tailBytesMax)), { tailBytesMax });
    const log = await store.create(1, 0);
    for (let i = 0; i < 300; i++) log.append(batchOf(`${i}`.padEnd(i === 100 ? 50_000 : 100, '.')));
    await synced(log);
    const one = batchOf(''.padEnd(100, '.')).length;
    t.equal(
      (await log.read(0, 10)).reduce((sum, each) => sum + each.length, 0),
      one,
    );
    t.equal(
      (await log.read(0, 5 * one + 3)).reduce((sum, each) => sum + each.length, 0),
      5 * one,
    );
    t.equal(valuesIn(await log.read(100, 10)).values[0]!.length, 50_000);
    t.equal(valuesIn(await log.read(99, 5 * one)).values.length, 1, 'the large one does not fit behind');
    t.same(await log.read(300, 10), []);
    for (const offset of [-1, 301]) {
      await t.rejects(log.read(offset, 10), { code: ErrorCode.OFFSET_OUT_OF_RANGE });
    }
    t.equal(log.readHot(0, 10) !== undefined, tailBytesMax > 1);
    for (const offset of [0, 1, 99, 100, 101, 299, 300]) {
      const whole = log.readHot(offset, Number.POSITIVE_INFINITY)?.reduce((sum, each) => sum + each.length, 0);
      t.equal(log.hotBytes(offset), whole, `bytes from ${offset} on`);
    }
    t.throws(() => log.hotBytes(301), { code: ErrorCode.OFFSET_OUT_OF_RANGE });
    await store.close();
  }
});

t.test('nothing is read before it is synced', async (t) => {
  const store = await LogStore.open(runtime, newFolder());
  const log = await store.create(1, 0);
  log.append(batchOf('a'));
  t.equal(log.logEnd, 1);
  t.equal(log.syncedEnd, 0);
  t.same(await log.read(0, 1_000), []);
  t.throws(() => log.readHot(1, 1_000), { code: ErrorCode.OFFSET_OUT_OF_RANGE });
  await synced(log);
  t.same(valuesIn(await log.read(0, 1_000)).values, ['a']);
  await store.close();
});

t.test('append times never fall, and are found again', async (t) => {
  const folder = newFolder();
  let store = await LogStore.open(runtime, folder, { segmentBytes: 500 });
  let log = await store.create(1, 0);
  const start = (runtime.wallMs = 1_800_000_000_000);
  const times: number[] = [];
  for (let i = 0; i < 60; i++) {
    runtime.wallMs = start + (i % 10 === 5 ? i - 7 : i) * 10;
    log.append(batchOf(`${i}`));
    times.push(log.lastTimestampMs);
    if (i % 13 === 0) await synced(log);
  }
  await synced(log);
  t.same(
    times,
    [...times].sort((a, b) => a - b),
  );
  for (const reopened of [false, true]) {
    if (reopened) {
      await store.close();
      store = await LogStore.open(runtime, folder, { segmentBytes: 500 });
      log = await store.open(1, 0);
      t.equal(log.lastTimestampMs, times.at(-1));
    }
    for (let ms = start - 15; ms < start + 620; ms += 5) {
      const first = times.findIndex((each) => each >= ms);
      t.equal(await log.offsetForTime(ms), first < 0 ? 60 : first);
    }
  }
  await store.close();
});

t.test('a time is sought on disk only, while a new segment has no file yet', async (t) => {
  const store = await LogStore.open(runtime, newFolder(), { segmentBytes: 300 });
  const log = await store.create(1, 0);
  log.append(batchOf('a'.padEnd(200, '.')));
  await synced(log);
  log.append(batchOf('b'.padEnd(200, '.')));
  t.equal(await log.offsetForTime(log.lastTimestampMs + 1), 1);
  await store.close();
});

t.test('a clean end is believed once and only if it fits', async (t) => {
  const folder = newFolder();
  let store = await LogStore.open(runtime, folder);
  let log = await store.create(1, 0);
  log.append(batchOf('a'));
  await store.close();
  const hasCleanEnd = (): boolean => {
    const files = ['state.0', 'state.1'].map((name) => readFileSync(join(folder, name)));
    const reading = readJournal(files, Buffer.from(store.diskId, 'hex'));
    if (typeof reading === 'string') throw new Error(reading);
    return reading.newest.states[0]!.clean !== undefined;
  };
  t.ok(hasCleanEnd());
  store = await LogStore.open(runtime, folder);
  t.ok(hasCleanEnd(), 'kept for a log that is not opened');
  log = await store.open(1, 0);
  t.notOk(hasCleanEnd(), 'gone before the first append');
  t.equal(log.logEnd, 1);
  await store.close();
  const path = join(folder, 'data/1/0-1/00000000000000000000.log');
  writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from('more')]));
  runtime.warnings.length = 0;
  store = await LogStore.open(runtime, folder);
  log = await store.open(1, 0);
  t.equal(log.problem, undefined);
  t.match(runtime.warnings, [{ fields: { bytes: 4, fromOffset: 1 } }], 'the size differs: read, cut and said so');
  await store.close();
});

t.test('a group is bound to its place', async (t) => {
  const folder = newFolder();
  const store = await LogStore.open(runtime, folder);
  const log = await store.create(1, 0);
  log.append(batchOf('first'));
  await synced(log);
  for (const value of ['b', 'c', 'd']) log.append(batchOf(value));
  await store.close();
  const bytes = readFileSync(join(folder, 'data/1/0-1/00000000000000000000.log'));
  const reading = readJournal(
    [readFileSync(join(folder, 'state.0')), readFileSync(join(folder, 'state.1'))],
    Buffer.from(store.diskId, 'hex'),
  );
  if (typeof reading === 'string') throw new Error(reading);
  const starts: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const header = readBatch(bytes, at);
    if (typeof header === 'string') throw new Error(header);
    t.ok(isPlacedHere(header, reading.newest.states[0]!.salt, 0, at));
    starts.push(at - header.groupStart);
    at += header.length;
  }
  t.equal(starts[0], 0);
  t.same(new Set(starts.slice(1)), new Set([starts[1]!]), 'three batches of one turn are one group');
  t.not(starts[1], 0);
});

/** The real files, but writes and syncs of segments go through `wish` first, which may throw. */
function failing(wish: (operation: 'write' | 'sync' | 'open') => void): Runtime {
  const { clock, random, net, process, logger } = runtime;
  const files = Object.create(runtime.files) as Runtime['files'];
  files.open = async (path, mode) => {
    if (!path.endsWith('.log')) return runtime.files.open(path, mode);
    if (mode === 'create') wish('open');
    const handle = await runtime.files.open(path, mode);
    const wrapped = Object.create(handle) as FileHandle;
    for (const name of ['read', 'truncate', 'size', 'close'] as const) {
      (wrapped as unknown as Record<string, unknown>)[name] = handle[name].bind(handle);
    }
    wrapped.write = async (chunks, position) => {
      wish('write');
      await handle.write(chunks, position);
      if (handle.isThrough) wish('sync');
    };
    wrapped.dataSync = async () => {
      wish('sync');
      await handle.dataSync();
    };
    return wrapped;
  };
  for (const name of ['list', 'exists', 'makeFolder', 'syncFolder', 'lock', 'remove', 'rename'] as const) {
    (files as unknown as Record<string, unknown>)[name] = (runtime.files[name] as () => unknown).bind(runtime.files);
  }
  return { clock, random, net, process, logger, files };
}

t.test('a failed write or sync is final: told once, then refused for good', async (t) => {
  for (const broken of ['write', 'sync'] as const) {
    let isBroken = false;
    const folder = newFolder();
    const store = await LogStore.open(
      failing((operation) => {
        if (isBroken && operation === broken) throw new FileError('EIO', 'x.log');
      }),
      folder,
    );
    const log = await store.create(1, 0);
    log.append(batchOf('kept'));
    await synced(log);
    isBroken = true;
    log.append(batchOf('lost'));
    const error = await new Promise<unknown>((resolve) => {
      log.onFailed = resolve;
      log.onSynced = () => t.fail('acknowledged');
    });
    t.match(error, { code: ErrorCode.STORAGE_FAILED });
    isBroken = false;
    log.onFailed = () => t.fail('told twice');
    t.throws(() => log.append(batchOf('more')), { code: ErrorCode.STORAGE_FAILED });
    t.match(log.problem, /could not be written.*mend the disk/);
    t.same(await allValues(log), ['kept']);
    await store.close();
    const again = await LogStore.open(runtime, folder);
    t.equal((await allValues(await again.open(1, 0)))[0], 'kept');
    await again.close();
  }
});

t.test(
  'a full disk or too many open files: appends are refused until there is room, and nothing is lost',
  async (t) => {
    let isFull = false;
    let code: 'ENOSPC' | 'EMFILE' = 'ENOSPC';
    let writes = 0;
    const full = failing((operation) => {
      if (isFull && operation !== 'sync') {
        writes++;
        throw new FileError(code, 'x.log');
      }
    });
    const timers: (() => void)[] = [];
    const clock = {
      ...runtime.clock,
      timer: (_delayMs: number, callback: () => void) => {
        timers.push(callback);
        return { cancel() {} };
      },
    };
    const folder = newFolder();
    const store = await LogStore.open({ ...full, clock }, folder, { segmentBytes: 300 });
    const log = await store.create(1, 0);
    const expected: string[] = [];
    const append = (value: string): void => {
      log.append(batchOf(value));
      expected.push(value);
    };
    append('before'.padEnd(200, '.'));
    await synced(log);
    for (let round = 0; round < 4; round++) {
      isFull = true;
      code = round % 2 === 0 ? 'ENOSPC' : 'EMFILE';
      writes = 0;
      timers.length = 0;
      append(`waits ${round}`.padEnd(200, '.'));
      while (timers.length === 0) await new Promise(setImmediate);
      t.throws(() => log.append(batchOf('refused')), { code: ErrorCode.STORAGE_FULL, retry: Retry.AFTER });
      t.equal(writes, 2);
      t.equal(log.problem, undefined);
      isFull = false;
      const done = synced(log);
      for (const callback of timers) callback();
      await done;
      append(`goes on ${round}`);
      await synced(log);
    }
    t.same(await allValues(log), expected);
    await store.close();
    const again = await LogStore.open(runtime, folder);
    t.same(await allValues(await again.open(1, 0)), expected);
    await again.close();
  },
);

t.test('too much that waits for the disk is refused', async (t) => {
  const store = await LogStore.open(runtime, newFolder());
  const log = await store.create(1, 0);
  const large = batchOf(''.padEnd(4_000_000, '.'));
  t.throws(
    () => {
      for (;;) log.append(large);
    },
    { code: ErrorCode.BUSY, retry: Retry.AFTER },
  );
  await synced(log);
  t.ok(log.logEnd >= 16, 'several groups of 16 MiB');
  log.append(large);
  await synced(log);
  t.equal((await log.read(log.logEnd - 1, 1))[0]!.length, large.length);
  t.equal((await log.read(0, 1))[0]!.length, large.length, 'from the file');
  await store.close();
});

t.test('a golden segment and journal: these bytes are the format', async (t) => {
  const golden = new FixedRuntime();
  const folder = newFolder();
  const store = await LogStore.open(golden, folder, { clusterId: 'golden' });
  const log = await store.create(258, 3);
  await log.raiseTerm();
  log.append(batchOf('one', 'two'));
  await synced(log);
  golden.wallMs += 10;
  log.append(batchOf('three'));
  log.append(batchOf('four'));
  await store.close();
  const files: Record<string, string> = {
    meta: 'meta',
    'state.0': 'journal',
    'data/258/3-1/00000000000000000000.log': 'segment',
  };
  for (const [name, saved] of Object.entries(files)) {
    const bytes = readFileSync(join(folder, name));
    const path = join('test', 'golden', `${saved}.hex`);
    const hex = toLines(bytes);
    t.equal(hex, readFileSync(path, 'utf8'), `${name} is as ${path} says`);
  }
});

/** Sixteen bytes a line, without the zeros written ahead. */
function toLines(bytes: Buffer): string {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  const lines: string[] = [];
  for (let at = 0; at < end; at += 16) lines.push(bytes.subarray(at, at + 16).toString('hex'));
  return `${lines.join('\n')}\n`;
}
