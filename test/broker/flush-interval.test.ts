import t from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { BatchBuilder } from '../../src/batch/builder.js';
import { BatchClass, headerBytes, sequenceBatch } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import { ClientQuota, noQuota } from '../../src/broker/client-quota.js';
import { clusterTopic } from '../../src/broker/cluster-shard.js';
import type { CommitWaiter } from '../../src/broker/commit-waiters.js';
import { Partitions } from '../../src/broker/partitions.js';
import { ProduceService } from '../../src/broker/produce-service.js';
import { Fetcher } from '../../src/client/fetcher.js';
import { LogStore } from '../../src/log/log-store.js';
import type { ServerCall } from '../../src/rpc/service.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { Timers } from '../../src/timer/timers.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { createTopic } from '../../src/wire/methods.js';
import { BrokerNode, ClientKit } from '../support/broker-node.js';

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
        { topic: () => undefined, nextProducerId: 1_000 },
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

t.test('a power loss takes at most an interval of answered records; the producer goes on, in order', async (t) => {
  const flushIntervalMs = 100;
  const address = { host: '127.0.0.1', port: 7_401 };
  let lost = 0;
  for (let seed = 1; seed <= 3; seed++) {
    const world = new SimWorld(seed);
    const broker = world.process('broker');
    const answeredMs = new Map<number, number>();
    const powerLossesMs: number[] = [];
    let stored: number[] | undefined;
    let sentLast = 0;
    broker.start(async (runtime) => {
      await BrokerNode.start(runtime, '/data', { port: address.port });
    });
    world.process('client').start(async (runtime) => {
      const elapse = (ms: number): Promise<void> => new Promise((resolve) => runtime.clock.timer(ms, resolve));
      await elapse(1_000); // The broker is up by then.
      const kit = new ClientKit(runtime, address);
      const config = { flushIntervalMs };
      const { topic } = await kit.topics.ask(createTopic, { name: 'quick', partitions: 1, replicas: 1, config });
      const { topicId } = topic!;
      const producer = kit.producer();
      for (let i = 0; i < 200; i++) {
        sentLast = i;
        // Whether one without an answer was stored, nobody can say once the broker has lost those before it.
        const sent = producer.send(topicId!, 0, { value: Uint8Array.of(i) }, BatchClass.CLIENT);
        await sent.then(
          () => answeredMs.set(i, world.nowMs),
          (error) => isTaskdError(error, ErrorCode.OUTCOME_UNKNOWN) || world.fail(error),
        );
        await elapse(7);
      }
      const offset = 0;
      const found: number[] = [];
      const fetcher = new Fetcher(
        runtime,
        kit.connections,
        kit.topics,
        { topicId: topicId!, partition: 0, offset },
        {
          batch: (header, bytes) => {
            readRecords(bytes.subarray(headerBytes), header.baseOffset, header.recordCount, (record) => {
              found.push(record.value![0]!);
            });
          },
          caughtUp: () => {
            if (found.at(-1) !== 199) return;
            fetcher.close();
            stored = found;
          },
          lost: (_start, error) => world.fail(error),
        },
      );
    });
    const disturb = (): void => {
      if (sentLast > 140) return;
      const powerLoss = world.random.below(3) > 0;
      if (powerLoss) powerLossesMs.push(world.nowMs);
      broker.restart({ powerLoss });
      world.after(400 + world.random.below(600), disturb);
    };
    world.after(1_250, disturb);
    if (!(await world.run({ untilMs: 100_000, until: () => stored !== undefined }))) t.fail(`seed ${seed} did not end`);
    for (let i = 0; i < 200; i++) {
      if (stored!.includes(i) || !answeredMs.has(i)) continue;
      lost++;
      const atMs = answeredMs.get(i)!;
      // The sync itself takes a while after the interval.
      const isExcused = powerLossesMs.some((lossMs) => atMs <= lossMs && lossMs - atMs < flushIntervalMs + 60);
      if (!isExcused) t.fail(`seed ${seed}: ${i}, answered at ${atMs} ms, is gone; power went at ${powerLossesMs}`);
    }
    t.same(
      stored,
      [...new Set(stored)].sort((a, b) => a - b),
      `seed ${seed}: each once, in order`,
    );
  }
  t.ok(lost > 0, `${lost} were lost: it is not that nothing was at stake`);
});
