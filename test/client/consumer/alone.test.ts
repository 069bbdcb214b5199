import t from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import { Consumer } from '../../../src/client/consumer/consumer.js';
import type { ConsumerOptions } from '../../../src/client/consumer/consumer-options.js';
import { json, type OutgoingRecord } from '../../../src/client/outgoing-record.js';
import { TopicProducer } from '../../../src/client/topic-producer.js';
import { Topics } from '../../../src/client/topics.js';
import { brokerAndClient } from '../../support/broker-node.js';

interface Teardown {
  teardown(callback: () => unknown): void;
}

async function setUp(t: Teardown, partitions = 1, topic = 'orders') {
  const { client } = await brokerAndClient(t);
  const network = { runtime: client.runtime, callers: client.connections, topics: client.topics };
  await client.topics.create(topic, partitions, false);
  const producer = new TopicProducer(network);
  const consumers: Consumer[] = [];
  t.teardown(async () => {
    await Promise.all(consumers.map((each) => each.close()));
    await producer.close();
  });
  const consume = (options: Partial<ConsumerOptions> = {}): Consumer => {
    const consumer = new Consumer(network, { topics: [topic], ...options });
    consumers.push(consumer);
    return consumer;
  };
  const send = async (...records: (OutgoingRecord | string)[]): Promise<void> => {
    for (const record of records) {
      await producer.send(topic, typeof record === 'string' ? { value: record, partition: 0 } : record);
    }
  };
  return { client, network, consume, send };
}

t.test('reads from the beginning to the end as it was, and ends', async (t) => {
  const { consume, send } = await setUp(t, 3);
  await send(
    { key: 'k', value: 'a', partition: 1, headers: { trace: 'x1' } },
    { value: json({ n: 2 }), partition: 1 },
    { partition: 2 },
  );
  const seen: unknown[] = [];
  const consumer = consume({ stopAtEnd: true });
  await consumer.run((record) => {
    seen.push([record.topic, record.partition, record.key?.toString(), record.text(), record.attempt]);
    if (record.key !== undefined) t.equal(record.headers['trace']?.toString(), 'x1');
    if (record.partition === 1 && record.key === undefined) t.same(record.json(), { n: 2 });
    if (record.partition === 2) {
      t.equal(record.value, undefined);
      t.equal(record.json(), undefined);
    }
    t.ok(record.timestampMs > 1e12);
  });
  t.same(seen.sort(), [
    ['orders', 1, undefined, '{"n":2}', 1],
    ['orders', 1, 'k', 'a', 1],
    ['orders', 2, undefined, '', 1],
  ]);
  t.match(consumer.stats, { state: 'closed', handled: 3, failed: 0, bufferedBytes: 0, running: 0 });
});

t.test(
  'an empty topic ends at once; one that is not there, and a partition that is not there, are refused',
  async (t) => {
    const { consume } = await setUp(t);
    await consume({ stopAtEnd: true }).run(() => t.fail('nothing is there'));
    await t.rejects(
      consume({ topics: ['absent'] }).run(() => {}),
      { code: ErrorCode.NOT_FOUND },
    );
    await t.rejects(
      consume({ partitions: [7] }).run(() => {}),
      { code: ErrorCode.NOT_FOUND, message: /partitions 0 to 0/ },
    );
  },
);

t.test('begins at an offset, at a time, at the end', async (t) => {
  const { consume, send } = await setUp(t);
  await send('a', 'b', 'c');
  const texts = async (options: Partial<ConsumerOptions>): Promise<string[]> => {
    const found: string[] = [];
    await consume({ stopAtEnd: true, ...options }).run((record) => void found.push(record.text()));
    return found;
  };
  t.same(await texts({ from: { offset: 2 } }), ['b', 'c']);
  t.same(await texts({ from: { timeMs: 0 } }), ['a', 'b', 'c']);
  t.same(await texts({ from: 'latest' }), []);
});

t.test('outside the log it goes on where it is told to, or ends', async (t) => {
  const { consume, send } = await setUp(t);
  await send('a');
  let got: (text: string) => void = () => {};
  const next = () => new Promise<string>((resolve) => (got = resolve));
  const trouble: Error[] = [];
  const first = next();
  const earliest = consume({ from: { offset: 99 }, onTrouble: (error) => void trouble.push(error) });
  void earliest.run((record) => got(record.text()));
  t.equal(await first, 'a');
  t.match(trouble, [{ code: ErrorCode.OFFSET_OUT_OF_RANGE, message: /orders\/0 has nothing at offset 99/ }]);
  t.equal(earliest.stats.resets, 1);
  await earliest.close();
  const second = next();
  const latest = consume({ from: { offset: 99 }, outOfRange: 'latest', onTrouble: () => void send('b') });
  void latest.run((record) => got(record.text()));
  t.equal(await second, 'b');
  const error = consume({ from: { offset: 99 }, outOfRange: 'error' }).run(() => {});
  await t.rejects(error, { code: ErrorCode.OFFSET_OUT_OF_RANGE, message: /not consumed any more.*outOfRange/ });
});

t.test('what a handler throws ends a consumer without a group', async (t) => {
  const { consume, send } = await setUp(t);
  await send('a', 'b');
  const seen: string[] = [];
  const running = consume().run((record) => {
    seen.push(record.text());
    throw new Error('no');
  });
  await t.rejects(running, { message: 'no' });
  t.same(seen, ['a']);
});

