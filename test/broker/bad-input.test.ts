import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { describeTopics, fetch, listOffsets, type Method, produce } from '../../src/wire/methods.js';
import { brokerAndClient } from '../support/broker-node.js';
import { altered, batchOf } from '../support/produce-payload.js';

const good = batchOf([{ value: Buffer.from('a') }]);

t.test('whatever is sent, the answer is an error and the next good request is served', async (t) => {
  const { node, client, log } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('target', 1, false);
  const caller = client.connections.to(node.address);
  const send = (payload: Uint8Array, request: taskd.IProduceRequest = {}) =>
    caller.call(produce, { topicId, partition: 0, ...request }, { payload: [payload] });
  const end = async (): Promise<number> => {
    const spec = taskd.OffsetSpec.OFFSET_SPEC_END;
    return (await caller.call(listOffsets, { topicId, partition: 0, spec })).message.offset;
  };
  const before = await end();

  await t.rejects(send(new Uint8Array(0)), { code: ErrorCode.INVALID });
  await t.rejects(send(good, { topicId: 999 }), { code: ErrorCode.NOT_FOUND });
  await t.rejects(send(good, { partition: 0xffff_ffff }), { code: ErrorCode.NOT_FOUND });
  await t.rejects(send(good, { topicId: 0 }), { code: ErrorCode.FORBIDDEN });
  await t.rejects(send(good, { batchClass: 7 as taskd.BatchClass }), { code: ErrorCode.INVALID });
  await t.rejects(send(good, { batchClass: taskd.BatchClass.BATCH_CLASS_OWNER }), { code: ErrorCode.INVALID });
  await t.rejects(send(altered(good, 82, 16, 0x08)), { code: ErrorCode.INVALID }, 'a control batch');
  await t.rejects(send(altered(good, 16, 32, 0x7fff_ffff)), { code: ErrorCode.TOO_LARGE });
  await t.rejects(send(altered(good, 72, 32, 60_000)), { code: ErrorCode.INVALID }, 'absurd count');
  const unknown = altered(altered(altered(good, 48, 64, 77), 56, 64, 9), 64, 64, 9);
  await t.rejects(send(unknown), { code: ErrorCode.UNKNOWN_PRODUCER });

  const random = new SeededRandom(4);
  for (let i = 0; i < 300; i++) {
    const garbage = i % 2 === 0 ? random.bytes(random.below(2_000)) : Buffer.from(good);
    if (i % 2 === 1) garbage[random.below(garbage.length)]! ^= 1 << random.below(8);
    // A flipped bit in the replica-local fields is nobody's business: those are written by the broker.
    await send(garbage).catch((error) => t.match(error, { name: 'TaskdError' }));
  }
  const after = await end();
  t.ok(after - before < 40, 'hardly any of it was a batch');
  t.equal((await send(good)).message.baseOffset, after);
  t.same(
    log.lines.filter(({ level }) => level === 'error'),
    [],
  );
});

t.test('absurd fetches', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('target', 1, false);
  const caller = client.connections.to(node.address);
  const ask = async (request: taskd.IFetchRequest) => (await caller.call(fetch, request)).message.partitions;
  await t.rejects(ask({}), { code: ErrorCode.INVALID });
  await t.rejects(ask({ partitions: new Array(2_000).fill({ topicId }) }), { code: ErrorCode.INVALID });
  const limits = { bytesMax: 0xffff_ffff, bytesMin: 0xffff_ffff, waitMs: 1 };
  const far = { topicId, partition: 0, offset: Number.MAX_SAFE_INTEGER };
  t.match(await ask({ ...limits, partitions: [far] }), [{ error: { code: ErrorCode.OFFSET_OUT_OF_RANGE } }]);
  const absent = { topicId: 4_000_000_000, partition: 4_000_000_000, offset: 0 };
  t.match(await ask({ ...limits, partitions: [absent] }), [{ error: { code: ErrorCode.NOT_FOUND } }]);
  const both = await ask({ ...limits, partitions: [absent, { topicId, partition: 0, offset: 0, bytesMax: 1 }] });
  t.match(both, [{ payloadBytes: 0 }, { error: null, highWatermark: 1 }], 'one bad partition does not hide another');
  t.ok(both[1]!.payloadBytes! > 0);
  await t.rejects(caller.call(describeTopics, { names: new Array(1_001).fill('x') }), { code: ErrorCode.INVALID });
  await t.rejects(caller.call(listOffsets, { topicId, partition: 0, spec: 9 as taskd.OffsetSpec }), {
    code: ErrorCode.INVALID,
  });
});

t.test('a request that is another message altogether', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const caller = client.connections.to(node.address);
  for (const method of [produce, fetch, listOffsets, describeTopics]) {
    const strange = { ...method, request: taskd.TopicCreated } as unknown as Method<
      unknown,
      unknown,
      taskd.ITopicCreated
    >;
    const request = { topicId: 3, name: '\u0000\u00ff'.repeat(50), partitions: 9, internal: true };
    await caller.call(strange, request).catch((error) => t.match(error, { name: 'TaskdError' }));
  }
  const { message } = await caller.call(describeTopics, {});
  t.same(
    message.topics.map(({ name }) => name),
    ['__cluster', '__groups'],
  );
});
