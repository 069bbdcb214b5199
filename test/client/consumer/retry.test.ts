import t from 'tap';
import { failedAgain, failureHeader, writeFailure } from '../../../src/client/consumer/failure.js';
import type { OutgoingRecord } from '../../../src/client/outgoing-record.js';
import { createTopic } from '../../../src/wire/methods.js';
import { ConsumerRig } from './rig.js';

const group = 'billing';

t.test('a record climbs the ladder, in its time, and others pass it', async (t) => {
  const rig = await ConsumerRig.start(t, 2);
  const seen: { text: string; attempt: number; atMs: number; first: string | undefined }[] = [];
  const consumer = rig.consumer({ group, retry: { delaysMs: [30, 60] }, commitIntervalMs: 20 });
  void consumer.run((record) => {
    const { attempt, failure } = record;
    t.match(record, { topic: 'orders', partition: 1 }, 'its first place, wherever it lies');
    seen.push({ text: record.text(), attempt, atMs: Date.now(), first: failure?.firstError });
    rig.changed();
    if (record.text() === 'flaky' && attempt < 3) throw new Error(`try ${attempt}`);
  });
  await rig.send({ key: 'k', value: 'flaky', partition: 1 }, { key: 'k', value: 'next', partition: 1 });
  await rig.until(() => seen.length === 4);
  t.match(
    seen.map(({ text, attempt }) => [text, attempt]),
    [
      ['flaky', 1],
      ['next', 1],
      ['flaky', 2],
      ['flaky', 3],
    ],
  );
  t.ok(seen[2]!.atMs - seen[0]!.atMs >= 30, 'not before its time');
  t.ok(seen[3]!.atMs - seen[2]!.atMs >= 60);
  t.equal(seen[3]!.first, 'Error: try 1');
  t.same(await rig.dead.list(group), []);
  t.match(consumer.stats, { failed: 2 });
});

t.test("the topic's own ladder counts, and after its end comes the dead letter", async (t) => {
  const rig = await ConsumerRig.start(t, 1, 'unused');
  const request = { name: 'orders', partitions: 1, replicas: 1, config: { retryDelaysMs: [20, 20] } };
  await rig.client.connections.to(rig.node.address).call(createTopic, request);
  const attempts: number[] = [];
  const consumer = rig.consumer({ group, topics: ['orders'], commitIntervalMs: 20 });
  void consumer.run((record) => {
    attempts.push(record.attempt);
    rig.changed();
    throw new Error('never');
  });
  await rig.producer.send('orders', { value: 'bad' });
  for (;;) {
    const [letter] = await rig.dead.list(group);
    if (letter === undefined) continue;
    t.match(letter, { attempts: 3, topic: 'orders', lastError: 'Error: never' });
    break;
  }
  t.same(attempts, [1, 2, 3]);
});

t.test('a handler that is too slow is told so, and its record is tried again', async (t) => {
  const rig = await ConsumerRig.start(t);
  const causes: string[] = [];
  const attempts: number[] = [];
  const consumer = rig.consumer({ group, retry: { delaysMs: [10] }, handlerTimeoutMs: 20 });
  void consumer.run((record, { signal }) => {
    attempts.push(record.attempt);
    rig.changed();
    if (record.attempt > 1) return undefined;
    return new Promise<void>((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        causes.push((signal.reason as { why: string }).why);
        reject(signal.reason as Error);
      });
    });
  });
  await rig.send('slow');
  await rig.until(() => attempts.length === 2);
  t.same(causes, ['timed-out']);
});

t.test(
  'a group with dots takes what lies under its former name, and nothing of the group that shares it',
  async (t) => {
    const rig = await ConsumerRig.start(t);
    const failed = (name: string): OutgoingRecord => {
      const failure = failedAgain(undefined, name, { topic: 'orders', partition: 0, offset: 1 }, 'Error: before', 5);
      return { value: `of ${name}`, headers: { [failureHeader]: writeFailure(failure) } };
    };
    for (const topic of ['retry.eu.billing.orders', 'dlq.eu.billing.orders']) {
      await rig.client.topics.create(topic, 1, false);
      await rig.producer.sendAll(topic, [failed('eu'), failed('eu.billing')]);
    }
    const seen: string[] = [];
    const consumer = rig.consumer({ group: 'eu.billing', retry: { delaysMs: [20] }, commitIntervalMs: 20 });
    void consumer.run((record) => {
      seen.push(`${record.text()}, try ${record.attempt}`);
      rig.changed();
      if (record.text() === 'fresh') throw new Error('never');
    });
    await rig.until(() => seen.length === 1);
    await rig.send('fresh');
    await rig.until(() => seen.length === 3);
    t.same(seen, ['of eu.billing, try 2', 'fresh, try 1', 'fresh, try 2']);
    await consumer.close();
    const letters = await rig.dead.list('eu.billing');
    t.match(
      letters.map(({ id, value }) => [id, String(value)]),
      [
        [/^dlq\.eu\.billing\.orders\/0:/, 'of eu.billing'],
        [/^dlq\.\.1\.eu\.billing\.orders\/0:/, 'fresh'],
      ],
    );
    t.same(
      await rig.dead.purge('eu.billing', { ids: letters.map(({ id }) => id) }),
      letters.map(({ id }) => id),
    );
    t.same(await rig.dead.list('eu.billing'), []);
    t.match(await rig.dead.list('eu'), [{ group: 'eu' }], "another's is untouched");
  },
);
