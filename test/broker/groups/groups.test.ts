import t from 'tap';
import { ErrorCode, isTaskdError } from '../../../src/base/errors.js';
import { partitionOf } from '../../../src/base/place.js';
import { BatchClass } from '../../../src/batch/header.js';
import { Groups } from '../../../src/client/groups.js';
import { nodeRuntime } from '../../../src/runtime/node/node-runtime.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import {
  alterTopic,
  commitOffsets,
  deleteTopic,
  describeGroup,
  listGroups,
  removeGroup,
  resetOffsets,
} from '../../../src/wire/methods.js';
import { BrokerNode, brokerAndClient, ClientKit, temporaryFolder } from '../../support/broker-node.js';
import { MemoryLogger } from '../../support/rpc-pair.js';
import { TestMember, type TestMemberOptions } from './test-member.js';

const partitions = 6;

/** Records in each partition from the beginning: nobody commits a place beyond them. */
const records = 100;

async function withTopic(t: { teardown(callback: () => unknown): void }) {
  const { node, client, runtime, log } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('orders', partitions, false);
  const producer = client.producer();
  const sends: Promise<unknown>[] = [];
  for (let i = 0; i < partitions * records; i++) {
    sends.push(producer.send(topicId, i % partitions, { value: Buffer.from('x') }, BatchClass.CLIENT));
  }
  await Promise.all(sends);
  const caller = client.connections.to(node.address);
  const member = (memberId: string, options: Partial<TestMemberOptions> = {}): TestMember => {
    const made = new TestMember(runtime, node.address, { group: 'mailers', memberId, topics: ['orders'], ...options });
    t.teardown(() => made.close());
    return made;
  };
  return { node, client, runtime, topicId, caller, member, log };
}

const held = (member: TestMember): number[] => [...member.held].map(partitionOf).sort((a, b) => a - b);

t.test('members share the partitions, and commit what they own', async (t) => {
  const { topicId, member } = await withTopic(t);
  const a = member('a').join();
  await a.until(() => a.held.size === 6);
  t.equal(a.heartbeatMs, 1_000);
  t.same(await a.commit(topicId, { 0: 10, 5: 50 }), [0, 0]);
  const b = member('b').join();
  await b.until(() => b.held.size === 3);
  t.equal(a.held.size, 3);
  t.same([...held(a), ...held(b)].sort(), [0, 1, 2, 3, 4, 5]);
  t.same(a.standby, []);
  const [mine] = held(a) as [number];
  const [theirs] = held(b) as [number];
  t.same(await a.commit(topicId, { [mine]: 11 }), [0]);
  t.same(await a.commit(topicId, { [theirs]: 99 }), [ErrorCode.MEMBER_FENCED]);
  t.same(await b.commit(topicId, { [theirs]: 7 }, 'a note'), [0]);
  t.same(await b.commit(topicId, { [theirs]: 7 }, 'a note'), [0], 'again is the same');
  const offsets = await b.offsets();
  t.match(offsets, { [mine]: 11, [theirs]: 7 });
  await b.leave();
  await a.until(() => a.held.size === 6);
  await t.rejects(b.commit(topicId, { [theirs]: 8 }), { code: ErrorCode.UNKNOWN_MEMBER });
  t.equal(b.isEnded, true);
  t.equal(b.ended, undefined);
});

t.test('a partition waits until its owner has let go', async (t) => {
  const { topicId, member } = await withTopic(t);
  const a = member('a').join();
  await a.until(() => a.held.size === 6);
  a.isObedient = false;
  const { epoch } = a;
  const b = member('b').join();
  await b.until(() => b.standby.length === 3);
  await a.until(() => a.epoch > epoch);
  t.equal(b.held.size, 0);
  t.same(await a.commit(topicId, { 0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1 }), [0, 0, 0, 0, 0, 0], 'it finishes its work');
  const kept = new Set(b.standby);
  for (const place of kept) a.held.delete(place);
  // Said under the epoch before, it means nothing.
  const { epoch: now } = a;
  a.epoch = epoch;
  a.beat();
  a.epoch = now;
  t.same(await a.commit(topicId, Object.fromEntries([...kept].map((place) => [partitionOf(place), 2]))), [0, 0, 0]);
  a.beat();
  await b.until(() => b.held.size === 3);
  t.same(new Set(b.held), kept);
});

