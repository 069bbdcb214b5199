import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { LogStore } from '../../src/log/log-store.js';
import type { PartitionLog } from '../../src/log/partition-log.js';
import { copyFolder } from '../support/copy-folder.js';
import { allValues, batchOf, synced, valuesIn, valuesOverGaps } from './batches.js';
import { FixedRuntime } from './fixed-runtime.js';

const runtime = new FixedRuntime();
const base = mkdtempSync(join(tmpdir(), 'taskd-recovery-'));
t.teardown(() => rmSync(base, { recursive: true, force: true }));
const segment = 'data/1/0-1/00000000000000000000.log';
const values = ['one', 'two', 'three', 'four'];

/** A data folder as a crash leaves it: four batches in four groups; the recovery point is 0, or 4 when it was stored. */
async function crashed(name: string, isPointStored: boolean): Promise<string> {
  const folder = join(base, name);
  const store = await LogStore.open(runtime, folder);
  const log = await store.create(1, 0);
  for (const value of values) {
    log.append(batchOf(value));
    await synced(log);
  }
  if (isPointStored) {
    await store.close();
    const again = await LogStore.open(runtime, folder);
    await again.open(1, 0);
    copyFolder(folder, `${folder}.crashed`);
    await again.close();
  } else {
    copyFolder(folder, `${folder}.crashed`);
    await store.close();
  }
  return `${folder}.crashed`;
}

let copies = 0;

/** Opens a copy of `folder` whose segment has these bytes, and closes it after `use`. */
async function withSegment(
  folder: string,
  bytes: Uint8Array,
  use: (log: PartitionLog, path: string) => Promise<unknown>,
): Promise<void> {
  const copy = join(base, `copy-${++copies}`);
  copyFolder(folder, copy);
  writeFileSync(join(copy, segment), bytes);
  const store = await LogStore.open(runtime, copy);
  await use(await store.open(1, 0), join(copy, segment));
  await store.close();
  rmSync(copy, { recursive: true });
}

/** The file without the zeros written ahead, and where each batch begins; the last entry is the end. */
function batches(folder: string): { bytes: Buffer; starts: number[] } {
  const file = readFileSync(join(folder, segment));
  const starts = [0];
  for (let at = 0; at + 88 <= file.length && file.readUInt32BE(at + 16) > 0; ) {
    at += file.readUInt32BE(at + 16);
    starts.push(at);
  }
  return { bytes: file.subarray(0, starts.at(-1)), starts };
}

t.test('a file cut at any byte keeps its whole batches, and says what it cut', async (t) => {
  const folder = await crashed('cut', false);
  const { bytes, starts } = batches(folder);
  for (let length = 0; length <= bytes.length; length += 23) {
    const whole = starts.filter((at) => at <= length).length - 1;
    runtime.warnings.length = 0;
    await withSegment(folder, bytes.subarray(0, length), async (log, path) => {
      t.equal(log.problem, undefined);
      t.same(await allValues(log), values.slice(0, whole));
      t.equal(readFileSync(path).length, starts[whole]);
      let end = length;
      while (end > starts[whole]! && bytes[end - 1] === 0) end--;
      const cut = end - starts[whole]!;
      if (cut > 0) t.match(runtime.warnings, [{ fields: { bytes: cut, fromByte: starts[whole], fromOffset: whole } }]);
      else t.same(runtime.warnings, []);
      log.append(batchOf('after'));
      await synced(log);
      t.same(await allValues(log), [...values.slice(0, whole), 'after']);
    });
  }
});

t.test('a changed byte in the batch at the recovery point refuses the log and changes nothing', async (t) => {
  const folder = await crashed('rot', true);
  const { bytes, starts } = batches(folder);
  for (let at = 0; at < bytes.length; at += 17) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 0x40;
    const inBatch = starts.findLast((start) => start <= at)!;
    // The replica-local fields are under no CRC of the batch's own.
    if (at - inBatch >= 4 && at - inBatch < 12) continue;
    await withSegment(folder, changed, async (log, path) => {
      if (inBatch < starts[3]!) {
        t.equal(log.problem, undefined, 'what lies before is not read at a start');
        await t.rejects(allValues(log), { code: ErrorCode.DATA_LOSS, message: /restore the data folder/ });
        return;
      }
      t.match(log.problem, /000\.log at byte \d+, offset \d: .* below offset 4 had been synced.*nothing was changed/);
      t.throws(() => log.append(batchOf('x')), { code: ErrorCode.STORAGE_FAILED });
      await t.rejects(log.raiseTerm(), { code: ErrorCode.STORAGE_FAILED });
      t.same(await allValues(log), values.slice(0, starts.indexOf(inBatch)), 'what lies below is served');
      t.same(readFileSync(path), changed);
    });
  }
});

t.test('a log that ends below its recovery point, or is gone, is refused', async (t) => {
  const folder = await crashed('gone', true);
  const { bytes, starts } = batches(folder);
  await withSegment(folder, bytes.subarray(0, starts[2]), async (log) => {
    t.match(log.problem, /it ends, but everything below offset 4 had been synced/);
    t.equal(log.syncedEnd, 2);
  });
  await withSegment(folder, Buffer.alloc(0), async (log) => t.match(log.problem, /offset 0: it ends, but/));
  rmSync(join(folder, segment));
  const store = await LogStore.open(runtime, folder);
  t.match((await store.open(1, 0)).problem, /the segment with offset 0 is missing: there is none/);
  t.same(await (await store.open(1, 0)).read(0, 100), []);
  await store.close();
});

