import t from 'tap';
import { delayTopicName, lastDelayLevel } from '../../../src/base/delay-level.js';
import { BatchClass } from '../../../src/batch/header.js';
import { originOf } from '../../../src/broker/delay/delayed-record.js';
import { cancelRecord } from '../../../src/broker/delay/fire-records.js';
import { DelayedSends } from '../../../src/client/delayed.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { cancelDelayed, openDelayLevel } from '../../../src/wire/methods.js';
import { BrokerNode, brokerAndClient, ClientKit } from '../../support/broker-node.js';
import { RawPeer } from '../../support/raw-peer.js';

const yearMs = 366 * 86_400_000;

t.test('from a raw socket: a cancel names a time that a record can have', async (t) => {
  const { node, client } = await brokerAndClient(t);
  await client.topics.ask(openDelayLevel, { level: 0 });
  const raw = await RawPeer.greeted(node.address);
  t.teardown(() => raw.socket.destroy());
  const cancel = (deliverAtMs: number) =>
    raw.ask(cancelDelayed.id, taskd.CancelDelayedRequest, { partition: 0, level: 0, offset: 5, deliverAtMs });
  t.equal(await cancel(Number.MAX_SAFE_INTEGER), 'INVALID');
  t.equal(await cancel(Number.MAX_SAFE_INTEGER - 40_000), 'INVALID');
  t.equal(await cancel(999_999_999_999_999), 'INVALID', 'the most that the text of an id can say');
  t.equal(await cancel(Date.now() + yearMs + 3_600_000), 'INVALID');
  t.equal(await cancel(Date.now() + yearMs), 'ok');
  t.equal(await cancel(0), 'ok');
});

t.test('a Cancel in the log with an absurd time harms nobody, now or at the next start', async (t) => {
  const { node, client, folder, runtime } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('target', 1, false);
  await client.topics.ask(openDelayLevel, { level: lastDelayLevel });
  const last = await client.topics.named(delayTopicName(lastDelayLevel));
  for (let partition = 0; partition < last.partitions; partition++) {
    const log = node.broker.taskLog(last.topicId, partition);
    for (const dueMs of [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 30_000, 2 ** 50]) {
      const cancel = { origin: originOf(0, dueMs % 1_000), dueMs, carried: dueMs === 2 ** 50 };
      await log.append([cancelRecord(cancel)], BatchClass.OWNER);
    }
  }
  await client.close();
  await node.stop();
  const again = await BrokerNode.start(runtime, folder);
  t.teardown(() => again.stop());
  const kit = new ClientKit(runtime, again.address);
  t.teardown(() => kit.close());
  const sends = new DelayedSends({ runtime, callers: kit.connections, topics: kit.topics });
  const stored = await sends.send(kit.producer(), topicId, 0, { value: Buffer.from('x') }, Date.now() + 3_600_000);
  t.equal(await sends.cancel(stored.delayedId!), true, 'delayed records are served');
});