t.test('a member that does not let go is put out', async (t) => {
  const { topicId, member } = await withTopic(t);
  const a = member('a', { releaseTimeoutMs: 100, sessionTimeoutMs: 1_000 }).join();
  await a.until(() => a.held.size === 6);
  a.isObedient = false;
  // It lives, and shall begin nothing when the other one begins: it gets no more time, and what it got runs out.
  const beats = setInterval(() => a.beat(), 300);
  t.teardown(() => clearInterval(beats));
  const b = member('b').join();
  await b.until(() => b.held.size === 6);
  await a.until(() => a.isEnded);
  clearInterval(beats);
  t.match(a.ended, { code: ErrorCode.UNKNOWN_MEMBER, message: /did not let go of partitions within 100 ms/ });
  await t.rejects(a.commit(topicId, { 0: 5 }), { code: ErrorCode.UNKNOWN_MEMBER });
  a.join();
  await a.until(() => a.isEnded);
  t.match(a.ended, { code: ErrorCode.UNKNOWN_MEMBER }, 'its old epoch is worth nothing');
});

t.test('a static member that comes back has what it had, and its former process is told', async (t) => {
  const { topicId, member } = await withTopic(t);
  const a = member('a1', { instanceId: 'a' }).join();
  const b = member('b').join();
  await b.until(() => a.held.size === 3 && b.held.size === 3);
  const before = held(a);
  const { pushes } = b;
  const again = member('a2', { instanceId: 'a' }).join();
  await again.until(() => again.held.size === 3);
  t.same(held(again), before);
  await a.until(() => a.isEnded);
  t.match(a.ended, { code: ErrorCode.MEMBER_FENCED });
  t.equal(b.pushes, pushes, 'nobody else notices');
  await t.rejects(a.commit(topicId, { [before[0]!]: 1 }), { code: ErrorCode.MEMBER_FENCED });
  a.epoch = 0;
  a.held.clear();
  a.join();
  await a.until(() => a.isEnded);
  t.match(a.ended, { code: ErrorCode.MEMBER_FENCED }, 'it does not take its place back');
  t.same(await again.commit(topicId, { [before[0]!]: 1 }), [0]);
});

t.test('after a restart of the broker members go on with what they had', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  let node = await BrokerNode.start(runtime, folder);
  const client = new ClientKit(runtime, node.address);
  const { topicId } = await client.topics.create('orders', partitions, false);
  await client.close();
  const { port } = node.address;
  // They don't beat, and the restart may take a while.
  const options = { group: 'mailers', topics: ['orders'], sessionTimeoutMs: 120_000 };
  const a = new TestMember(runtime, node.address, { ...options, memberId: 'a' }).join();
  const b = new TestMember(runtime, node.address, { ...options, memberId: 'b' }).join();
  await b.until(() => a.held.size === 3 && b.held.size === 3);
  const before = held(a);
  const { epoch } = a;
  t.same(await a.commit(topicId, { [before[0]!]: 1 }), [0]);
  await node.stop();
  await a.until(() => a.isEnded);
  node = await BrokerNode.start(runtime, folder, { port });
  t.teardown(async () => {
    await a.close();
    await b.close();
    await node.stop();
  });
  const pushes = a.pushes;
  do {
    a.join();
    await a.until(() => a.isEnded || a.pushes > pushes);
  } while (a.isEnded && isTaskdError(a.ended, ErrorCode.NOT_READY));
  t.notOk(a.isEnded, String(a.ended));
  t.equal(a.epoch, epoch);
  t.same(held(a), before);
  t.same(await a.commit(topicId, { [before[1]!]: 1 }), [0]);
  t.same(await a.offsets(), { [before[0]!]: 1, [before[1]!]: 1 });
  // One that claims what is not its own has lost its memory.
  b.held.add([...a.held][0]!);
  b.join();
  await b.until(() => b.isEnded);
  t.match(b.ended, { code: ErrorCode.UNKNOWN_MEMBER, message: /claimed partitions/ });
});

