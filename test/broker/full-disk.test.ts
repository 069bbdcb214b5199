import t from 'tap';
import { ErrorCode, isTaskdError, TaskdError } from '../../src/base/errors.js';
import { BatchClass } from '../../src/batch/header.js';
import type { SimDisk } from '../../src/runtime/sim/sim-disk.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { createTopic } from '../../src/wire/methods.js';
import { BrokerNode, ClientKit } from '../support/broker-node.js';
import { readAll } from '../support/read-all.js';

const address = { host: '127.0.0.1', port: 7_402 };
const deliveryTimeoutMs = 5_000;

function setFree(disk: SimDisk, bytes: number): void {
  disk.limitBytes = Number.POSITIVE_INFINITY;
  const { freeBytes, totalBytes } = disk.space();
  disk.limitBytes = totalBytes - freeBytes + bytes;
}

/** Runs `life` with a client of a broker whose disk it may fill. */
async function withBroker(life: (client: ClientKit, disk: SimDisk) => Promise<void>): Promise<void> {
  const world = new SimWorld(1);
  const host = world.process('broker');
  let end: unknown = 'open';
  host.start(async (runtime) => {
    await BrokerNode.start(runtime, '/data', { port: address.port });
  });
  world.process('client').start(async (runtime) => {
    const client = new ClientKit(runtime, address);
    try {
      await life(client, host.disk);
      end = 'done';
    } catch (error) {
      end = error;
    }
    await client.close();
  });
  await world.run({ untilMs: 120_000, until: () => end !== 'open' });
  if (end !== 'done') throw end;
}

/** Larger than what a log writes ahead, so it needs room of its own. */
const record = (name: string) => ({ value: Buffer.from(name.padEnd(300_000)) });

for (const flushIntervalMs of [0, 1_000]) {
  const what = flushIntervalMs === 0 ? 'synced at once' : 'with a flush interval';
  t.test(`${what}: a full disk is named to whoever waits for it, and what waited is stored when there is room`, (t) =>
    withBroker(async (client, disk) => {
      const config = { flushIntervalMs };
      const { topic } = await client.topics.ask(createTopic, { name: 'target', partitions: 1, replicas: 1, config });
      const { topicId } = await client.topics.named('target');
      t.equal(topic?.config?.flushIntervalMs, flushIntervalMs);
      const producer = client.producer({ deliveryTimeoutMs });
      const send = (name: string) => producer.send(topicId, 0, record(name), BatchClass.CLIENT);
      const problem = (name: string): Promise<TaskdError> =>
        send(name).then(
          () => new TaskdError(ErrorCode.INTERNAL, 'it was stored'),
          (error) => error,
        );
      await send('before');
      setFree(disk, 0);
      // The broker takes it, since it learns only from the write that there is no room.
      const first = problem('waits');
      const behind = problem('behind it');
      const unknown = await first;
      t.ok(isTaskdError(unknown, ErrorCode.OUTCOME_UNKNOWN), String(unknown));
      t.match(unknown.message, /the disk is full; free some space/);
      await behind;
      const refused = await problem('refused');
      t.ok(isTaskdError(refused, ErrorCode.STORAGE_FULL), String(refused));
      setFree(disk, 1024 ** 3);
      await send('after');
      await new Promise<void>((resolve) => client.runtime.clock.timer(2 * flushIntervalMs, resolve));
      const names = (await readAll(client, topicId, 0)).texts.map((each) => each.trim());
      t.same(names, ['before', 'waits', 'behind it', 'after']);
    }),
  );
}
