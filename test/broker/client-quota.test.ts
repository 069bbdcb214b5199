import fc from 'fast-check';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { ClientQuota, noQuota, throttleMsMax } from '../../src/broker/client-quota.js';
import { fetch, produce } from '../../src/wire/methods.js';
import { brokerAndClient } from '../support/broker-node.js';
import { batchOf } from '../support/produce-payload.js';

const rates = { perClient: 1_000, clients: new Map([['fast', 1_000_000]]) };

t.test('a second of it at once is free; beyond, answers are late by what is owed', (t) => {
  const quota = new ClientQuota(rates, 'produce quota');
  t.equal(quota.take('a', 1_000, 0), 0);
  t.equal(quota.take('a', 500, 0), 500);
  t.equal(quota.take('b', 1_000, 0), 0, 'clients do not share');
  t.equal(quota.take('fast', 900_000, 0), 0, 'some have another rate');
  t.equal(quota.debtMs('a', 500), 0, 'time pays');
  t.equal(quota.take('a', 1_000_000, 500), throttleMsMax, 'an answer is not late for ever');
  t.equal(quota.throttled, 2);
  t.end();
});

t.test('whoever does not wait for answers is refused, with the limit and when to come back', (t) => {
  const quota = new ClientQuota(rates, 'produce quota');
  quota.take('a', 20_000, 0);
  t.throws(() => quota.check('a', 0), {
    code: ErrorCode.BUSY,
    message: /client "a" .* 1000 bytes a second \(produce quota\) for 19 s/,
    retryAfterMs: 14_001,
  });
  quota.check('a', 14_001);
  quota.check('b', 0);
  t.equal(quota.refused, 1);
  t.end();
});

t.test('without a quota nothing is counted; with one, memory is bounded', (t) => {
  const none = new ClientQuota(noQuota, 'x');
  t.equal(none.take('a', 2 ** 50, 0), 0);
  t.equal(none.clients, 0);
  const quota = new ClientQuota(rates, 'x');
  for (let i = 0; i < 30_000; i++) quota.take(`client-${i}`, 5_000, i);
  t.ok(quota.clients <= 10_000);
  t.end();
});

t.test('who waits for late answers never takes more than the rate and one second more', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 4_000 }), { minLength: 1, maxLength: 100 }), (sizes) => {
      const quota = new ClientQuota(rates, 'x');
      let nowMs = 0;
      let bytes = 0;
      for (const size of sizes) {
        quota.check('a', nowMs);
        bytes += size;
        nowMs += quota.take('a', size, nowMs);
      }
      return bytes <= 1_000 + nowMs + 1;
    }),
  );
  t.end();
});

t.test('a broker holds its clients to it', async (t) => {
  const { node, client } = await brokerAndClient(t, {
    produceQuota: { perClient: 400_000, clients: new Map() },
    fetchQuota: { perClient: 350_000, clients: new Map() },
  });
  const { topicId } = await client.topics.create('limited', 1, false);
  const caller = client.connections.to(node.address);
  const send = (bytes: number): Promise<unknown> =>
    caller.call(produce, { topicId, partition: 0 }, { payload: [batchOf([{ value: new Uint8Array(bytes) }])] });
  const { clock } = client.runtime;
  const beganMs = clock.monotonicMs();
  await send(390_000);
  await send(90_000);
  // Nothing here can be early: 480 kB at 400 kB/s, of which one second is free.
  t.ok(clock.monotonicMs() - beganMs >= 190);
  const place = { topicId, partition: 0, offset: 1 };
  const read = async (): Promise<number> => {
    const { message } = await caller.call(fetch, { partitions: [place], bytesMax: 300_000 });
    return message.partitions[0]!.payloadBytes!;
  };
  const readMs = clock.monotonicMs();
  t.ok((await read()) + (await read()) > 700_000);
  t.ok(clock.monotonicMs() - readMs >= 100, 'the second one waited for the first');
  const flood = Array.from({ length: 12 }, () => send(390_000).catch((error) => error));
  const refused = await Promise.race([Promise.all(flood.slice(8)), flood[0]]);
  t.match(refused, new Array(4).fill({ code: ErrorCode.BUSY, message: /"tester" .* 400000 bytes a second/ }));
});
