import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { BatchClass } from '../../src/batch/header.js';
import { Producer } from '../../src/client/producer.js';
import type { ProducerOptions } from '../../src/client/producer-options.js';
import type { TopicDirectory } from '../../src/client/topic-directory.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { brokerAndClient, ClientKit, temporaryFolder } from '../support/broker-node.js';
import { ManualClock } from '../support/manual-clock.js';
import { readAll } from '../support/read-all.js';
import { MemoryLogger } from '../support/rpc-pair.js';

const value = (text: string): { value: Uint8Array } => ({ value: Buffer.from(text) });

class BrokerProcess {
  readonly #child: ChildProcess;
  readonly port: number;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(folder: string, port = 0): Promise<BrokerProcess> {
    const script = fileURLToPath(new URL('../support/broker-process.js', import.meta.url));
    const child = fork(script, [folder, String(port)], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
    const [line] = await once(child.stdout!, 'data');
    return new BrokerProcess(child, Number(String(line)));
  }

  async kill(): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}

t.test('killed twice under load: every acknowledged record is there once and in order', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  let broker = await BrokerProcess.start(folder);
  t.teardown(() => broker.kill());
  const client = new ClientKit(runtime, { host: '127.0.0.1', port: broker.port });
  t.teardown(() => client.close());
  const { topicId } = await client.topics.create('load', 2, false);
  const producer = client.producer({ batchBytes: 2_000 });
  const outcomes: string[] = [];
  let acknowledged = 0;
  let progress = () => {};
  let next = 0;
  let isOn = true;
  const load = async (): Promise<void> => {
    while (isOn) {
      const name = next++;
      const outcome = await producer.send(topicId, name % 2, value(`${name}`), BatchClass.CLIENT).then(
        () => 'ok',
        (error) => (isTaskdError(error, ErrorCode.OUTCOME_UNKNOWN) ? 'unknown' : 'failed'),
      );
      outcomes[name] = outcome;
      acknowledged++;
      progress();
    }
  };
  const loads = Array.from({ length: 60 }, load);
  const more = async (count: number): Promise<void> => {
    const goal = acknowledged + count;
    while (acknowledged < goal) {
      await new Promise<void>((resolve) => {
        progress = resolve;
      });
    }
  };
  for (let round = 0; round < 2; round++) {
    await more(600);
    await broker.kill();
    broker = await BrokerProcess.start(folder, broker.port);
  }
  await more(500);
  isOn = false;
  await Promise.all(loads);
  const stored = [(await readAll(client, topicId, 0)).texts, (await readAll(client, topicId, 1)).texts];
  const times = new Map<string, number>();
  for (const name of stored.flat()) times.set(name, (times.get(name) ?? 0) + 1);
  const wrong = outcomes.flatMap((outcome, name) => {
    const count = times.get(`${name}`) ?? 0;
    const isRight = outcome === 'ok' ? count === 1 : outcome === 'unknown' ? count <= 1 : count === 0;
    return isRight ? [] : [`${name}: ${outcome}, stored ${count} times`];
  });
  t.same(wrong, []);
  t.equal(outcomes.filter((outcome) => outcome === 'ok').length, outcomes.length, 'all were delivered in the end');
  for (const names of stored) t.ok(names.every((name, i) => i === 0 || Number(names[i - 1]) < Number(name)));
});