t.test('a bad batch before a later segment is damage even above the recovery point', async (t) => {
  const folder = join(base, 'later');
  const store = await LogStore.open(runtime, folder, { segmentBytes: 250 });
  const log = await store.create(1, 0);
  for (const value of values) {
    log.append(batchOf(value));
    await synced(log);
  }
  copyFolder(folder, `${folder}.crashed`);
  await store.close();
  const files = readdirSync(join(`${folder}.crashed`, 'data/1/0-1'));
  t.equal(files.filter((name) => name.endsWith('.log')).length, 2);
  const { bytes } = batches(`${folder}.crashed`);
  bytes[bytes.length - 1]! ^= 1;
  await withSegment(`${folder}.crashed`, bytes, async (damaged) => {
    t.match(damaged.problem, /a later segment exists, so it had been synced whole/);
  });
});

t.test('rot in a synced batch above the recovery point is damage as soon as a later group is whole', async (t) => {
  const folder = await crashed('rot-above', false);
  const { bytes, starts } = batches(folder);
  for (let at = 0; at < bytes.length; at += 19) {
    const inBatch = starts.findLast((start) => start <= at)!;
    if (at - inBatch >= 4 && at - inBatch < 12) continue;
    const changed = Buffer.from(bytes);
    changed[at]! ^= 0x40;
    await withSegment(folder, changed, async (log, path) => {
      const isLast = inBatch === starts[3];
      t.match(log.problem, isLast ? undefined : /but a later write group at byte \d+, offset \d/, `byte ${at}`);
      const bad = starts.indexOf(inBatch);
      const gaps = isLast ? [] : [`${bad}-${bad + 1}`];
      t.same(await valuesOverGaps(log), { values: values.filter((_, i) => i !== bad), gaps });
      if (!isLast) t.same(readFileSync(path), changed, 'every byte is kept');
    });
  }
  const hole = Buffer.from(bytes).fill(0, starts[1], starts[2]);
  await withSegment(folder, hole, async (log) => t.match(log.problem, /the batch is not whole.*|it ends, but a later/));
});

t.test('garbage behind the last batch is cut, however much it is, and what a value holds is no proof', async (t) => {
  const folder = await crashed('garbage', false);
  const { bytes, starts } = batches(folder);
  const copied = Buffer.concat([bytes, Buffer.alloc(90, 7), bytes.subarray(starts[1]), Buffer.alloc(17 << 20, 7)]);
  await withSegment(folder, copied, async (log) => {
    t.equal(log.problem, undefined);
    t.same(await allValues(log), values);
  });
});

t.test('a log that is ahead of the journal is refused', async (t) => {
  const folder = join(base, 'terms');
  const store = await LogStore.open(runtime, folder);
  const log = await store.create(1, 0);
  copyFolder(folder, `${folder}.crashed`);
  await log.raiseTerm();
  log.append(batchOf('x'));
  await synced(log);
  const { bytes } = batches(folder);
  await store.close();
  await withSegment(`${folder}.crashed`, bytes, async (old) => {
    t.match(old.problem, /the log holds term 1, the state journal only 0: the journal is older than the log/);
  });
});

t.test('random bytes as a segment are cut or refused, never a crash', async (t) => {
  const atPoint = await crashed('random', true);
  const above = await crashed('random-above', false);
  const { bytes } = batches(above);
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 500 }),
      fc.nat(bytes.length),
      fc.boolean(),
      async (noise, at, isPointStored) => {
        const mixed = Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]);
        await withSegment(isPointStored ? atPoint : above, mixed, async (log) => {
          const found = await allValues(log);
          t.same(found, values.slice(0, found.length));
          t.equal(log.problem === undefined, !isPointStored || found.length === 4);
        });
      },
    ),
    { numRuns: 40 },
  );
});

t.test('rot that a read meets is DATA_LOSS, named with its place', async (t) => {
  const folder = join(base, 'read');
  const store = await LogStore.open(runtime, folder, { tailBytesMax: 1 });
  const log = await store.create(1, 0);
  for (const value of values) {
    log.append(batchOf(value));
    await synced(log);
  }
  const { bytes, starts } = batches(folder);
  bytes[starts[2]! + 90]! ^= 1;
  writeFileSync(join(folder, segment), bytes);
  t.same((await log.read(0, 1)).length, 1);
  try {
    await log.read(2, 1_000);
    t.fail('it was served');
  } catch (error) {
    if (!isTaskdError(error, ErrorCode.DATA_LOSS)) throw error;
    t.equal(error.hint, '2-3');
    t.match(error.message, /from offset 2 to 2 are gone \(.*000\.log, byte \d+\); read on from offset 3/);
  }
  t.equal(valuesIn(await log.read(3, 1_000)).base, 3, 'and reading goes on behind it');
  t.same(await valuesOverGaps(log), { values: ['one', 'two', 'four'], gaps: ['2-3'] });
  await store.close();
});
