import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { silentLogger } from '../../../src/base/logger.js';
import { BackgroundReads } from '../../../src/runtime/node/background-reads.js';
import { nodeRuntime } from '../../../src/runtime/node/node-runtime.js';
import { freeReadsMax } from '../../../src/runtime/read-pace.js';

t.test('reads begin in the order in which they came, so many at once, and each end lets the next begin', (t) => {
  const reads = new BackgroundReads();
  const begun: number[] = [];
  for (let i = 0; i < freeReadsMax + 3; i++) reads.ask(1_000, () => begun.push(i));
  t.equal(begun.length, freeReadsMax);
  t.equal(reads.waiting, 3);
  t.equal(reads.bytesPerSecondMax, 0, 'nobody syncs, so there is no limit');
  reads.ended();
  reads.ended();
  t.equal(reads.waiting, 1);
  reads.ended();
  t.same(begun, [...begun.keys()]);
  t.equal(reads.bytes, begun.length * 1_000);
  t.end();
});

t.test('a sync holds a read up, and its end lets it begin', (t) => {
  const reads = new BackgroundReads();
  let begun = 0;
  const beganMs = reads.syncBegan();
  reads.ask(1_000, () => begun++);
  t.equal(begun, 0);
  t.ok(reads.bytesPerSecondMax > 0);
  reads.syncEnded(beganMs);
  t.equal(begun, 1);
  reads.ask(1_000, () => begun++);
  t.equal(begun, 1, 'one at a time while somebody syncs');
  reads.ended();
  t.equal(begun, 2);
  t.end();
});

t.test('a read that nothing but time lets begin does begin', async (t) => {
  const reads = new BackgroundReads();
  reads.syncBegan();
  await new Promise<void>((resolve) => reads.ask(1_000, resolve));
  t.equal(reads.waiting, 0);
  t.ok(reads.waitedMs > 0);
});

t.test('large background reads beside syncs are whole, end where the file ends, and fail without harm', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-background-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const { files, random } = nodeRuntime(silentLogger);
  const bytes = random.bytes(3_000_001);
  const file = await files.open(`${folder}/read`, 'create');
  await file.write([bytes], 0);
  const live = await files.open(`${folder}/live`, 'create');
  const through = await files.open(`${folder}/live`, 'through');
  let isOver = false;
  const sync = async (): Promise<void> => {
    while (!isOver) {
      await live.write([bytes.subarray(0, 100)], 0);
      await live.dataSync();
      await through.write([bytes.subarray(0, 100)], 0);
    }
  };
  const syncing = sync();
  const background = await files.open(`${folder}/read`, 'background');
  const reads = Array.from({ length: 4 }, async (_, i) => {
    const into = new Uint8Array(bytes.length + 10);
    t.equal(await background.read(into, i), bytes.length - i);
    t.ok(Buffer.from(into.buffer, 0, bytes.length - i).equals(bytes.subarray(i)));
  });
  await Promise.all(reads);
  const { bytes: before } = files.backgroundReads;
  await background.read(new Uint8Array(100), 0);
  t.equal(files.backgroundReads.bytes, before, 'what is little waits for nobody');
  await background.close();
  for (let i = 0; i < 2; i++) await t.rejects(background.read(new Uint8Array(bytes.length), 0));
  const again = await files.open(`${folder}/read`, 'background');
  t.equal(await again.read(new Uint8Array(bytes.length), 0), bytes.length, 'a read that failed has ended');
  isOver = true;
  await syncing;
  t.equal(files.backgroundReads.waiting, 0);
  for (const each of [file, live, through, again]) await each.close();
});
