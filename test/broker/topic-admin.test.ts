import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { BatchClass } from '../../src/batch/header.js';
import { TopicProducer } from '../../src/client/topic-producer.js';
import { type TopicChange, Topics } from '../../src/client/topics.js';
import type { Files } from '../../src/runtime/files.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { alterTopic, createTopic, describeTopics, fetch, produce } from '../../src/wire/methods.js';
import { BrokerNode, brokerAndClient, ClientKit, temporaryFolder } from '../support/broker-node.js';
import { batchOf } from '../support/produce-payload.js';
import { RawPeer } from '../support/raw-peer.js';
import { MemoryLogger } from '../support/rpc-pair.js';

const value = (text: string): { value: Uint8Array } => ({ value: Buffer.from(text) });

t.test('a topic has its settings from the start, and they survive a restart', async (t) => {
  const { node, client, folder, runtime } = await brokerAndClient(t);
  const topics = new Topics(client.topics);
  const made = await topics.create('orders', { partitions: 2, retentionMs: 3_600_000, retryDelaysMs: [5, 10] });
  t.match(made, { name: 'orders', partitions: 2, config: { retentionMs: 3_600_000, retryDelaysMs: [5, 10] } });
  t.same(made.configured, { retentionMs: 3_600_000, retryDelaysMs: [5, 10] });
  const altered = await topics.alter('orders', { partitions: 5, retentionMs: null, retentionBytes: 2 ** 40 });
  t.match(altered, { partitions: 5, config: { retentionMs: 604_800_000, retentionBytes: 2 ** 40 } });
  t.same(altered.configured, { retentionBytes: 2 ** 40, retryDelaysMs: [5, 10] });
  await topics.create('gone', { partitions: 3 });
  await topics.remove('gone');
  await client.close();
  await node.stop();
  const again = await BrokerNode.start(runtime, folder);
  const kit = new ClientKit(runtime, again.address);
  t.teardown(async () => {
    await kit.close();
    await again.stop();
  });
  const after = new Topics(kit.topics);
  const { states, ...info } = await after.describe('orders');
  t.same(info, altered);
  t.same(
    states.map(({ partition, highWatermark, problem }) => [partition, highWatermark > 0, problem]),
    [0, 1, 2, 3, 4].map((partition) => [partition, true, undefined]),
  );
  await t.rejects(after.describe('gone'), { code: ErrorCode.NOT_FOUND });
  const anew = await after.create('gone', { partitions: 1 });
  t.ok(anew.topicId > altered.topicId + 1, 'an id is never used again');
  t.match(
    (await after.list()).map(({ name }) => name),
    ['__cluster', '__groups', 'orders', 'gone'],
  );
});

t.test('what makes no sense is refused with the limit', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const topics = new Topics(client.topics);
  await topics.create('some', { partitions: 4 });
  const wrong: [TopicChange, RegExp][] = [
    [{ retentionMs: 999 }, /retentionMs is 999: .* 1000 to/],
    [{ retentionMs: -1 }, /retentionMs is -1/],
    [{ retentionMs: 2 ** 53 }, /retentionMs is 9007199254740992/],
    [{ retentionBytes: 5 }, /at least 1048576/],
    [{ flushIntervalMs: 60_001 }, /up to 60000/],
    [{ flushIntervalMs: 0.5 }, /flushIntervalMs is 0.5/],
    [{ retryDelaysMs: [] }, /empty/],
    [{ retryDelaysMs: new Array(33).fill(1) }, /33 entries; at most 32/],
    [{ retryDelaysMs: [1, 0] }, /retryDelaysMs names 0/],
    [{ partitions: 3 }, /has 4 partitions and can't shrink to 3/],
    [{ partitions: 1_025 }, /1 to 1024 partitions/],
    [{ partitions: 0 }, /at least 1 partition/],
  ];
  for (const [change, message] of wrong) {
    await t.rejects(topics.alter('some', change), { code: ErrorCode.INVALID, message }, JSON.stringify(change));
  }
  await t.rejects(topics.create('other', { partitions: 1, retentionMs: 1 }), { code: ErrorCode.INVALID });
  await t.rejects(topics.alter('absent', {}), { code: ErrorCode.NOT_FOUND });
  await t.rejects(topics.remove('absent'), { code: ErrorCode.NOT_FOUND });
  for (const name of ['__cluster', '__groups', 'taskd.jobs']) {
    await t.rejects(topics.alter(name, { retentionMs: 5_000 }), { code: ErrorCode.FORBIDDEN });
    await t.rejects(topics.remove(name), { code: ErrorCode.FORBIDDEN });
  }
  // What our own client would not send.
  const caller = client.connections.to(node.address);
  await t.rejects(caller.call(alterTopic, { name: 'some', unset: ['size'] }), { code: ErrorCode.INVALID });
  await t.rejects(caller.call(alterTopic, { name: 'some', config: { retentionMs: 5 } }), { code: ErrorCode.INVALID });
  const flush = { name: 'x', partitions: 1, replicas: 1, config: { flushIntervalMs: 0xffff_ffff } };
  await t.rejects(caller.call(createTopic, flush), { code: ErrorCode.INVALID });
  await t.rejects(caller.call(createTopic, { ...flush, name: '../x' }), { code: ErrorCode.INVALID });
  t.match(await topics.describe('some'), { partitions: 4, configured: {} }, 'nothing of it was done');
});