t.test('partitions that are added, topics that come later', async (t) => {
  const { client, member, caller } = await withTopic(t);
  const a = member('a', { topics: ['orders', 'later'] }).join();
  await a.until(() => a.held.size === 6);
  await client.topics.create('later', 2, false);
  await a.until(() => a.held.size === 8);
  a.join({ topics: ['later'] });
  await a.until(() => a.held.size === 2);
  t.equal(a.isEnded, false);
  await caller.call(alterTopic, { name: 'later', partitions: 5 });
  await a.until(() => a.held.size === 5);
  const { topicId } = await client.topics.named('later');
  t.same(await a.commit(topicId, { 0: 1, 4: 1 }), [0, 0]);
  a.isObedient = false;
  const b = member('b', { topics: ['later'] }).join();
  await b.until(() => b.standby.length === 2);
  await caller.call(deleteTopic, { name: 'later' });
  await b.until(() => b.standby.length === 0);
  t.same(await a.offsets(), {}, 'its offsets are forgotten, and nobody waits for anybody');
  t.same(await a.commit(topicId, { 0: 4 }), [ErrorCode.NOT_FOUND]);
});

t.test('what people ask', async (t) => {
  const { client, topicId, caller, member } = await withTopic(t);
  const producer = client.producer();
  for (let i = 0; i < 10; i++) await producer.send(topicId, 0, { value: Buffer.from('x') }, BatchClass.CLIENT);
  const a = member('a').join();
  await a.until(() => a.held.size === 6);
  await a.commit(topicId, { 0: 4 });
  const { message } = await caller.call(describeGroup, { group: 'mailers' });
  t.match(message, {
    summary: { group: 'mailers', state: taskd.GroupState.GROUP_STATE_STABLE, members: 1, assignor: 'sticky' },
    members: [{ memberId: 'a', clientId: 'a', topics: ['orders'], memberEpoch: a.epoch }],
  });
  t.match(message.offsets[0], { topic: 'orders', partition: 0, committed: 4, logEnd: 111, lag: 107, memberId: 'a' });
  t.match(message.offsets[1], { committed: null, lag: 101 });
  await t.rejects(caller.call(describeGroup, { group: 'nobody' }), { code: ErrorCode.NOT_FOUND });
  await t.rejects(caller.call(removeGroup, { group: 'mailers' }), { code: ErrorCode.CONFLICT, message: /1 members/ });
  const reset = (request: taskd.ResetOffsetsRequest.$Properties) =>
    caller.call(resetOffsets, { group: 'mailers', topic: 'orders', partitions: [0], ...request });
  await t.rejects(reset({ to: taskd.ResetTo.RESET_TO_START }), { code: ErrorCode.CONFLICT });
  await t.rejects(caller.call(commitOffsets, { group: 'mailers', offsets: [{ topicId, partition: 0, offset: 1 }] }), {
    code: ErrorCode.CONFLICT,
  });
  await a.leave();
  const dry = await reset({ to: taskd.ResetTo.RESET_TO_START, dryRun: true });
  t.match(dry.message.changes, [{ topicId, partition: 0, from: 4, to: 0 }]);
  t.match(await a.offsets(), { 0: 4 });
  await reset({ to: taskd.ResetTo.RESET_TO_END });
  t.match(await a.offsets(), { 0: 111 });
  await reset({ to: taskd.ResetTo.RESET_TO_OFFSET, offset: 1_000_000 });
  t.match(await a.offsets(), { 0: 111 });
  await reset({ to: taskd.ResetTo.RESET_TO_TIME, timeMs: 1 });
  t.match(await a.offsets(), { 0: 0 });
  const all = await reset({ partitions: [], to: taskd.ResetTo.RESET_TO_START });
  t.equal(all.message.changes.length, 6);
  await t.rejects(reset({ partitions: [6] }), { code: ErrorCode.NOT_FOUND });
  await t.rejects(reset({ topic: 'absent' }), { code: ErrorCode.NOT_FOUND });
  await t.rejects(reset({ to: 9 as taskd.ResetTo }), { code: ErrorCode.INVALID });
  for (const group of ['x', 'y', 'z']) {
    await caller.call(commitOffsets, { group, offsets: [{ topicId, partition: 0, offset: 1 }] });
  }
  const names = async (request: taskd.ListGroupsRequest.$Properties) =>
    (await caller.call(listGroups, request)).message.groups.map(({ group }) => group);
  t.same(await names({}), ['mailers', 'x', 'y', 'z']);
  t.same(await names({ after: 'mailers', limit: 2 }), ['x', 'y']);
  t.same(await names({ prefix: 'z' }), ['z']);
  await caller.call(removeGroup, { group: 'y' });
  t.same(await names({}), ['mailers', 'x', 'z']);
  await t.rejects(caller.call(removeGroup, { group: 'y' }), { code: ErrorCode.NOT_FOUND });
});

