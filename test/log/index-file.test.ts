import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { decodeIndex, encodeIndex } from '../../src/log/index-file.js';
import { LogStore } from '../../src/log/log-store.js';
import type { PartitionLog } from '../../src/log/partition-log.js';
import { SparseIndex } from '../../src/log/sparse-index.js';
import { allValues, batchOf, synced } from './batches.js';
import { FixedRuntime } from './fixed-runtime.js';

const base = mkdtempSync(join(tmpdir(), 'taskd-index-file-'));
t.teardown(() => rmSync(base, { recursive: true, force: true }));
const options = { segmentBytes: 20_000, tailBytesMax: 1 };

const segment = {
  salt: 7,
  base: 1_000,
  end: 1_300,
  firstTimestampMs: 5,
  lastTimestampMs: 900,
  bytes: 30_000,
  lastPosition: 29_000,
};

function anIndex(): SparseIndex {
  const index = new SparseIndex();
  for (let i = 0; i < 3; i++) index.add(1_000 + i * 100, i * 5_000, 5 + i);
  return index;
}

t.test('an index comes back as it went in: these bytes are the format', (t) => {
  const bytes = encodeIndex(segment, anIndex());
  const hex = [
    '43b044f6544b49310000000300000007',
    '00000000000003e80000000000000514',
    '00000000000000050000000000000384',
    '00007530000071480000000000000000',
    '00000000000000000000000000000005',
    '00000064000013880000000000000006',
    '000000c8000027100000000000000007',
  ];
  t.same(Buffer.from(bytes).toString('hex').match(/.{32}/g), hex);
  const got = decodeIndex(bytes)!;
  t.match(got, segment);
  for (const offset of [1_000, 1_099, 1_100, 1_250]) t.equal(got.index.find(offset), anIndex().find(offset));
  t.end();
});

t.test('random bytes, and random changes to an index, are no index', (t) => {
  const good = encodeIndex(segment, anIndex());
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => decodeIndex(bytes) === undefined),
    { numRuns: 300 },
  );
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bytes = good.slice();
      bytes[at]! ^= change;
      return decodeIndex(bytes) === undefined;
    }),
    { numRuns: 300 },
  );
  for (let length = 0; length < good.length; length++) t.equal(decodeIndex(good.subarray(0, length)), undefined);
  t.end();
});

t.test('entries that do not ascend, or lie outside, are refused whatever the CRC says', (t) => {
  for (const [offset, position, timestampMs] of [
    [1_050, 20_000, 7],
    [1_250, 9_000, 7],
    [1_250, 20_000, 6],
    [1_300, 20_000, 8],
  ] as const) {
    const index = anIndex();
    index.push(offset, position, timestampMs);
    t.equal(decodeIndex(encodeIndex(segment, index)), undefined);
  }
  t.end();
});

/** A closed data folder with a log of several segments; each value names its offset. */
async function filled(name: string): Promise<{ folder: string; files: string; count: number }> {
  const folder = join(base, name);
  const runtime = new FixedRuntime();
  const store = await LogStore.open(runtime, folder, options);
  const log = await store.create(1, 0);
  for (let i = 0; i < 120; i++) {
    runtime.wallMs += 10;
    log.append(batchOf(`${i}`.padEnd(700, '-')));
    if (i % 7 === 0) await synced(log);
  }
  await synced(log);
  await store.close();
  return { folder, files: join(folder, 'data/1/0-1'), count: 120 };
}

async function opened<T>(folder: string, use: (log: PartitionLog, runtime: FixedRuntime) => Promise<T>): Promise<T> {
  const runtime = new FixedRuntime();
  const store = await LogStore.open(runtime, folder, options);
  try {
    return await use(await store.open(1, 0), runtime);
  } finally {
    await store.close();
  }
}

const named = (files: string, end: string): string[] => readdirSync(files).filter((name) => name.endsWith(end));

t.test('every full segment has its index, and reads go by it', async (t) => {
  const { folder, files, count } = await filled('roll');
  t.same(
    named(files, '.index').map((name) => name.replace('.index', '')),
    named(files, '.log')
      .map((name) => name.replace('.log', ''))
      .slice(0, -1),
  );
  await opened(folder, async (log) => {
    for (const offset of [0, 1, 30, 77, count - 1]) {
      const values = await log.read(offset, 1);
      t.equal(Buffer.from(values[0]!).includes(`${offset}---`), true, `offset ${offset}`);
    }
    t.equal(await log.offsetForTime(1_700_000_000_000 + 10 * 51), 50);
  });
});

t.test('an index that is missing, damaged or of another segment is made anew and written again', async (t) => {
  const { folder, files, count } = await filled('wrong');
  const names = named(files, '.index');
  const before = names.map((name) => readFileSync(join(files, name)));
  rmSync(join(files, names[0]!));
  writeFileSync(join(files, names[1]!), before[2]!);
  writeFileSync(join(files, names[2]!), Buffer.from(before[2]!).fill(9, 70, 72));
  await opened(folder, async (log) => t.equal((await allValues(log, 3_000)).length, count));
  t.same(
    names.map((name) => readFileSync(join(files, name))),
    before,
  );
});

t.test('an index that fits as a whole but lies inside is found out by the reads', async (t) => {
  const { folder, files, count } = await filled('lies');
  const name = named(files, '.index')[1]!;
  const good = decodeIndex(readFileSync(join(files, name)))!;
  const index = new SparseIndex();
  const entries: [number, number, number][] = [];
  good.index.each((...entry) => entries.push(entry));
  // Each entry says the position of the next one, or one where no batch begins.
  entries.forEach(([offset, position, time], i) => {
    index.push(offset, i % 2 === 0 ? (entries[i + 1]?.[1] ?? position + 1) - 1 : position, time);
  });
  writeFileSync(join(files, name), encodeIndex(good, index));
  await opened(folder, async (log, runtime) => {
    t.equal((await allValues(log, 900)).length, count);
    t.equal(await log.offsetForTime(1_700_000_000_000 + 10 * 51), 50);
    t.equal(runtime.warnings.filter(({ message }) => /index of a segment was wrong/.test(message)).length, 1);
  });
});

t.test('where the disk lost a header, what lies around it is served, and the loss has its bounds', async (t) => {
  const { folder, files } = await filled('gap');
  const name = named(files, '.log')[1]!;
  const from = Number(name.slice(0, 20));
  const bytes = readFileSync(join(files, name));
  const length = bytes.readUInt32BE(16);
  bytes.fill(0x55, 3 * length, 4 * length + 40);
  writeFileSync(join(files, name), bytes);
  rmSync(join(files, name.replace('.log', '.index')));
  await opened(folder, async (log) => {
    await t.rejects(log.read(from + 3, 100), { code: ErrorCode.DATA_LOSS, hint: `${from + 3}-${from + 5}` });
    await t.rejects(log.read(from + 4, 100), { code: ErrorCode.DATA_LOSS, hint: `${from + 3}-${from + 5}` });
    t.ok((await log.read(from + 2, 100)).length > 0);
    t.ok((await log.read(from + 5, 100)).length > 0);
    t.equal((await log.read(from, 5_000))[0]!.length, 3 * length, 'up to the loss');
  });
  t.notOk(existsSync(join(files, name.replace('.log', '.index'))), 'no index is kept of a segment with a gap');
});