t.test('records of one call stay together in order, over many batches', async (t) => {
  const { client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('many', 1, false);
  const records = Array.from({ length: 5_000 }, (_, i) => value(`${i}`));
  const offsets = await client.producer({ batchBytes: 1_000 }).sendAll(topicId, 0, records, BatchClass.CLIENT);
  t.equal(offsets.length, 5_000);
  t.ok(offsets.every((offset, i) => i === 0 || offset === offsets[i - 1]! + 1));
  t.same(
    (await readAll(client, topicId, 0)).texts,
    records.map((record) => Buffer.from(record.value).toString()),
  );
});

t.test('a full buffer makes callers wait, and lets them in again', async (t) => {
  const { client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('full', 1, false);
  const producer = client.producer({ bufferBytesMax: 10_000 });
  let most = 0;
  const record = { value: new Uint8Array(900) };
  const sends = Array.from({ length: 300 }, () =>
    producer.send(topicId, 0, record, BatchClass.CLIENT).then(() => {
      most = Math.max(most, producer.bufferedBytes);
    }),
  );
  t.ok(producer.bufferedBytes <= 10_000);
  await producer.flush();
  await Promise.all(sends);
  t.ok(most <= 10_000, `${most}`);
  t.equal(producer.bufferedBytes, 0);
});

t.test('what can not be stored is refused at once', async (t) => {
  const { client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('limits', 1, false);
  const producer = client.producer();
  const large = producer.send(topicId, 0, { value: new Uint8Array(4_300_000) }, BatchClass.CLIENT);
  await t.rejects(large, { code: ErrorCode.TOO_LARGE });
  await t.rejects(producer.send(0, 0, value('x'), BatchClass.OWNER), { code: ErrorCode.FORBIDDEN });
  const stillGood = await producer.send(topicId, 0, { value: new Uint8Array(4_000_000) }, BatchClass.CLIENT);
  t.equal(stillGood.offset, 1);
  producer.close();
  await t.rejects(producer.send(topicId, 0, value('x'), BatchClass.CLIENT), { code: ErrorCode.CANCELLED });
});

t.test('without a broker a record fails in the end as surely not stored, and the next one waits for it', async (t) => {
  const runtime = nodeRuntime(new MemoryLogger());
  const client = new ClientKit(runtime, { host: '127.0.0.1', port: 1 });
  t.teardown(() => client.close());
  const producer = client.producer({ deliveryTimeoutMs: 50 });
  await t.rejects(producer.send(5, 0, value('x'), BatchClass.CLIENT), { code: ErrorCode.DEADLINE });
});

t.test('while no leader is known, records wait without a look each millisecond', async (t) => {
  const clock = new ManualClock();
  let looks = 0;
  const topics = {
    locate: () => void looks++,
    known: () => undefined,
    onChange: () => () => {},
    ask: () => Promise.resolve({ producerId: 1, producerEpoch: 0 }),
  } as unknown as TopicDirectory;
  const callers = { to: () => t.fail('nobody to call') as never };
  const producer = new Producer({ ...nodeRuntime(new MemoryLogger()), clock }, callers, topics);
  const sent = producer.send(5, 0, value('x'), BatchClass.CLIENT);
  await clock.advance(1_000);
  t.ok(looks < 10, `${looks} looks in a second`);
  producer.close();
  await t.rejects(sent, { code: ErrorCode.CANCELLED });
});

/** A directory of one topic whose broker never answers, and the clock that it all goes by. */
function silentBroker(options: ProducerOptions = {}): { clock: ManualClock; producer: Producer } {
  const clock = new ManualClock();
  const topics = {
    locate: () => ({ host: '127.0.0.1', port: 1 }),
    known: () => undefined,
    stale: () => {},
    onChange: () => () => {},
    ask: () => Promise.resolve({ producerId: 1, producerEpoch: 0 }),
  } as unknown as TopicDirectory;
  const callers = { to: () => ({ call: () => new Promise(() => {}) }) as never };
  const producer = new Producer({ ...nodeRuntime(new MemoryLogger()), clock }, callers, topics, options);
  return { clock, producer };
}

t.test('who waited for room has the delivery timeout once, not twice', async (t) => {
  const { clock, producer } = silentBroker({ deliveryTimeoutMs: 1_000, bufferBytesMax: 1_024 });
  const ends: number[] = [];
  const send = (): Promise<unknown> =>
    producer.send(5, 0, { value: new Uint8Array(900) }, BatchClass.CLIENT).catch(() => ends.push(clock.monotonicMs()));
  const startMs = clock.monotonicMs();
  const sent = [send()];
  await clock.advance(900);
  sent.push(send());
  await clock.advance(100);
  t.same(ends, [startMs + 1_000], 'the first makes room for the second');
  await clock.advance(900);
  await Promise.all(sent);
  t.same(ends, [startMs + 1_000, startMs + 1_900]);
  producer.close();
});

t.test('a flush has an end when one is wanted', async (t) => {
  const { clock, producer } = silentBroker();
  const sent = producer.send(5, 0, value('x'), BatchClass.CLIENT);
  let isOver = false;
  const flushed = producer.flush(5_000).then(() => {
    isOver = true;
  });
  await clock.advance(4_999);
  t.notOk(isOver);
  await clock.advance(1);
  await flushed;
  producer.close();
  await t.rejects(sent, { code: ErrorCode.OUTCOME_UNKNOWN }, 'it may have been stored');
});

t.test('a producer that never awaits is told so before memory ends', async (t) => {
  const { producer } = silentBroker({ bufferBytesMax: 1_000_000 });
  const codes = new Map<unknown, number>();
  const large = { value: new Uint8Array(999_000) };
  const sent = Array.from({ length: 100 }, () =>
    producer.send(5, 0, large, BatchClass.CLIENT).catch((error) => {
      codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
    }),
  );
  t.ok(producer.bufferedBytes <= 1_000_000);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(codes.get(ErrorCode.BUSY), 32, '64 MiB wait');
  producer.close();
  await Promise.all(sent);
  t.equal(codes.get(ErrorCode.CANCELLED), 68, 'the others were surely not stored');
});

t.test('records for a topic or a partition that is not there fail soon', async (t) => {
  const { client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('small', 1, false);
  const producer = client.producer();
  await t.rejects(producer.send(777, 0, value('x'), BatchClass.CLIENT), { code: ErrorCode.NOT_FOUND, message: /777/ });
  await t.rejects(producer.send(topicId, 3, value('x'), BatchClass.CLIENT), {
    code: ErrorCode.NOT_FOUND,
    message: /"small" has 1 partitions, and no partition 3/,
  });
  t.equal((await producer.send(topicId, 0, value('x'), BatchClass.CLIENT)).offset, 1);
});

t.test('options that make no sense are refused', (t) => {
  const wrong = { code: ErrorCode.INVALID };
  t.throws(() => silentBroker({ lingerMs: 6 }), { ...wrong, message: /lingerMs is 6: .* 0 to 5/ });
  t.throws(() => silentBroker({ batchBytes: 0 }), wrong);
  t.throws(() => silentBroker({ deliveryTimeoutMs: Number.NaN }), wrong);
  t.throws(() => silentBroker({ bufferBytesMax: -1 }), wrong);
  t.throws(() => silentBroker({ compression: 'zip' as never }), { ...wrong, message: /'none' or 'gzip'/ });
  t.end();
});
