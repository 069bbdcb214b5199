import t from 'tap';
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
