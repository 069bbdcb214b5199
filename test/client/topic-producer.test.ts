import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { keyPartition } from '../../src/base/murmur2.js';
import { json, TaskdClient } from '../../src/client/client.js';
import type { ClientNetwork, ClientOptions } from '../../src/client/client-network.js';
import type { ProducerOptions } from '../../src/client/producer-options.js';
import { type CallerSource, fixedBrokers, TopicDirectory } from '../../src/client/topic-directory.js';
import { TopicProducer } from '../../src/client/topic-producer.js';
import { Topics } from '../../src/client/topics.js';
import type { Caller } from '../../src/rpc/caller.js';
import type { Address } from '../../src/runtime/net.js';
import { openDelayLevel } from '../../src/wire/methods.js';
import { brokerAndClient, ClientKit } from '../support/broker-node.js';
import { ManualClock } from '../support/manual-clock.js';
import { readAll } from '../support/read-all.js';

function topicProducer(client: ClientKit, options: ProducerOptions = {}): TopicProducer {
  return new TopicProducer({ runtime: client.runtime, callers: client.connections, topics: client.topics }, options);
}

t.test('sends by the name of a topic, in the order of the calls', async (t) => {
  const { client } = await brokerAndClient(t);
  await client.topics.create('orders', 4, false);
  const producer = topicProducer(client);
  t.teardown(() => producer.close());
  const keyed = Array.from({ length: 20 }, (_, i) => producer.send('orders', { key: 'customer-7', value: `${i}` }));
  const places = await Promise.all(keyed);
  const partition = keyPartition(Buffer.from('customer-7'), 4);
  t.same(
    places.map((place) => [place.partition, place.offset]),
    places.map((_, i) => [partition, places[0]!.offset + i]),
  );
  const chosen = await producer.send('orders', { value: json({ id: 1 }), headers: { kind: 'x' }, partition: 3 });
  t.equal(chosen.partition, 3);
  t.ok(chosen.appendTimestampMs > 0);
  const all = await producer.sendAll('orders', [
    { value: 'a', partition: 0 },
    { value: 'b', partition: 1 },
  ]);
  t.same(
    all.map((place) => place.partition),
    [0, 1],
  );
});

t.test('what is no record or no topic is told at once, with the limit', async (t) => {
  const { client } = await brokerAndClient(t);
  await client.topics.create('some', 2, false);
  const producer = topicProducer(client);
  t.teardown(() => producer.close());
  const send = (record: object, topic = 'some') => producer.send(topic, record as never);
  await t.rejects(send({ value: 'x' }, 'absent'), { code: ErrorCode.NOT_FOUND, message: /absent/ });
  await t.rejects(send({ value: 'x' }, ''), { code: ErrorCode.INVALID });
  await t.rejects(send({ value: { an: 'object' } }), { code: ErrorCode.INVALID, message: /json\(value\)/ });
  await t.rejects(send({ key: 7 }), { code: ErrorCode.INVALID });
  await t.rejects(send({ headers: { a: null } }), { code: ErrorCode.INVALID, message: /header "a"/ });
  await t.rejects(send({ value: 'x', partition: 2 }), { code: ErrorCode.INVALID, message: /0 to 1/ });
  await t.rejects(send({ value: 'x', partition: 0.5 }), { code: ErrorCode.INVALID });
  await t.rejects(send({ key: new Uint8Array(70_000) }), { code: ErrorCode.TOO_LARGE, message: /65536/ });
  const headers = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`h${i}`, 'x']));
  await t.rejects(send({ headers }), { code: ErrorCode.TOO_LARGE, message: /64/ });
  await t.rejects(producer.sendAll('some', [{ value: 'x' }, { key: 7 } as never]), { code: ErrorCode.INVALID });
  t.throws(() => json(() => 1), { code: ErrorCode.INVALID });
  t.throws(() => json(1n), { code: ErrorCode.INVALID });
});

t.test('what is compressed comes back as it was', async (t) => {
  const { client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('packed', 1, false);
  const producer = topicProducer(client, { compression: 'gzip' });
  t.teardown(() => producer.close());
  const values = Array.from({ length: 500 }, (_, i) => `line ${i} `.repeat(20));
  await producer.sendAll(
    'packed',
    values.map((value) => ({ value })),
  );
  const { texts, bytes } = await readAll(client, topicId, 0);
  t.same(texts, values);
  t.ok(bytes < values.join('').length / 4, `${bytes} bytes`);
});

t.test('one without a topic or a broker ends soon all the same', async (t) => {
  const { node, client } = await brokerAndClient(t);
  await node.stop();
  const clock = new ManualClock();
  const network = { runtime: { ...client.runtime, clock }, callers: client.connections, topics: client.topics };
  const producer = new TopicProducer(network);
  const sent = t.rejects(producer.send('some', { value: 'x' }), { code: ErrorCode.CANCELLED });
  const closed = producer.close();
  await clock.advance(5_000);
  await closed;
  await sent;
  await t.rejects(producer.send('some', { value: 'x' }), { code: ErrorCode.CANCELLED });
});

t.test('a topic that got more partitions, and one that was made anew', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('grows', 1, false);
  const producer = topicProducer(client);
  t.teardown(() => producer.close());
  await producer.send('grows', { value: 'x' });
  const other = new ClientKit(client.runtime, node.address);
  t.teardown(() => other.close());
  const admin = new Topics(other.topics);
  await admin.alter('grows', { partitions: 3 });
  t.equal((await producer.send('grows', { value: 'x', partition: 2 })).partition, 2);
  await admin.remove('grows');
  await t.rejects(producer.send('grows', { value: 'x', partition: 0 }), { code: ErrorCode.NOT_FOUND });
  await t.rejects(producer.send('grows', { value: 'x' }), { code: ErrorCode.NOT_FOUND, message: /"grows"/ });
  const next = await admin.create('grows', { partitions: 2 });
  t.not(next.topicId, topicId);
  t.equal((await producer.send('grows', { value: 'x', partition: 1 })).offset, 1);
});