t.test('many commits at once cost few writes, and each is answered', async (t) => {
  const { topicId, member } = await withTopic(t);
  const a = member('a').join();
  await a.until(() => a.held.size === 6);
  const answers = await Promise.all(
    Array.from({ length: 600 }, (_, i) => a.commit(topicId, { [i % 6]: Math.floor(i / 6) + 1 })),
  );
  t.ok(answers.every(([code]) => code === 0));
  t.same(await a.offsets(), { 0: 100, 1: 100, 2: 100, 3: 100, 4: 100, 5: 100 });
});

t.test('what a member commits before it leaves counts, also when it waits for no answer', async (t) => {
  const { topicId, member } = await withTopic(t);
  const a = member('a').join();
  await a.until(() => a.held.size === 6);
  // The first is being written while the second waits its turn.
  const answers = [a.commit(topicId, { 0: 1 }), a.commit(topicId, { 1: 2 })];
  const left = a.leave();
  t.same(await Promise.all(answers), [[0], [0]]);
  await left;
  t.same(await a.offsets(), { 0: 1, 1: 2 });
});

t.test('a group that is too large for one answer is described in several', async (t) => {
  const { client, runtime, topicId, caller, member } = await withTopic(t);
  const first = member('first', { sessionTimeoutMs: 120_000 }).join();
  await first.until(() => first.held.size === 6);
  await first.commit(topicId, { 3: 1 });
  // Each of them takes 34 kB of an answer.
  const topics = Array.from({ length: 250 }, (_, i) => `topic-${i}`.padEnd(128, '-'));
  const names = Array.from({ length: 60 }, (_, i) => `m${String(i).padStart(2, '0')}`);
  const others = names.map((name) => member(name, { topics, sessionTimeoutMs: 120_000 }).join());
  for (const other of others) await other.until(() => other.pushes > 0);
  const answers: taskd.DescribeGroupResponse[] = [];
  const bytes: number[] = [];
  const from = { afterMember: '', afterTopicId: 0, afterPartition: 0 };
  for (let more = true; more; ) {
    const { message } = await caller.call(describeGroup, { group: 'mailers', ...from });
    answers.push(message);
    bytes.push(taskd.DescribeGroupResponse.encode(message).finish().length);
    more = message.more;
    from.afterMember = message.members.at(-1)?.memberId ?? from.afterMember;
    from.afterTopicId = message.offsets.at(-1)?.topicId ?? 0;
    from.afterPartition = message.offsets.at(-1)?.partition ?? 0;
  }
  t.equal(answers.length, 3);
  t.ok(Math.max(...bytes) < 1_000_000, `${bytes}`);
  const found = await new Groups({ runtime, callers: client.connections, topics: client.topics }).describe('mailers');
  t.same(
    found.members.map(({ memberId }) => memberId),
    ['first', ...names],
  );
  t.same(
    found.partitions.map(({ partition }) => partition),
    [0, 1, 2, 3, 4, 5],
  );
  const rest = await caller.call(describeGroup, { group: 'mailers', afterTopicId: topicId, afterPartition: 3 });
  t.match([rest.message.members, rest.message.offsets], [[], [{ partition: 4 }, { partition: 5 }]]);
});
