import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { BatchClass, headerBytes } from '../../src/batch/header.js';
import { readRecords, type StoredRecord } from '../../src/batch/record.js';
import { Fetcher } from '../../src/client/fetcher.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { createTopic, describeTopics, initProducer, listOffsets } from '../../src/wire/methods.js';
import { BrokerNode, brokerAndClient, ClientKit, temporaryFolder } from '../support/broker-node.js';
import { MemoryLogger } from '../support/rpc-pair.js';

const value = (text: string): { value: Uint8Array } => ({ value: Buffer.from(text) });

/** Reads records from the start until there are `count`. */
async function readAll(client: ClientKit, topicId: number, count: number): Promise<string[]> {
  const texts: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const fetcher = new Fetcher(
      client.runtime,
      client.connections,
      client.topics,
      { topicId, partition: 0, offset: 0 },
      {
        batch: (header, bytes) => {
          readRecords(bytes.subarray(headerBytes), header.baseOffset, header.recordCount, (record: StoredRecord) => {
            texts.push(Buffer.from(record.value ?? []).toString());
          });
        },
        caughtUp: () => {
          if (texts.length < count) return;
          fetcher.close();
          resolve();
        },
        lost: (_start, error) => reject(error),
      },
    );
  });
  return texts;
}

t.test('what a producer sent is fetched, in order, and is there after a restart', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  let node = await BrokerNode.start(runtime, folder);
  let client = new ClientKit(runtime, node.address);
  const { topicId } = await client.topics.create('words', 1, false);
  const producer = client.producer();
  const sent: Promise<{ offset: number }>[] = [];
  for (let i = 0; i < 1_000; i++) sent.push(producer.send(topicId, 0, value(`${i}`), BatchClass.CLIENT));
  const offsets = (await Promise.all(sent)).map(({ offset }) => offset);
  t.ok(offsets.every((offset, i) => i === 0 || offset > offsets[i - 1]!));
  const expected = Array.from({ length: 1_000 }, (_, i) => `${i}`);
  t.same(await readAll(client, topicId, 1_000), expected);
  await client.close();
  await node.stop();

  node = await BrokerNode.start(runtime, folder);
  client = new ClientKit(runtime, node.address);
  t.teardown(async () => {
    await client.close();
    await node.stop();
  });
  t.equal((await client.topics.named('words')).topicId, topicId);
  const more = await client.producer().send(topicId, 0, value('more'), BatchClass.CLIENT);
  t.ok(more.offset > offsets[999]!);
  t.same(await readAll(client, topicId, 1_001), [...expected, 'more']);
});

t.test('a term is raised at each start and its no-op is in the log', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  let node = await BrokerNode.start(runtime, folder);
  const topicId = await node.broker.ensureTopic('a', 1);
  await node.stop();
  for (let start = 2; start < 4; start++) {
    node = await BrokerNode.start(runtime, folder);
    const client = new ClientKit(runtime, node.address);
    const { message } = await client.connections
      .to(node.address)
      .call(listOffsets, { topicId, partition: 0, spec: taskd.OffsetSpec.OFFSET_SPEC_END });
    t.match(message, { term: start, offset: start });
    await client.close();
    await node.stop();
  }
});

t.test('topics', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const caller = client.connections.to(node.address);
  const create = (name: string, partitions = 2, ifAbsent = false, replicas = 1) =>
    caller.call(createTopic, { name, partitions, replicas, ifAbsent });
  const first = await create('orders');
  t.match(first.message.topic, {
    name: 'orders',
    partitions: 2,
    internal: false,
    leaders: [node.address, node.address],
  });
  await t.rejects(create('orders'), { code: ErrorCode.ALREADY_EXISTS });
  t.equal((await create('orders', 2, true)).message.topic?.topicId, first.message.topic?.topicId);
  await t.rejects(create('orders', 3, true), { code: ErrorCode.ALREADY_EXISTS });
  t.equal((await create('taskd.jobs')).message.topic?.internal, true);
  for (const name of ['', '..', 'a b', 'x/y', 'é', 'x'.repeat(129)]) {
    await t.rejects(create(name), { code: ErrorCode.INVALID }, name);
  }
  await t.rejects(create('__mine'), { code: ErrorCode.FORBIDDEN });
  await t.rejects(create('none', 0), { code: ErrorCode.INVALID });
  await t.rejects(create('many', 1_025), { code: ErrorCode.INVALID });
  await t.rejects(create('three', 1, false, 3), { code: ErrorCode.INVALID });
  const { message } = await caller.call(describeTopics, {});
  t.same(
    message.topics.map(({ name }) => name),
    ['__cluster', '__groups', 'orders', 'taskd.jobs'],
  );
  t.match(message.partitions, [{ problem: '', logEnd: message.partitions[0]!.highWatermark }, {}, {}]);
  t.equal(message.partitions.length, 1 + 8 + 4);
  const some = await caller.call(describeTopics, { names: ['orders', 'absent'], topicIds: [3, 99] });
  t.same(
    some.message.topics.map(({ name }) => name),
    ['orders', 'taskd.jobs'],
  );
});

t.test('two creations of one topic at once make one', async (t) => {
  const { client } = await brokerAndClient(t);
  const places = await Promise.all([1, 2, 3].map(() => client.topics.create('same', 1, true)));
  t.equal(new Set(places.map(({ topicId }) => topicId)).size, 1);
});

t.test('topics are made by asking for them only where that is wanted', async (t) => {
  const off = await brokerAndClient(t);
  await t.rejects(off.client.topics.named('absent'), { code: ErrorCode.NOT_FOUND });
  const on = await brokerAndClient(t, { autoCreateTopics: true });
  t.match(await on.client.topics.named('wanted'), { name: 'wanted', partitions: 1 });
  await t.rejects(on.client.topics.named('taskd.secret'), { code: ErrorCode.NOT_FOUND });
});

t.test('a producer id is given once, across restarts', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  const seen = new Set<number>();
  for (let start = 0; start < 3; start++) {
    const node = await BrokerNode.start(runtime, folder);
    const client = new ClientKit(runtime, node.address);
    const caller = client.connections.to(node.address);
    const answers = await Promise.all(Array.from({ length: 1_200 }, () => caller.call(initProducer, {})));
    for (const { message } of answers) seen.add(message.producerId);
    await client.close();
    await node.stop();
  }
  t.equal(seen.size, 3_600);
  t.notOk(seen.has(0));
});

t.test('the offset of a time', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('times', 1, false);
  const producer = client.producer();
  const a = await producer.send(topicId, 0, value('a'), BatchClass.CLIENT);
  const caller = client.connections.to(node.address);
  const ask = async (timeMs: number): Promise<number> => {
    const spec = taskd.OffsetSpec.OFFSET_SPEC_TIME;
    return (await caller.call(listOffsets, { topicId, partition: 0, spec, timeMs })).message.offset;
  };
  t.ok((await ask(a.appendTimestampMs)) <= a.offset);
  t.equal(await ask(a.appendTimestampMs + 60_000), a.offset + 1, 'later than all: the end');
  t.equal(await ask(0), 0);
});

t.test('a broker that starts says so, and one that could not start leaves the folder free', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  const node = await BrokerNode.start(runtime, folder);
  await t.rejects(BrokerNode.start(runtime, folder), { code: ErrorCode.CONFLICT });
  await node.stop();
  const again = await BrokerNode.start(runtime, folder);
  await again.stop();
});
