import t from 'tap';
import { isTaskdError } from '../../../src/base/errors.js';
import { failedAgain, failureHeader, readFailure, writeFailure } from '../../../src/client/consumer/failure.js';
import { readTopic } from '../../../src/client/consumer/read-topic.js';
import { DeadRecords } from '../../../src/client/dead-records.js';
import { DeadReplay } from '../../../src/client/dead-replay.js';
import { DeadTopic } from '../../../src/client/dead-topic.js';
import { type QueueNetwork, TopicProducer } from '../../../src/client/topic-producer.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import { BrokerNode, ClientKit } from '../../support/broker-node.js';

const address = { host: '127.0.0.1', port: 7_402 };
const group = 'billing';
const deadTopic = 'dlq.billing.orders';
const letters = 12;

function networkOf(runtime: Runtime): QueueNetwork {
  const { connections, topics } = new ClientKit(runtime, address);
  return { runtime, callers: connections, topics };
}

/** Dead letters as consumers leave them. */
async function setUp(network: QueueNetwork): Promise<void> {
  const producer = new TopicProducer(network);
  for (const name of ['orders', deadTopic]) await network.topics.create(name, 2, true);
  for (let i = 0; i < letters; i++) {
    const failure = failedAgain(undefined, group, { topic: 'orders', partition: i % 2, offset: i }, 'no', i);
    const headers = { [failureHeader]: writeFailure(failure) };
    await producer.send(deadTopic, { value: `${i}`, headers, partition: i % 2 });
  }
}

/** Copies in the retry topic, by the letter that they are of. */
async function count(network: QueueNetwork, copies: Map<string, number>): Promise<void> {
  await readTopic(network, 'retry.billing.orders', {}, ({ headers }) => {
    const note = headers[failureHeader];
    const of = note === undefined ? undefined : readFailure(note)?.replayOf;
    if (of !== undefined) copies.set(of, (copies.get(of) ?? 0) + 1);
  });
}

/** Replays that die at any point, and come back; in the end each letter has one copy. */
async function runSeed(seed: number): Promise<{ copies: Map<string, number>; lives: number; isDone: boolean }> {
  const world = new SimWorld(seed);
  const { random } = world;
  const broker = world.process('broker');
  const replayer = world.process('replayer');
  const copies = new Map<string, number>();
  let isReady = false;
  let isCalm = false;
  let isOver = false;
  broker.start(async (runtime) => {
    await BrokerNode.start(runtime, '/data', { port: address.port });
  });
  world.process('setup').start(async (runtime) => {
    await setUp(networkOf(runtime));
    isReady = true;
  });
  await world.run({ untilMs: 60_000, until: () => isReady });
  replayer.start(async (runtime) => {
    const network = networkOf(runtime);
    while (!isOver) {
      try {
        const left = await new DeadRecords(network).replay(group, {}, { perSecond: 5 });
        if (isCalm && left.skipped.length === 0) {
          await count(network, copies);
          isOver = true;
        }
      } catch (error) {
        if (!isTaskdError(error)) throw error;
      }
      await new Promise<void>((resolve) => runtime.clock.timer(isCalm ? 30_000 : 300, resolve));
    }
  });
  for (let kills = 0; kills < 8; kills++) {
    await world.run({ untilMs: world.nowMs + random.unit() * 2_500 });
    const victim = random.below(4) === 0 ? broker : replayer;
    victim.kill({ powerLoss: random.below(2) === 0 });
    // After two minutes the letters of one that died are anybody's again.
    const isLong = victim === replayer && random.below(4) === 0;
    await world.run({ untilMs: world.nowMs + (isLong ? 121_000 : random.unit() * 300) });
    victim.restart();
  }
  isCalm = true;
  const isDone = await world.run({ untilMs: world.nowMs + 600_000, until: () => isOver });
  return { copies, lives: replayer.lives, isDone };
}

t.test('replays that die at any point give each letter back once', async (t) => {
  for (let seed = 1; seed <= 2; seed++) {
    const { copies, lives, isDone } = await runSeed(seed);
    t.ok(isDone, `seed ${seed} comes to an end`);
    t.equal(copies.size, letters, `seed ${seed}: all went, over ${lives} lives`);
    t.same(
      [...copies].filter(([, count]) => count !== 1),
      [],
      `seed ${seed}: once each`,
    );
  }
});

for (const [when, kind, isMarked] of [
  ['after it said what it would do', 'replaying', true],
  ['after its copies were stored', 'replayed', false],
] as const) {
  t.test(`a replay that dies ${when} is finished by the next, once its time is over`, async (t) => {
    const world = new SimWorld(1);
    const copies = new Map<string, number>();
    const outcomes: { replayed: number; skipped: number }[] = [];
    let isOver = false;
    world.process('broker').start(async (runtime) => {
      await BrokerNode.start(runtime, '/data', { port: address.port });
    });
    world.process('client').start(async (runtime) => {
      const network = networkOf(runtime);
      await setUp(network);
      const topic = new DeadTopic(network, group, deadTopic);
      const mark = topic.mark.bind(topic);
      topic.mark = async (producer, partition, of) => {
        const place = of.kind !== kind || isMarked ? await mark(producer, partition, of) : undefined;
        if (of.kind === kind || place === undefined) throw new Error('dies here');
        return place;
      };
      const replay = new DeadReplay(network, group, topic, 100);
      await topic.waiting({}, (dead, { partition, offset }) => replay.add({ dead, partition, offset }));
      for (let partition = 0; partition < 2; partition++) await replay.flush().catch(() => {});
      for (const waitMs of [0, 121_000, 0]) {
        await new Promise<void>((resolve) => runtime.clock.timer(waitMs, resolve));
        const { replayed, skipped } = await new DeadRecords(network).replay(group);
        outcomes.push({ replayed: replayed.length, skipped: skipped.length });
      }
      await count(network, copies);
      isOver = true;
    });
    t.ok(await world.run({ untilMs: 300_000, until: () => isOver }));
    t.same(outcomes, [
      { replayed: 0, skipped: letters },
      { replayed: letters, skipped: 0 },
      { replayed: 0, skipped: 0 },
    ]);
    t.same([...copies.values()], new Array(letters).fill(1), 'once each');
  });
}
