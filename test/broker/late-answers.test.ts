import t from 'tap';
import { BatchClass } from '../../src/batch/header.js';
import { LateAnswers } from '../../src/broker/late-answers.js';
import { Timers } from '../../src/timer/timers.js';
import { fetch, produce } from '../../src/wire/methods.js';
import { brokerAndClient } from '../support/broker-node.js';
import { ManualClock } from '../support/manual-clock.js';
import { batchOf } from '../support/produce-payload.js';

t.test('each answer leaves once: at its time, or at the end with all others', async (t) => {
  const clock = new ManualClock();
  const late = new LateAnswers(new Timers(clock));
  const left: string[] = [];
  const leave = (lateMs: number, name: string): void => late.after(lateMs, () => left.push(name));
  leave(0, 'now');
  leave(50, 'soon');
  leave(500, 'b');
  leave(300, 'a');
  t.same(left, ['now']);
  await clock.advance(100);
  t.same(left, ['now', 'soon']);
  late.stop();
  t.same(left, ['now', 'soon', 'b', 'a']);
  leave(1_000, 'after the end');
  await clock.advance(10_000);
  t.same(left, ['now', 'soon', 'b', 'a', 'after the end']);
});

t.test('a broker that stops sends the answers that are late for a quota', async (t) => {
  const rates = { perClient: 1_000, clients: new Map<string, number>() };
  const { node, client } = await brokerAndClient(t, { produceQuota: rates, fetchQuota: rates });
  const { topicId } = await client.topics.create('target', 1, false);
  const caller = client.connections.to(node.address);
  const payload = [batchOf([{ value: new Uint8Array(10_000) }])];
  const batchClass = BatchClass.CLIENT;
  const stored = caller.call(produce, { topicId, partition: 0, batchClass }, { payload });
  const partitions = [{ topicId, partition: 0, offset: 1 }];
  const look = (): Promise<number> =>
    caller.call(fetch, { partitions, waitMs: 20_000, bytesMin: 1 }).then(({ payload }) => payload.length);
  t.ok((await look()) > 10_000, 'it is on disk; the answer to who has stored it is late');
  const late = look();
  // On the same connection, so behind the fetch.
  await client.topics.create('other', 1, false);
  const stopping = node.broker.stop();
  t.match((await stored).message, { baseOffset: 1 });
  t.ok((await late) > 10_000);
  await stopping;
});
