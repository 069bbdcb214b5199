import t from 'tap';
import { MetricSet } from '../../../src/base/counters.js';
import { delayTopicName, lastDelayLevel } from '../../../src/base/delay-level.js';
import { isTaskdError } from '../../../src/base/errors.js';
import { BatchBuilder } from '../../../src/batch/builder.js';
import { BatchClass, headerBytes } from '../../../src/batch/header.js';
import { type NewRecord, readRecords } from '../../../src/batch/record.js';
import { moverProducerId } from '../../../src/broker/mover-table.js';
import { Fetcher } from '../../../src/client/fetcher.js';
import { cancelDelayed, describeTopics, openDelayLevel, produce } from '../../../src/wire/methods.js';
import { brokerAndClient } from '../../support/broker-node.js';
import { DelayedSends } from '../../support/delayed-sends.js';

const dayMs = 86_400_000;

t.test('what is no delayed record of a client is refused before it is in the ladder', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const { topicId: target } = await client.topics.create('target', 2, false);
  await client.topics.ask(openDelayLevel, { level: 3 });
  const { topicId: level } = await client.topics.named(delayTopicName(3));
  const { topicId: last } = await client.topics.named(delayTopicName(lastDelayLevel));
  const caller = client.connections.to(node.address);
  const soon = { deliverAtMs: Date.now() + 1_000, targetTopicId: target, targetPartition: 1 };

  async function outcome(
    topicId: number,
    record: NewRecord,
    producerId = 0,
    batchClass = BatchClass.CLIENT as BatchClass,
  ) {
    const builder = new BatchBuilder();
    builder.append({ value: Buffer.from('x'), ...record });
    const payload = [builder.finish({ baseTimestamp: Date.now(), batchClass, producerId })];
    try {
      await caller.call(produce, { topicId, partition: 0, batchClass }, { payload });
      return 'ok';
    } catch (error) {
      if (isTaskdError(error)) return error.codeName;
      throw error;
    }
  }

  t.equal(await outcome(level, soon), 'ok');
  t.equal(await outcome(level, { ...soon, deliverAtMs: 1 }), 'ok', 'in the past: at once');
  t.equal(await outcome(level, {}), 'FORBIDDEN', 'not delayed');
  t.equal(await outcome(target, soon), 'INVALID', 'delayed, and not into a level');
  t.equal(await outcome(level, { ...soon, deliverAtMs: Date.now() + 400 * dayMs }), 'INVALID', 'too far ahead');
  t.equal(await outcome(last, { ...soon, deliverAtMs: Date.now() + dayMs }), 'INVALID', 'too far ahead for this level');
  t.equal(await outcome(level, { ...soon, targetTopicId: 999 }), 'NOT_FOUND');
  t.equal(await outcome(level, { ...soon, targetTopicId: 2 ** 50 }), 'NOT_FOUND');
  t.equal(await outcome(level, { ...soon, targetPartition: 2 }), 'NOT_FOUND');
  t.equal(await outcome(level, { ...soon, targetTopicId: level }), 'FORBIDDEN', 'one of our own topics');
  t.equal(await outcome(level, { ...soon, targetTopicId: 0 }), 'NOT_FOUND', 'the cluster itself');
  t.equal(await outcome(level, { ...soon, origin: 17 }), 'INVALID');
  t.equal(await outcome(last, { ...soon, type: 2 }), 'INVALID', 'a decision of the last level');
  t.equal(await outcome(last, { type: 2 }, 0, BatchClass.OWNER), 'INVALID');
  t.equal(await outcome(last, soon, 0, BatchClass.OWNER), 'INVALID');
  t.equal(await outcome(level, { ...soon, timestampDelta: Number.MAX_SAFE_INTEGER }), 'INVALID');
  t.equal(await outcome(level, soon, moverProducerId(2, level, 0)), 'FORBIDDEN');

  const cancelled = async (parts: object): Promise<boolean> =>
    (await client.topics.ask(cancelDelayed, parts)).cancelled;
  t.equal(await cancelled({ partition: 0, level: 3, offset: 999, deliverAtMs: 5 }), false, 'its time is over');
  t.equal(await cancelled({ partition: 60_000, level: 3, offset: 1, deliverAtMs: 5 }), false, 'no such partition');
  t.equal(await cancelled({ partition: 0, level: 99, offset: 1, deliverAtMs: 5 }), false, 'no such level');
  await t.rejects(client.topics.ask(openDelayLevel, { level: 14 }), /levels 0 to 13/);
});

t.test('a level is there only with all those that its records go through', async (t) => {
  const { client } = await brokerAndClient(t);
  const levels = async (): Promise<string[]> => {
    const { topics } = await client.topics.ask(describeTopics, { names: [] });
    return topics.map(({ name }) => name ?? '').filter((name) => name.startsWith('__delay.'));
  };
  await client.topics.ask(openDelayLevel, { level: 2 });
  t.same(await levels(), ['__delay.last', '__delay.0', '__delay.1', '__delay.2']);
  await Promise.all([4, 3, 4].map((level) => client.topics.ask(openDelayLevel, { level })));
  t.same((await levels()).slice(4), ['__delay.3', '__delay.4']);
});

t.test('records are delivered with all that they had, at their time; waiting ones are not in memory', async (t) => {
  const { node, client, runtime } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('target', 1, false);
  const sends = new DelayedSends({ runtime, callers: client.connections, topics: client.topics });
  const producer = client.producer();
  const hour = Date.now() + 3_600_000;
  const waiting = await Promise.all(
    Array.from({ length: 500 }, () => sends.send(producer, topicId, 0, { value: Buffer.from('later') }, hour)),
  );
  const headers = [{ name: 'a', value: Buffer.from('1') }];
  const record = { key: Buffer.from('k'), value: Buffer.from('now'), headers };
  const sentMs = Date.now();
  const dueMs = sentMs + 30;
  await sends.send(producer, topicId, 0, record, dueMs);
  await new Promise<void>((resolve, reject) => {
    const fetcher: Fetcher = new Fetcher(
      runtime,
      client.connections,
      client.topics,
      { topicId, partition: 0, offset: 0 },
      {
        batch: (header, bytes) => {
          readRecords(bytes.subarray(headerBytes), header.baseOffset, header.recordCount, (found) => {
            t.same([found.key, found.value, found.headers], [record.key, record.value, headers]);
            t.same([found.deliverAtMs, found.targetTopicId, found.origin], [0, 0, 0], 'nothing of the way is left');
            t.ok(header.appendTimestamp >= dueMs, 'not early');
            const madeMs = header.baseTimestamp + found.timestampDelta;
            t.ok(madeMs >= sentMs && madeMs <= Date.now(), 'it keeps its own time');
            fetcher.close();
            resolve();
          });
        },
        lost: (_start, error) => reject(error),
      },
    );
  });
  const metrics = new MetricSet();
  node.broker.registerMetrics(metrics);
  const read = (name: string): number =>
    metrics.all().reduce((sum, metric) => sum + (metric.name === name ? metric.read() : 0), 0);
  t.equal(read('delay_held_records'), 0);
  t.ok(read('delay_waiting_records') >= 500);
  t.equal(read('delay_late_ms_count'), 1);
  t.equal(await sends.cancel(waiting[7]!.delayedId!), true);
  t.equal(read('delay_live_cancels'), 1);
});
