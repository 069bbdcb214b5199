import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { fullTopicConfig } from '../../src/base/topic-config.js';
import { Partition } from '../../src/broker/partition.js';
import { LogStore } from '../../src/log/log-store.js';
import { batchOf } from '../log/batches.js';
import { FixedRuntime } from '../log/fixed-runtime.js';
import { temporaryFolder } from '../support/broker-node.js';

const host = { logger: silentLogger, snapshotBytes: 1e9 };
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

class Rig {
  readonly folder: string;
  readonly runtime: FixedRuntime = new FixedRuntime();
  store!: LogStore;
  partition!: Partition;

  constructor(folder: string) {
    this.folder = folder;
  }

  async open(): Promise<void> {
    this.store = await LogStore.open(this.runtime, this.folder, { segmentBytes: 10_000 });
    const log = this.store.replicas().length > 0 ? await this.store.open(1, 0) : await this.store.create(1, 0);
    this.partition = new Partition(log, false, host);
    await this.partition.activate();
  }

  /** Appends so many records of 1 KiB, an hour apart. */
  async append(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.runtime.wallMs += hourMs;
      this.partition.appendOwn(batchOf('x'.repeat(1_000)), 1);
    }
    const { partition } = this;
    const endOffset = partition.logEnd;
    await new Promise<void>((resolve, reject) =>
      partition.whenCommitted({ endOffset, committed: resolve, failed: reject }),
    );
  }

  get segments(): number {
    return readdirSync(join(this.folder, 'data/1/0-1')).filter((name) => name.endsWith('.log')).length;
  }
}

async function rig(t: Test): Promise<Rig> {
  const made = new Rig(temporaryFolder(t));
  await made.open();
  t.teardown(() => made.store.close());
  return made;
}

t.test('by time: whole segments go when their newest record is too old', async (t) => {
  const made = await rig(t);
  await made.append(40);
  t.equal(made.segments, 5);
  made.partition.configure(fullTopicConfig({ retentionMs: 20 * hourMs }, false));
  await made.partition.maintain();
  t.equal(made.partition.logStart, 19, 'the records 1 to 19 are too old, and 19 lies beside younger ones');
  t.equal(made.segments, 3);
  await t.rejects(made.partition.read(18, 1), {
    code: ErrorCode.OFFSET_OUT_OF_RANGE,
    message: /offset 18 lies outside the log, which holds 19 to 41/,
  });
  await made.partition.maintain();
  t.equal(made.partition.logStart, 19, 'nothing changes without time');
});

t.test('after a restart, too, where nothing is known of the segments yet', async (t) => {
  const made = await rig(t);
  await made.append(40);
  await made.store.close();
  await made.open();
  made.partition.configure(fullTopicConfig({ retentionMs: 20 * hourMs }, false));
  await made.partition.maintain();
  t.equal(made.partition.logStart, 19);
});

t.test('by size: the oldest segments go while enough is left', async (t) => {
  const made = await rig(t);
  await made.append(40);
  made.partition.configure(fullTopicConfig({ retentionMs: 0, retentionBytes: 24_000 }, false));
  await made.partition.maintain();
  t.equal(made.segments, 3);
  t.ok(made.partition.bytes >= 24_000);
});

t.test('by size, where one segment would hold more than is kept: twice as much is the most', async (t) => {
  const made = await rig(t);
  made.partition.configure(fullTopicConfig({ retentionMs: 0, retentionBytes: 3_000 }, false));
  for (let i = 0; i < 20; i++) {
    await made.append(1);
    await made.partition.maintain();
    t.ok(made.partition.bytes < 2 * 3_000 + 2_000, `${made.partition.bytes} bytes after ${i + 1} records`);
  }
  t.ok(made.partition.bytes >= 3_000, 'and as much as is to be kept is there');
  t.ok(made.segments <= 3);
});

t.test('when all is too old, the last segment gives way to a new one, once', async (t) => {
  const made = await rig(t);
  await made.append(5);
  made.partition.configure(fullTopicConfig({ retentionMs: dayMs }, false));
  await made.partition.maintain();
  t.equal(made.partition.logStart, 0);
  made.runtime.wallMs += 2 * dayMs;
  await made.partition.maintain();
  t.equal(made.partition.logStart, 6);
  t.equal(made.partition.logEnd, 7);
  t.equal(made.segments, 1);
  made.runtime.wallMs += 2 * dayMs;
  await made.partition.maintain();
  t.equal(made.partition.logEnd, 7, 'a segment with nothing but that record stays');
});

t.test('a segment is closed after a day', async (t) => {
  const made = await rig(t);
  await made.append(2);
  await made.partition.maintain();
  made.runtime.wallMs += dayMs;
  await made.partition.maintain();
  await made.append(1);
  t.equal(made.segments, 2);
});

t.test('topics of taskd itself lose nothing by age', async (t) => {
  const made = await rig(t);
  await made.append(30);
  made.partition.configure(fullTopicConfig({}, true));
  made.runtime.wallMs += 100 * dayMs;
  await made.partition.maintain();
  t.equal(made.partition.logStart, 0);
});