t.test('a client lets go of a producer that was closed', async (t) => {
  const { client: kit } = await brokerAndClient(t);
  const queues = { runtime: kit.runtime, callers: kit.connections, topics: kit.topics };
  const network = { queues: () => queues, topics: kit.topics, close: () => Promise.resolve() };
  const client = new TaskdClient({} as ClientOptions, network as unknown as ClientNetwork);
  const closes: string[] = [];
  const producers = ['closed before', 'left open'].map((name) => {
    const producer = client.producer();
    const close = producer.close.bind(producer);
    producer.close = () => {
      closes.push(name);
      return close();
    };
    return producer;
  });
  await Promise.all([producers[0]!.close(), producers[0]!.close()]);
  t.same(closes, ['closed before', 'closed before']);
  await client.close();
  t.same(closes.slice(2), ['left open']);
});

/** A broker that answers everything but which topic a level of the ladder is. */
class Lagging implements CallerSource {
  readonly #callers: CallerSource;
  /** Questions for a level; each goes on when it is called. */
  readonly asked: (() => void)[] = [];
  onAsked: () => void = () => {};

  constructor(callers: CallerSource) {
    this.#callers = callers;
  }

  to(address: Address): Caller {
    const caller = this.#callers.to(address);
    const call: Caller['call'] = async (method, request, options) => {
      if (method.id === openDelayLevel.id) {
        await new Promise<void>((resolve) => {
          this.asked.push(resolve);
          this.onAsked();
        });
      }
      return caller.call(method, request, options);
    };
    return new Proxy(caller, { get: (target, name) => (name === 'call' ? call : Reflect.get(target, name)) });
  }
}

t.test('delayed records count for room and flush while their level is looked up', async (t) => {
  const { client, node } = await brokerAndClient(t);
  await client.topics.create('orders', 1, false);
  const callers = new Lagging(client.connections);
  const topics = new TopicDirectory(client.runtime, callers, fixedBrokers(node.address));
  t.teardown(() => topics.close());
  const producer = new TopicProducer({ runtime: client.runtime, callers, topics });
  t.teardown(() => producer.close());
  await producer.send('orders', { value: 'warm' });
  const asked = new Promise<void>((resolve) => {
    callers.onAsked = resolve;
  });
  let isStored = false;
  const value = new Uint8Array(1 << 20);
  const sent = producer.send('orders', { value, delayMs: 60_000 }).then(() => {
    isStored = true;
  });
  const flushed = producer.flush().then(() => isStored);
  await asked;
  t.ok(producer.bufferedBytes > value.length, `${producer.bufferedBytes} bytes`);
  const others = Array.from({ length: 20 }, () => producer.send('orders', { value, delayMs: 60_000 }));
  const outcomes = Promise.allSettled(others);
  await t.rejects(others.at(-1)!, { code: ErrorCode.BUSY, message: /16777216 bytes/ });
  for (const go of callers.asked.splice(0)) go();
  await sent;
  t.equal(await flushed, true, 'flush waits for it');
  const stored = (await outcomes).filter(({ status }) => status === 'fulfilled');
  t.equal(stored.length, 14, 'those that there was room for');
  t.equal(producer.bufferedBytes, 0);
});

t.test('a delayed record whose level is never found ends with close', async (t) => {
  const { client, node } = await brokerAndClient(t);
  await client.topics.create('orders', 1, false);
  await client.topics.named('orders');
  const clock = new ManualClock();
  const runtime = { ...client.runtime, clock };
  const callers = new Lagging(client.connections);
  const topics = new TopicDirectory(runtime, callers, fixedBrokers(node.address));
  t.teardown(() => topics.close());
  await topics.named('orders');
  const producer = new TopicProducer({ runtime, callers, topics });
  const sent = producer.send('orders', { value: 'x', delayMs: 60_000 });
  const closed = producer.close();
  const refused = t.rejects(sent, { code: ErrorCode.CANCELLED });
  await clock.advance(5_000);
  await closed;
  await refused;
});