t.test('a topic goes while it is written and read: NOT_FOUND, and its name finds the next one', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const topics = new Topics(client.topics);
  const { topicId } = await topics.create('short-lived', { partitions: 1 });
  const producer = client.producer();
  await producer.send(topicId, 0, value('first'), BatchClass.CLIENT);
  const caller = client.connections.to(node.address, 'bulk');
  const place = { topicId, partition: 0, offset: 2 };
  const poll = caller.call(fetch, { partitions: [place], bytesMin: 1, waitMs: 20_000, bytesMax: 1_000 });
  const late = caller.call(produce, { topicId, partition: 0 }, { payload: [batchOf([value('late')])] });
  const outcomes = Promise.allSettled([late]);
  await topics.remove('short-lived');
  const [outcome] = await outcomes;
  if (outcome!.status === 'rejected') t.match(outcome!.reason, { code: ErrorCode.NOT_FOUND });
  const { partitions } = (await poll).message;
  // The late record may have come before the end.
  if (partitions[0]!.payloadBytes === 0) t.match(partitions, [{ error: { code: ErrorCode.NOT_FOUND } }]);
  await t.rejects(caller.call(produce, { topicId, partition: 0 }, { payload: [batchOf([value('x')])] }), {
    code: ErrorCode.NOT_FOUND,
  });
  await t.rejects(producer.send(topicId, 0, value('y'), BatchClass.CLIENT), { code: ErrorCode.NOT_FOUND });
  await t.rejects(client.topics.named('short-lived'), { code: ErrorCode.NOT_FOUND });
  const next = await topics.create('short-lived', { partitions: 1 });
  t.not(next.topicId, topicId);
  t.equal((await producer.send(next.topicId, 0, value('z'), BatchClass.CLIENT)).offset, 1, 'nothing of the old one');
});

t.test('a topic comes into being by its use only where that is wanted', async (t) => {
  const without = await brokerAndClient(t);
  await t.rejects(without.client.topics.named('made'), { code: ErrorCode.NOT_FOUND });
  const { client } = await brokerAndClient(t, { autoCreateTopics: true });
  const topics = new Topics(client.topics);
  await t.rejects(topics.describe('asked'), { code: ErrorCode.NOT_FOUND }, 'a look makes nothing');
  t.match(await client.topics.named('made'), { name: 'made', partitions: 1 });
  t.match(await topics.describe('made'), { partitions: 1 });
});

t.test('a topic that was deleted does not come back by a producer that goes on', async (t) => {
  const { client, runtime } = await brokerAndClient(t, { autoCreateTopics: true });
  const topics = new Topics(client.topics);
  const producer = new TopicProducer({ runtime, callers: client.connections, topics: client.topics });
  t.teardown(() => producer.close());
  await producer.send('unwanted', { value: 'a' });
  await topics.remove('unwanted');
  for (let i = 0; i < 3; i++) {
    await t.rejects(producer.send('unwanted', { value: 'b' }), { code: ErrorCode.NOT_FOUND });
    client.topics.forgetNamed('unwanted');
  }
  await t.rejects(client.topics.named('unwanted'), { code: ErrorCode.NOT_FOUND, message: /was deleted.*30 s after/ });
  t.notOk((await topics.list()).some(({ name }) => name === 'unwanted'));
  await topics.create('unwanted', { partitions: 2 });
  t.match(await client.topics.named('unwanted'), { partitions: 2 }, 'a person may make it at once');
});

t.test('files that a deletion left behind go at the next start', async (t) => {
  const folder = temporaryFolder(t);
  const real = nodeRuntime(new MemoryLogger());
  const files = Object.create(real.files) as Files;
  files.rename = (from, to) =>
    to.includes('/trash/') ? Promise.reject(new Error('not now')) : real.files.rename(from, to);
  const first = await BrokerNode.start({ ...real, files }, folder);
  const client = new ClientKit(real, first.address);
  const topics = new Topics(client.topics);
  const { topicId } = await topics.create('left', { partitions: 1 });
  const { topicId: other } = await topics.create('stays', { partitions: 1 });
  await topics.remove('left');
  await client.close();
  await first.stop();
  const dataOf = (id: number): boolean => existsSync(join(folder, 'data', `${id}`));
  t.ok(dataOf(topicId), 'it could not be moved');
  const again = await BrokerNode.start(real, folder);
  t.notOk(dataOf(topicId));
  t.ok(dataOf(other));
  t.match(readdirSync(join(folder, 'trash')), [new RegExp(`^${topicId}-`)]);
  await again.stop();
});

t.test('from a raw socket: an answer tells of each topic once, however often it is named', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('wide', 128, false);
  const raw = await RawPeer.greeted(node.address);
  t.teardown(() => raw.socket.destroy());
  const ask = async (request: taskd.IDescribeTopicsRequest): Promise<[number, number]> => {
    t.equal(await raw.ask(describeTopics.id, taskd.DescribeTopicsRequest, request), 'ok');
    const { topics, partitions } = taskd.DescribeTopicsResponse.decode(Buffer.from(raw.frames.at(-1)!.meta));
    return [topics.length, partitions.length];
  };
  t.same(await ask({ names: new Array(1_000).fill('wide') }), [1, 128]);
  t.same(await ask({ names: new Array(500).fill('wide'), topicIds: new Array(500).fill(topicId) }), [1, 128]);
  t.same(await ask({ names: ['wide', '__cluster', 'absent'], topicIds: [0] }), [2, 129]);
});
