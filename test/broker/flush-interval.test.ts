import t from 'tap';
import { silentLogger } from '../../src/base/logger.js';
import { BatchBuilder } from '../../src/batch/builder.js';
import { BatchClass, sequenceBatch } from '../../src/batch/header.js';
import { ClientQuota, noQuota } from '../../src/broker/client-quota.js';
import { clusterTopic } from '../../src/broker/cluster-shard.js';
import type { CommitWaiter } from '../../src/broker/commit-waiters.js';
import { Partitions } from '../../src/broker/partitions.js';
import { ProduceService } from '../../src/broker/produce-service.js';
import { LogStore } from '../../src/log/log-store.js';
import type { ServerCall } from '../../src/rpc/service.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { Timers } from '../../src/timer/timers.js';
import { taskd } from '../../src/wire/generated/messages.js';

/** One partition with an hour between syncs, in a simulated process. */
async function inBroker(
  work: (partitions: Partitions, produce: (batch: Uint8Array) => Promise<taskd.IProduceResponse>) => Promise<void>,
): Promise<void> {
  const world = new SimWorld(1);
  let end: unknown = 'open';
  world.process('broker').start(async (runtime: Runtime) => {
    try {
      const store = await LogStore.open(runtime, '/var/taskd');
      const partitions = new Partitions(store, silentLogger);
      await partitions.openTopic({ ...clusterTopic, topicId: 1, internal: false });
      partitions.get(1, 0).flushIntervalMs = 3_600_000;
      const service = new ProduceService(
        partitions,
        { topic: () => undefined },
        { admission: () => undefined },
        new ClientQuota(noQuota, 'produce quota'),
        runtime.clock,
        new Timers(runtime.clock),
      );
      const request = taskd.ProduceRequest.decode(taskd.ProduceRequest.encode({ topicId: 1, partition: 0 }).finish());
      await work(partitions, (payload) => {
        return new Promise((reply, fail) => {
          service.handle(request, {
            payload,
            reply,
            fail,
            peer: { clientId: 'x' },
          } as unknown as ServerCall<taskd.IProduceResponse>);
        });
      });
      await store.close();
      end = 'done';
    } catch (error) {
      end = error;
    }
  });
  await world.run({ until: () => end !== 'open' });
  if (end !== 'done') throw end;
}

function batch(sequence: number): Uint8Array {
  const builder = new BatchBuilder();
  builder.append({ value: Buffer.from('x') });
  const bytes = builder.finish({ baseTimestamp: 0, batchClass: BatchClass.CLIENT });
  sequenceBatch(bytes, 0, 7, 0, sequence);
  return bytes;
}

t.test('with a flush interval a produce is answered early and says so, and nothing else follows from it', (t) =>
  inBroker(async (partitions, produce) => {
    const partition = partitions.get(1, 0);
    const before = partition.highWatermark;
    const answer = await produce(batch(0));
    t.match(answer, { baseOffset: before, flushedLater: true, duplicate: false });
    t.equal(partition.highWatermark, before, 'the watermark waits for the sync');
    t.same(partition.readHot(before, 1_000), [], 'so do readers');
  }),
);

t.test('a repeat is answered when its first try is on disk', (t) =>
  inBroker(async (partitions, produce) => {
    const partition = partitions.get(1, 0);
    const before = partition.highWatermark;
    await produce(batch(0));
    const repeat = await produce(batch(0));
    t.match(repeat, { baseOffset: before, flushedLater: false, duplicate: true });
    t.equal(partition.highWatermark, before + 1, 'and did not wait for the interval');
  }),
);

t.test('whoever waits for the commit has the sync at once; internal topics have no interval', (t) =>
  inBroker(async (partitions, produce) => {
    const partition = partitions.get(1, 0);
    await produce(batch(0));
    await new Promise<void>((committed, failed) => {
      const waiter: CommitWaiter = { endOffset: partition.logEnd, committed, failed };
      partition.whenCommitted(waiter);
    });
    t.equal(partition.highWatermark, partition.logEnd);
    await partitions.openTopic({ ...clusterTopic, topicId: 2 });
    partitions.get(2, 0).flushIntervalMs = 1_000;
    t.equal(partitions.get(2, 0).flushIntervalMs, 0);
  }),
);
