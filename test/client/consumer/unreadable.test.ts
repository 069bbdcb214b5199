import t, { type Test } from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import { Codec } from '../../../src/batch/body.js';
import { Consumer } from '../../../src/client/consumer/consumer.js';
import type { ConsumerOptions, LostData } from '../../../src/client/consumer/consumer-options.js';
import { DeadRecords } from '../../../src/client/dead-records.js';
import { TopicProducer } from '../../../src/client/topic-producer.js';
import { LogStore } from '../../../src/log/log-store.js';
import { nodeRuntime } from '../../../src/runtime/node/node-runtime.js';
import { BrokerNode, ClientKit, temporaryFolder } from '../../support/broker-node.js';
import { altered, batchWithBody } from '../../support/produce-payload.js';
import { MemoryLogger } from '../../support/rpc-pair.js';

/** What an earlier version took: a body that is said to be compressed and isn't, of three records. */
const garbage = altered(batchWithBody(Buffer.alloc(100, 9), 3), 82, 16, Codec.GZIP);
const runtime = nodeRuntime(new MemoryLogger());

/** A broker on `folder` and a client, until `stop`. */
async function start(folder: string) {
  const node = await BrokerNode.start(runtime, folder, { autoCreateTopics: true });
  const client = new ClientKit(runtime, node.address);
  const network = { runtime, callers: client.connections, topics: client.topics };
  const producer = new TopicProducer(network);
  const stop = async (): Promise<void> => {
    await producer.close();
    await client.close();
    await node.stop();
  };
  return { client, network, producer, stop };
}

/** Appends the garbage past the broker. */
async function spoil(folder: string, topicId: number): Promise<void> {
  const store = await LogStore.open(runtime, folder);
  const log = await store.open(topicId, 0);
  log.append(garbage.slice(), true);
  await store.close();
}

/** The topic `words` with 'before', three offsets that can't be read, and 'after'. */
async function spoiled(t: Test) {
  const folder = temporaryFolder(t);
  const before = await start(folder);
  const { topicId } = await before.client.topics.create('words', 1, false);
  const { offset } = await before.producer.send('words', { value: 'before' });
  await before.stop();
  await spoil(folder, topicId);
  const after = await start(folder);
  t.teardown(after.stop);
  await after.producer.send('words', { value: 'after' });
  return { ...after, from: offset + 1 };
}

t.test('a batch that no reader can unpack stops the partition with its own error, or is skipped as told', async (t) => {
  const { network } = await spoiled(t);
  const consume = async (options: Partial<ConsumerOptions>): Promise<string[]> => {
    const seen: string[] = [];
    const consumer = new Consumer(network, { topics: ['words'], stopAtEnd: true, ...options });
    await consumer.run((record) => void seen.push(record.text()));
    return seen;
  };
  await t.rejects(consume({}), {
    code: ErrorCode.MALFORMED,
    message: /words\/0 is not consumed.* can't be read.*were written as something else than records.*'skip'/,
  });
  const told: LostData[] = [];
  const skip = (lost: LostData) => {
    told.push(lost);
    return 'skip' as const;
  };
  t.same(await consume({ onDataLoss: skip }), ['before', 'after']);
  t.match(told, [{ topic: 'words', partition: 0, error: { code: ErrorCode.MALFORMED } }]);
  t.equal(told[0]!.to - told[0]!.from, 3);
});

t.test('a group is told, and goes past it as told', async (t) => {
  const { network } = await spoiled(t);
  const troubles: Error[] = [];
  const seen: string[] = [];
  let done: () => void;
  const all = new Promise<void>((resolve) => {
    done = resolve;
  });
  const consumer = new Consumer(network, {
    topics: ['words'],
    group: 'readers',
    onDataLoss: () => 'skip',
    onTrouble: (error) => void troubles.push(error),
  });
  const running = consumer.run((record) => {
    seen.push(record.text());
    if (record.text() === 'after') done();
  });
  await all;
  await consumer.close();
  await running;
  t.same(seen, ['before', 'after']);
  t.match(troubles, [{ code: ErrorCode.MALFORMED }]);
});

t.test('dead letters around such a batch are listed, replayed and purged', async (t) => {
  const folder = temporaryFolder(t);
  const before = await start(folder);
  await before.client.topics.create('words', 1, false);
  const bury = async ({ network, producer }: typeof before, count: number): Promise<void> => {
    const consumer = new Consumer(network, { topics: ['words'], group: 'g', retry: { delaysMs: [] } });
    void consumer.run(() => {
      throw new Error('no');
    });
    await producer.send('words', { value: 'bad' });
    while ((await new DeadRecords(network).list('g')).length < count);
    await consumer.close();
  };
  await bury(before, 1);
  const { topicId } = await before.client.topics.named('dlq.g.words');
  await before.stop();
  await spoil(folder, topicId);
  const after = await start(folder);
  t.teardown(after.stop);
  await bury(after, 2);
  const dead = new DeadRecords(after.network);
  const [first, second] = await dead.list('g');
  t.match(await dead.replay('g', { ids: [first!.id] }), { replayed: [first!.id], skipped: [] });
  t.same(await dead.purge('g', { ids: [second!.id] }), [second!.id]);
  t.same(await dead.list('g'), []);
});
