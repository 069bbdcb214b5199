import t from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { BatchClass, headerBytes } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import { Fetcher } from '../../src/client/fetcher.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { BrokerNode, ClientKit } from '../support/broker-node.js';

const address = { host: '127.0.0.1', port: 7_401 };
const partitions = 2;
const recordsEach = 200;
const seeds = 6;

/** What one seed did, and everything that was wrong with it. */
interface Report {
  readonly wrong: string[];
  readonly kills: number;
  readonly acknowledged: number;
}

/** Producers send, the broker is killed and loses power at any point, connections are cut; then all is read again. */
async function runSeed(seed: number): Promise<Report> {
  const world = new SimWorld(seed);
  const { random } = world;
  const broker = world.process('broker');
  const client = world.process('client');
  const outcomes = new Map<string, string>();
  const stored: string[][] = Array.from({ length: partitions }, () => []);
  const wrong: string[] = [];
  let kills = 0;
  let isSent = false;
  let isRead = false;

  broker.start(async (runtime) => {
    await BrokerNode.start(runtime, '/data', { port: address.port });
  });
  client.start(async (runtime) => {
    const kit = new ClientKit(runtime, address);
    const { topicId } = await kit.topics
      .create('sim', partitions, true)
      .catch(() => kit.topics.create('sim', partitions, true));
    const producer = kit.producer({ batchBytes: 600 });
    const send = async (partition: number, from: number): Promise<void> => {
      for (let i = from; i < recordsEach; i += 10) {
        const name = `${partition}:${i}`;
        await producer.send(topicId, partition, { value: Buffer.from(name) }, BatchClass.CLIENT).then(
          () => outcomes.set(name, 'ok'),
          (error) => outcomes.set(name, isTaskdError(error, ErrorCode.OUTCOME_UNKNOWN) ? 'unknown' : 'failed'),
        );
        await new Promise<void>((resolve) => runtime.clock.timer(random.below(80), resolve));
      }
    };
    const sends: Promise<void>[] = [];
    for (let partition = 0; partition < partitions; partition++) {
      for (let from = 0; from < 10; from++) sends.push(send(partition, from));
    }
    await Promise.all(sends);
    isSent = true;
    let open = partitions;
    for (let partition = 0; partition < partitions; partition++) {
      const place = { topicId, partition, offset: 0 };
      const names = stored[partition]!;
      const fetcher = new Fetcher(runtime, kit.connections, kit.topics, place, {
        batch: (header, bytes) => {
          readRecords(bytes.subarray(headerBytes), header.baseOffset, header.recordCount, (record) => {
            names.push(Buffer.from(record.value!).toString());
          });
        },
        caughtUp: () => {
          fetcher.close();
          open--;
          if (open === 0) isRead = true;
        },
        lost: (_start, error) => wrong.push(error.message),
      });
    }
  });
  const disturb = (): void => {
    if (isSent) return;
    const die = random.below(10);
    if (die < 4) {
      kills++;
      broker.killAfterOperations(random.below(20), { powerLoss: random.below(2) === 0 });
      world.after(20 + random.below(200), () => broker.restart());
    } else if (die < 7) world.network.cut('broker', 'client');
    else if (die < 8) broker.pause(random.below(400));
    world.after(60 + random.below(300), disturb);
  };
  world.after(100 + random.below(200), disturb);
  const isDone = await world.run({ untilMs: 400_000, until: () => isRead });
  if (!isDone) wrong.push('it never came to an end');

  const times = new Map<string, number>();
  for (const name of stored.flat()) times.set(name, (times.get(name) ?? 0) + 1);
  for (const [name, outcome] of outcomes) {
    const count = times.get(name) ?? 0;
    const isRight = outcome === 'ok' ? count === 1 : outcome === 'unknown' ? count <= 1 : count === 0;
    if (!isRight) wrong.push(`${name} was ${outcome} and is stored ${count} times`);
  }
  return { wrong, kills, acknowledged: [...outcomes.values()].filter((outcome) => outcome === 'ok').length };
}

t.test('under kills, power loss and cuts: acknowledged is stored once, refused is not', async (t) => {
  let kills = 0;
  let acknowledged = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const report = await runSeed(seed);
    t.same(report.wrong, [], `seed ${seed}`);
    kills += report.kills;
    acknowledged += report.acknowledged;
  }
  t.ok(kills > 10, `${kills} kills`);
  t.equal(acknowledged, seeds * partitions * recordsEach, 'all of them, as no outage was long');
});