t.test('follows what comes; pauses and goes on', async (t) => {
  const { consume, send } = await setUp(t);
  await send('a');
  let got: (text: string) => void = () => {};
  const next = () => new Promise<string>((resolve) => (got = resolve));
  const consumer = consume();
  const first = next();
  const running = consumer.run((record) => got(record.text()));
  t.equal(await first, 'a');
  const second = next();
  await send('b');
  t.equal(await second, 'b');
  consumer.pause();
  let isHandled = false;
  const third = next().then((text) => {
    isHandled = true;
    return text;
  });
  await send('c');
  t.equal(isHandled, false);
  consumer.resume();
  t.equal(await third, 'c');
  t.same(consumer.assignment, [{ topic: 'orders', partition: 0 }]);
  await consumer.close();
  await running;
});

t.test('batches', async (t) => {
  const { consume, send } = await setUp(t);
  await send(...Array.from({ length: 20 }, (_, i) => `r${i}`));
  const batches: string[][] = [];
  await consume({ stopAtEnd: true, batchRecords: 8 }).runBatch((records) => {
    batches.push(records.map((record) => record.text()));
  });
  t.same(
    batches.flat(),
    Array.from({ length: 20 }, (_, i) => `r${i}`),
  );
  t.ok(batches.every(({ length }) => length <= 8));
});

t.test('compressed batches are read like others', async (t) => {
  const { consume, network } = await setUp(t);
  const producer = new TopicProducer(network, { compression: 'gzip' });
  const texts = Array.from({ length: 200 }, (_, i) => `record ${i} ${'again '.repeat(20)}`);
  await producer.sendAll(
    'orders',
    texts.map((value) => ({ value, partition: 0 })),
  );
  await producer.close();
  const seen: string[] = [];
  await consume({ stopAtEnd: true }).run((record) => void seen.push(record.text()));
  t.same(seen, texts);
});

t.test('for await: one after another, and leaving the loop ends it', async (t) => {
  const { consume, send } = await setUp(t);
  await send('a', 'b', 'c');
  const seen: string[] = [];
  const consumer = consume();
  for await (const record of consumer.records()) {
    seen.push(record.text());
    if (seen.length === 2) break;
  }
  t.same(seen, ['a', 'b']);
  t.equal(consumer.stats.state, 'closed');
  const all: string[] = [];
  for await (const record of consume({ stopAtEnd: true }).records()) all.push(record.text());
  t.same(all, ['a', 'b', 'c']);
});

t.test('holds back while handlers are slow, and gets everything in the end', async (t) => {
  const { consume, send } = await setUp(t);
  const big = 'x'.repeat(20_000);
  await send(...Array.from({ length: 40 }, (_, i) => `${i}:${big}`));
  let most = 0;
  const seen: number[] = [];
  const consumer = consume({ stopAtEnd: true, prefetchBytes: 64 * 1024 });
  await consumer.run(async (record) => {
    await new Promise(setImmediate);
    most = Math.max(most, consumer.stats.bufferedBytes);
    seen.push(Number(record.text().split(':')[0]));
  });
  t.same(
    seen,
    Array.from({ length: 40 }, (_, i) => i),
  );
  t.ok(most < 64 * 1024 * 4, `${most} bytes at most`);
});

t.test('a consumer runs once, and says what is wrong with its options', async (t) => {
  const { consume } = await setUp(t);
  const consumer = consume({ stopAtEnd: true });
  await consumer.run(() => {});
  await t.rejects(
    consumer.run(() => {}),
    { code: ErrorCode.CONFLICT },
  );
  const wrong: [Partial<ConsumerOptions>, RegExp][] = [
    [{ topics: [] }, /topics are 1 to/],
    [{ topics: ['a', 'a'] }, /twice/],
    [{ concurrency: 0 }, /concurrency is 0/],
    [{ order: 'sideways' as 'key' }, /order is "sideways"/],
    [{ from: { offset: -1 } }, /from is/],
    [{ autoCommit: false }, /name a group/],
    [{ group: 'g', partitions: [1] }, /without a group/],
    [{ group: 'a b' }, /retry topic/],
    [{ group: 'g', retry: { delaysMs: [-1] } }, /retry.delaysMs is -1/],
    [{ group: 'g', sessionTimeoutMs: 10 }, /sessionTimeoutMs is 10/],
  ];
  for (const [options, message] of wrong) {
    t.throws(() => consume(options), { code: ErrorCode.INVALID, message }, String(message));
  }
  await consume({ group: 'a b', retry: false }).close();
});

t.test('a topic that is deleted and made anew is told of, and read from its beginning', async (t) => {
  const { client, network, consume, send } = await setUp(t);
  const topics = new Topics(network.topics);
  await send('a');
  const seen: string[] = [];
  const told: string[] = [];
  let wake: () => void = () => {};
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const consumer = consume({
    onTrouble: (error) => {
      told.push(error.message);
      wake();
    },
    onLost: (partitions) => void told.push(`lost ${partitions.length}`),
  });
  const running = consumer.run((record) => {
    seen.push(`${record.partition}:${record.text()}`);
    wake();
  });
  await until(() => seen.length === 1);
  await topics.remove('orders');
  await until(() => told.length === 2);
  t.match(told, ['lost 1', /topic "orders" was deleted: the consumer waits/]);
  t.same(consumer.assignment, []);
  await client.topics.create('orders', 2, false);
  await send('b', { value: 'c', partition: 1 });
  await until(() => seen.length === 3);
  t.same(seen.sort(), ['0:a', '0:b', '1:c']);
  t.equal(consumer.assignment.length, 2);
  await consumer.close();
  await running;
});

t.test('a topic that is deleted while it is read to its end is an error', async (t) => {
  const { network, consume, send } = await setUp(t);
  await send('a', 'b');
  const running = consume({ stopAtEnd: true }).run(async ({ offset }, { signal }) => {
    if (offset > 1) return;
    await new Topics(network.topics).remove('orders');
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  });
  await t.rejects(running, { code: ErrorCode.NOT_FOUND, message: 'topic "orders" was deleted while it was read' });
});
