import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readBatch } from '../../src/batch/header.js';
import { LogStore } from '../../src/log/log-store.js';
import { type FileRegion, releasePieces } from '../../src/runtime/file-region.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { batchOf, synced } from './batches.js';
import { FixedRuntime } from './fixed-runtime.js';

const runtime = new FixedRuntime();
/** Three values of nearly 6,000 bytes, and a header. */
const batchBytesMax = 18_200;

async function bytesIn(regions: readonly FileRegion[]): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for (const { file, position, length } of regions) {
    const bytes = new Uint8Array(length);
    if ((await file.read(bytes, position)) < length) throw new Error('a region ends beyond its file');
    all.push(bytes);
  }
  return Buffer.concat(all);
}

/** Whole batches: where each begins in the bytes, and its offsets. */
function batchesIn(bytes: Uint8Array): { at: number; from: number; to: number }[] {
  const found: { at: number; from: number; to: number }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const header = readBatch(bytes, at);
    if (typeof header === 'string') throw new Error(`no batch at ${at} of ${bytes.length}: ${header}`);
    found.push({ at, from: header.baseOffset, to: header.baseOffset + header.recordCount });
    at += header.length;
  }
  return found;
}

t.test('regions are what a read gives, perhaps with batches before it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-log-reader-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const random = new SeededRandom(3);
  const options = { segmentBytes: 60_000, tailBytesMax: 20_000 };
  let store = await LogStore.open(runtime, folder, options);
  let log = await store.create(7, 3);
  await log.raiseTerm();
  for (let i = 0; i < 150; i++) {
    const values = Array.from({ length: 1 + random.below(3) }, () =>
      'x'.repeat(random.below(random.below(4) * 2_000 + 1)),
    );
    log.append(batchOf(...values));
    if (random.below(3) === 0) await synced(log);
    if (i !== 100) continue;
    await store.close();
    store = await LogStore.open(runtime, folder, options);
    log = (await store.open(7, 3))!;
    await log.raiseTerm();
  }
  await synced(log);
  for (let i = 0; i < 300; i++) {
    const offset = random.below(log.syncedEnd);
    const bytesMax = 1 + random.below(random.below(2) === 0 ? 500 : 30_000);
    const now = random.below(2) === 0 ? log.regionsAt(offset, bytesMax) : undefined;
    const regions = now ?? (await log.regions(offset, bytesMax));
    const bytes = await bytesIn(regions);
    const batches = batchesIn(bytes);
    const wanted = batches.find(({ to }) => to > offset)!;
    t.ok(wanted.from <= offset, 'the batch that was asked for is there');
    t.ok(wanted.at < 4_096, 'little lies before it');
    t.ok(bytes.length <= Math.max(bytesMax, 4_096 + batchBytesMax), 'and not much more than asked');
    const read = Buffer.concat(await log.read(offset, bytesMax));
    const both = Math.min(read.length, bytes.length - wanted.at);
    t.ok(both > 0 && read.subarray(0, both).equals(bytes.subarray(wanted.at, wanted.at + both)));
    releasePieces(regions);
  }
  t.same(await log.regions(log.syncedEnd, 100), []);
  await t.rejects(log.regions(log.syncedEnd + 1, 100));
  await store.close();
});

t.test('a segment that was trimmed stays until its last region is released', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-log-reader-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const store = await LogStore.open(runtime, folder, { segmentBytes: 20_000 });
  const log = await store.create(7, 3);
  await log.raiseTerm();
  for (let i = 0; i < 30; i++) {
    log.append(batchOf('y'.repeat(3_000)));
    await synced(log);
  }
  const path = join(folder, 'data', '7', readdirSync(join(folder, 'data', '7'))[0]!);
  const first = join(path, readdirSync(path).filter((name) => name.endsWith('.log'))[0]!);
  const one = await log.regions(0, 9_000);
  const other = log.regionsAt(3, 9_000)!;
  const before = await bytesIn(one);
  await log.trimTo(25);
  t.ok(existsSync(first));
  await t.rejects(log.regions(0, 9_000));
  t.throws(() => log.regionsAt(0, 9_000));
  t.ok(before.equals(await bytesIn(one)), 'still all there');
  releasePieces(one);
  releasePieces(one);
  // Time enough for the file to be closed and removed, if anybody did that.
  for (let i = 0; i < 20; i++) await runtime.files.exists(first);
  t.ok(existsSync(first), 'the other one still needs it');
  t.equal(batchesIn(await bytesIn(other))[0]!.from <= 3, true);
  releasePieces(other);
  await store.close();
  t.notOk(existsSync(first));
});
