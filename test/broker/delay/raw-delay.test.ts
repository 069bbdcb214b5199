import t from 'tap';
import { delayPartition, delayTopicName, lastDelayLevel } from '../../../src/base/delay-level.js';
import { isTaskdError } from '../../../src/base/errors.js';
import { BatchClass, headerBytes } from '../../../src/batch/header.js';
import { type NewRecord, readRecords } from '../../../src/batch/record.js';
import { originOf } from '../../../src/broker/delay/delayed-record.js';
import { cancelRecord } from '../../../src/broker/delay/fire-records.js';
import { Fetcher } from '../../../src/client/fetcher.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { cancelDelayed, deleteTopic, openDelayLevel, produce } from '../../../src/wire/methods.js';
import { BrokerNode, brokerAndClient, ClientKit } from '../../support/broker-node.js';
import { DelayedSends } from '../../support/delayed-sends.js';
import { batchOf } from '../../support/produce-payload.js';
import { RawPeer } from '../../support/raw-peer.js';

const yearMs = 366 * 86_400_000;

t.test('from a raw socket: a cancel names a time that a record can have', async (t) => {
  const { node, client } = await brokerAndClient(t);
  await client.topics.ask(openDelayLevel, { level: 0 });
  const raw = await RawPeer.greeted(node.address);
  t.teardown(() => raw.socket.destroy());
  const cancel = (deliverAtMs: number) =>
    raw.ask(cancelDelayed.id, taskd.CancelDelayedRequest, { partition: 0, level: 0, offset: 5, deliverAtMs });
  t.equal(await cancel(Number.MAX_SAFE_INTEGER), 'INVALID');
  t.equal(await cancel(Number.MAX_SAFE_INTEGER - 40_000), 'INVALID');
  t.equal(await cancel(999_999_999_999_999), 'INVALID', 'the most that the text of an id can say');
  t.equal(await cancel(Date.now() + yearMs + 3_600_000), 'INVALID');
  t.equal(await cancel(Date.now() + yearMs), 'ok');
  t.equal(await cancel(0), 'ok');
});

t.test('a Cancel in the log with an absurd time harms nobody, now or at the next start', async (t) => {
  const { node, client, folder, runtime } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('target', 1, false);
  await client.topics.ask(openDelayLevel, { level: lastDelayLevel });
  const last = await client.topics.named(delayTopicName(lastDelayLevel));
  for (let partition = 0; partition < last.partitions; partition++) {
    const log = node.broker.taskLog(last.topicId, partition);
    for (const dueMs of [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 30_000, 2 ** 50]) {
      const cancel = { origin: originOf(0, dueMs % 1_000), dueMs, carried: dueMs === 2 ** 50 };
      await log.append([cancelRecord(cancel)], BatchClass.OWNER);
    }
  }
  await client.close();
  await node.stop();
  const again = await BrokerNode.start(runtime, folder);
  t.teardown(() => again.stop());
  const kit = new ClientKit(runtime, again.address);
  t.teardown(() => kit.close());
  const sends = new DelayedSends({ runtime, callers: kit.connections, topics: kit.topics });
  const stored = await sends.send(kit.producer(), topicId, 0, { value: Buffer.from('x') }, Date.now() + 3_600_000);
  t.equal(await sends.cancel(stored.delayedId!), true, 'delayed records are served');
});

/** A delayed record of a deleted topic whose number of a partition, added to that topic's key, made the key of `victim`. */
function liar(goneId: number, victimId: number): NewRecord {
  const targetPartition = 65_536 * (victimId - goneId);
  return { value: Buffer.from('liar'), deliverAtMs: Date.now() + 200, targetTopicId: goneId, targetPartition };
}

t.test('a target is a partition that a topic may have, also when the topic is deleted', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const gone = await client.topics.create('gone', 1, false);
  const victim = await client.topics.create('victim', 1, false);
  await client.topics.ask(deleteTopic, { name: 'gone' });
  await client.topics.ask(openDelayLevel, { level: lastDelayLevel });
  const last = await client.topics.named(delayTopicName(lastDelayLevel));
  const raw = await RawPeer.greeted(node.address);
  t.teardown(() => raw.socket.destroy());
  const send = (record: NewRecord): Promise<string> =>
    raw.ask(produce.id, taskd.ProduceRequest, { topicId: last.topicId, partition: 0 }, [batchOf([record])]);
  const lie = liar(gone.topicId, victim.topicId);
  t.equal(await send(lie), 'INVALID');
  t.equal(await send({ ...lie, targetPartition: 1_024 }), 'INVALID');
  t.equal(await send({ ...lie, targetPartition: 0xffff_ffff }), 'INVALID');
  t.equal(await send({ ...lie, targetPartition: 1_023 }), 'ok', 'goes the way of all records of a deleted topic');
});

t.test('an absurd target in the log takes no record from another topic', async (t) => {
  const { node, client, runtime } = await brokerAndClient(t);
  const gone = await client.topics.create('gone', 1, false);
  const victim = await client.topics.create('victim', 1, false);
  await client.topics.ask(deleteTopic, { name: 'gone' });
  await client.topics.ask(openDelayLevel, { level: lastDelayLevel });
  const last = await client.topics.named(delayTopicName(lastDelayLevel));
  const through = delayPartition(victim.topicId, 0, last.partitions);
  await node.broker.taskLog(last.topicId, through).append([liar(gone.topicId, victim.topicId)], BatchClass.OWNER);
  const sends = new DelayedSends({ runtime, callers: client.connections, topics: client.topics });
  const producer = client.producer();
  const dueMs = Date.now() + 100;
  for (const value of ['a', 'b', 'c']) {
    await sends.send(producer, victim.topicId, 0, { value: Buffer.from(value) }, dueMs);
  }
  t.same(await values(client, victim.topicId, 3), ['a', 'b', 'c']);
  await new Promise<void>((resolve, reject) => {
    const look = (): void => {
      client.topics.named('dlq.delay').then(
        () => resolve(),
        (error) => (isTaskdError(error) ? look() : reject(error)),
      );
    };
    look();
  });
  const { topicId } = await client.topics.named('dlq.delay');
  t.same(await values(client, topicId, 1), ['liar']);
});

/** The values of the first `count` records of partition 0, once they are there. */
function values(client: ClientKit, topicId: number, count: number): Promise<string[]> {
  const found: string[] = [];
  return new Promise((resolve, reject) => {
    const fetcher: Fetcher = new Fetcher(
      client.runtime,
      client.connections,
      client.topics,
      { topicId, partition: 0, offset: 0 },
      {
        batch: (header, bytes) => {
          readRecords(bytes.subarray(headerBytes), header.baseOffset, header.recordCount, ({ value }) => {
            found.push(Buffer.from(value ?? []).toString());
          });
          if (found.length < count) return;
          fetcher.close();
          resolve(found);
        },
        lost: (_start, error) => reject(error),
      },
    );
  });
}
