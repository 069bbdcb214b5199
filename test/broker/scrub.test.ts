import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { Partition } from '../../src/broker/partition.js';
import { Scrub } from '../../src/broker/scrub.js';
import { LogStore } from '../../src/log/log-store.js';
import { batchOf } from '../log/batches.js';
import { FixedRuntime } from '../log/fixed-runtime.js';
import { temporaryFolder } from '../support/broker-node.js';

t.test('rot in a full segment is found, counted and told, and what lies around it is served', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = new FixedRuntime();
  const store = await LogStore.open(runtime, folder, { segmentBytes: 10_000, tailBytesMax: 1 });
  const partition = new Partition(await store.create(1, 0), false, { logger: silentLogger, snapshotBytes: 1e9 });
  await partition.activate();
  for (let i = 0; i < 30; i++) partition.appendOwn(batchOf('x'.repeat(1_000)), 1);
  const endOffset = partition.logEnd;
  await new Promise<void>((resolve, reject) =>
    partition.whenCommitted({ endOffset, committed: resolve, failed: reject }),
  );
  const scrub = new Scrub(runtime.clock, silentLogger, 1e12, () => [partition]);
  await scrub.round();
  t.equal(partition.loss, undefined);
  t.match(scrub, { rounds: 1, gapsFound: 0 });
  t.ok(scrub.bytesRead > 25_000, `${scrub.bytesRead} bytes`);
  const files = join(folder, 'data/1/0-1');
  const second = join(files, readdirSync(files).filter((name) => name.endsWith('.log'))[1]!);
  const base = Number(second.slice(-24, -4));
  const bytes = readFileSync(second);
  const length = bytes.readUInt32BE(16);
  bytes[2 * length + 500]! ^= 4;
  writeFileSync(second, bytes);
  await scrub.round();
  t.match(scrub, { rounds: 2, gapsFound: 1 });
  t.equal(partition.loss, `the disk has lost the records ${base + 2} to ${base + 2}`);
  t.equal(partition.problem, undefined, 'it goes on');
  await t.rejects(partition.read(base + 2, 1), { code: ErrorCode.DATA_LOSS, hint: `${base + 2}-${base + 3}` });
  t.ok((await partition.read(base + 3, 1)).length > 0);
  await scrub.round();
  t.equal(scrub.gapsFound, 1, 'it is told once');
  scrub.stop();
  await store.close();
});
