import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { BatchBuilder } from '../../src/batch/builder.js';
import { BatchClass, readBatch, sequenceBatch } from '../../src/batch/header.js';
import { Partition } from '../../src/broker/partition.js';
import { LogStore } from '../../src/log/log-store.js';
import { FixedRuntime } from '../log/fixed-runtime.js';
import { temporaryFolder } from '../support/broker-node.js';

const host = { logger: silentLogger, snapshotBytes: 8_000 };
const options = { segmentBytes: 20_000 };

/** A batch of one producer as a partition takes it. */
function produced(producerId: number, sequence: number) {
  const builder = new BatchBuilder();
  builder.append({ value: Buffer.alloc(900, sequence) });
  const bytes = builder.finish({ baseTimestamp: 1, batchClass: BatchClass.CLIENT });
  sequenceBatch(bytes, 0, producerId, 0, sequence);
  const header = readBatch(bytes, 0);
  if (typeof header === 'string') throw new Error(header);
  return { header, bytes };
}

function committed(partition: Partition, endOffset: number): Promise<void> {
  return new Promise((resolve, reject) => partition.whenCommitted({ endOffset, committed: resolve, failed: reject }));
}

async function opened(folder: string): Promise<{ store: LogStore; partition: Partition; runtime: FixedRuntime }> {
  const runtime = new FixedRuntime();
  const store = await LogStore.open(runtime, folder, options);
  const log = store.replicas().length > 0 ? await store.open(1, 0) : await store.create(1, 0);
  const partition = new Partition(log, false, host);
  await partition.activate();
  return { store, partition, runtime };
}

const filesOf = (folder: string, end: string): string[] =>
  readdirSync(join(folder, 'data/1/0-1')).filter((name) => name.endsWith(end));

async function filled(t: Test, batches = 60) {
  const folder = temporaryFolder(t);
  const { store, partition } = await opened(folder);
  for (let sequence = 0; sequence < batches; sequence++) {
    const { endOffset } = partition.append([produced(7, sequence)]);
    if (sequence % 3 === 0) await committed(partition, endOffset);
  }
  await committed(partition, partition.logEnd);
  await partition.saveState();
  return { folder, store, partition };
}

t.test('producers are known again after a start that reads only what follows the snapshot', async (t) => {
  const { folder, store } = await filled(t);
  t.equal(filesOf(folder, '.snapshot').length, 1, 'older ones are gone');
  await store.close();
  // What lies before is not read: it can't even be.
  const first = join(folder, 'data/1/0-1', filesOf(folder, '.log')[0]!);
  writeFileSync(first, readFileSync(first).fill(0x33));
  const again = await opened(folder);
  t.equal(again.partition.problem, undefined);
  t.match(again.partition.append([produced(7, 59)]), { duplicate: true });
  t.match(again.partition.append([produced(7, 0)]), { duplicate: true });
  t.throws(() => again.partition.append([produced(7, 61)]), { code: ErrorCode.OUT_OF_ORDER_SEQUENCE });
  t.match(again.partition.append([produced(7, 60)]), { duplicate: false });
  await again.store.close();
});

t.test('a snapshot that is damaged, gone or of another log is not believed: the log is read', async (t) => {
  const { folder, store } = await filled(t);
  await store.close();
  const path = join(folder, 'data/1/0-1', filesOf(folder, '.snapshot')[0]!);
  const good = readFileSync(path);
  for (const at of [0, 5, 13, 17, 50, good.length - 1]) {
    const bytes = Buffer.from(good);
    bytes[at]! ^= 1;
    writeFileSync(path, bytes);
    const { store, partition } = await opened(folder);
    t.match(partition.append([produced(7, 59)]), { duplicate: true }, `byte ${at}`);
    t.throws(() => partition.append([produced(7, 61)]), { code: ErrorCode.OUT_OF_ORDER_SEQUENCE });
    await store.close();
  }
});

t.test('trimBefore: the log starts anew, its files go, and producers are still known', async (t) => {
  const { folder, store, partition } = await filled(t);
  const before = filesOf(folder, '.log').length;
  t.ok(before >= 3);
  await t.rejects(partition.trimBefore(partition.logEnd + 1), { code: ErrorCode.OFFSET_OUT_OF_RANGE });
  await partition.trimBefore(45);
  t.equal(partition.logStart, 45);
  await t.rejects(partition.read(44, 10), { code: ErrorCode.OFFSET_OUT_OF_RANGE, message: /45 to \d+/ });
  t.ok((await partition.read(45, 10)).length > 0);
  t.ok(filesOf(folder, '.log').length < before);
  await partition.trimBefore(45);
  await store.close();
  const again = await opened(folder);
  t.equal(again.partition.logStart, 45);
  t.match(again.partition.append([produced(7, 59)]), { duplicate: true });
  t.equal(await again.partition.offsetForTime(0), 45);
  await again.store.close();
});

t.test('a segment that is being read stays until it is read', async (t) => {
  const { folder, store, partition } = await filled(t);
  const [region] = await partition.regions(0, 10);
  const first = join(folder, 'data/1/0-1', filesOf(folder, '.log')[0]!);
  await partition.trimBefore(45);
  t.ok(existsSync(first));
  const bytes = Buffer.alloc(region!.length);
  t.equal(await region!.file.read(bytes, region!.position), bytes.length);
  region!.release();
  await store.close();
  await (await opened(folder)).store.close();
  t.notOk(existsSync(first));
});

t.test('the end of the records is known without the own notes behind it, through starts and snapshots', async (t) => {
  const folder = temporaryFolder(t);
  let { store, partition } = await opened(folder);
  t.equal(partition.recordsEnd, 0, 'the first one is a note');
  const { endOffset } = partition.append([produced(7, 0)]);
  t.equal(partition.recordsEnd, 1, 'what is not committed is not counted');
  await committed(partition, endOffset);
  t.equal(partition.recordsEnd, endOffset);
  for (const isSaved of [false, true, false, true]) {
    if (isSaved) await partition.saveState();
    await store.close();
    ({ store, partition } = await opened(folder));
    t.equal(partition.recordsEnd, endOffset);
  }
  t.equal(partition.highWatermark, endOffset + 4, 'a note for each start');
  const next = partition.append([produced(7, 1)]);
  await committed(partition, next.endOffset);
  t.equal(partition.recordsEnd, next.endOffset);
  await store.close();
});
