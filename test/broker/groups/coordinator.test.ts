import t from 'tap';
import { ErrorCode, isTaskdError, Retry } from '../../../src/base/errors.js';
import { placeOf } from '../../../src/base/place.js';
import { offsetsKeptMs } from '../../../src/broker/groups/coordinator.js';
import { groupRemoved } from '../../../src/broker/groups/core/group-record.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { CoordinatorRig, topicId } from './coordinator-rig.js';

const all = [0, 1, 2, 3].map((partition) => placeOf(topicId, partition));
const dayMs = 24 * 60 * 60 * 1_000;

t.test('a member that is silent for its session is out, one that beats is not', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const a = await rig.join({ memberId: 'a' });
  const b = await rig.join({ memberId: 'b' });
  await rig.clock.settle();
  for (let second = 0; second < 7; second++) {
    rig.beat('a', 0, []);
    await rig.pass(1_000);
  }
  t.equal(a.ended, undefined);
  t.match(b.ended, { code: ErrorCode.UNKNOWN_MEMBER, message: /no beat for 6000 ms/ });
  t.same(a.last.assigned, [{ topicId, partitions: [0, 1, 2, 3] }]);
});

t.test('time in which this process stood still does not count', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const a = await rig.join();
  await rig.clock.advance(60_000);
  rig.coordinator.tick(rig.clock.monotonicMs(), true);
  await rig.pass(5_500);
  t.equal(a.ended, undefined);
  await rig.pass(1_000);
  t.match(a.ended, { code: ErrorCode.UNKNOWN_MEMBER });
});

t.test('a new coordinator gives everybody the full time again, and takes them as they were', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const a = await rig.join();
  const memberEpoch = a.epoch;
  await rig.pass(5_500);
  const before = rig.coordinator.shard.describe();
  await rig.restart();
  t.match(a.ended, { code: ErrorCode.DRAINING });
  t.equal(rig.coordinator.shard.describe(), before);
  await rig.pass(5_500);
  const again = await rig.join({ memberEpoch, owned: [{ topicId, partitions: [0, 1, 2, 3] }] });
  t.equal(again.epoch, memberEpoch);
  t.same(again.last.assigned, [{ topicId, partitions: [0, 1, 2, 3] }]);
  await rig.restart();
  await rig.pass(6_500);
  t.equal(rig.coordinator.shard.groups.get('g')?.members.size, 0, 'who does not come back is out');
  const late = await rig.join({ memberEpoch });
  t.match(late.ended, { code: ErrorCode.UNKNOWN_MEMBER });
});

t.test('a closed connection is a second of grace, but not always', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const membersAfter = async (ms: number): Promise<number> => {
    await rig.pass(ms);
    return rig.coordinator.shard.groups.get('g')!.members.size;
  };
  (await rig.join({ memberId: 'early' })).close();
  t.equal(await membersAfter(2_000), 1, 'the coordinator is new: whoever was cut may be on the way');
  t.equal(await membersAfter(5_000), 0);
  const quick = await rig.join({ memberId: 'quick' });
  quick.close();
  t.equal(await membersAfter(750), 1);
  const back = await rig.join({ memberId: 'quick', memberEpoch: quick.epoch });
  t.equal(await membersAfter(2_000), 1, 'it came back');
  back.close();
  t.equal(await membersAfter(1_250), 0);
  const sentAway = await rig.join({ memberId: 'guest' });
  sentAway.peer.isSentAway = true;
  sentAway.close();
  (await rig.join({ memberId: 'static', instanceId: 'i' })).close();
  t.equal(await membersAfter(5_500), 2);
  t.equal(await membersAfter(1_000), 0);
});

t.test('a member learns which of its beats came, but not while it is being put out', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const a = await rig.join({ memberId: 'a' });
  await rig.clock.settle();
  const { length } = a.pushes;
  rig.beat('a', a.epoch, [], 1);
  t.match(a.last, { unchanged: true, heard: 1, memberEpoch: a.epoch });
  for (let number = 2; number < 6; number++) rig.beat('a', a.epoch, [], number);
  t.equal(a.pushes.length, length + 1, 'at most two a heartbeat');
  await rig.pass(500);
  rig.beat('a', a.epoch, [], 6);
  rig.beat('a', a.epoch, [], 4);
  t.match(a.last, { unchanged: true, heard: 6 });
  t.equal(a.pushes.length, length + 2);
  await rig.join({ memberId: 'b' });
  await rig.clock.settle();
  t.match(a.last, { heard: 6, unchanged: undefined }, 'each push says so');
  await rig.clock.advance(6_000);
  const before = a.pushes.length;
  rig.coordinator.tick(rig.clock.monotonicMs(), false);
  rig.beat('a', a.epoch, [], 7);
  t.equal(a.pushes.length, before, 'its time is over, and the record says so');
  await rig.clock.settle();
  t.match(a.ended, { code: ErrorCode.UNKNOWN_MEMBER });
});

t.test('a second stream of a member ends the first', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const first = await rig.join();
  const second = await rig.join({ memberEpoch: first.epoch });
  t.match(first.ended, { code: ErrorCode.SUPERSEDED });
  first.close();
  await rig.pass(2_000);
  t.equal(second.ended, undefined);
});

t.test('what a stream does not take now comes when it can', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const a = await rig.join({ memberId: 'a' });
  a.credit = 0;
  const { length } = a.pushes;
  await rig.join({ memberId: 'b' });
  t.equal(a.pushes.length, length);
  a.grant(5);
  t.equal(a.pushes.length, length + 1);
  t.equal(a.last.assigned?.[0]?.partitions?.length, 2);
});

t.test('many commits at once are few records, one that says nothing new is none', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const a = await rig.join();
  const memberEpoch = a.epoch;
  const commit = (partition: number, offset: number) =>
    rig.commit({ memberEpoch, offsets: [{ topicId, partition, offset }] });
  const answers: Promise<unknown>[] = [];
  for (let i = 0; i < 1_000; i++) answers.push(commit(i % 4, 1 + Math.floor(i / 4)));
  await rig.clock.advance(100);
  for (const answer of await Promise.all(answers)) t.match(answer, { results: [{ topicId }] });
  t.ok(rig.coordinator.commits.recordsTotal <= 3, `${rig.coordinator.commits.recordsTotal} records`);
  const before = rig.log.nextOffset;
  await commit(0, 250);
  t.equal(rig.log.nextOffset, before);
  const back = commit(0, 1);
  await rig.clock.advance(100);
  await back;
  t.equal(rig.log.nextOffset, before + 1, 'back is new too');
  t.equal(rig.coordinator.shard.groups.get('g')?.offsets.get(all[0]!)?.offset, 1);
});

t.test(
  'one client makes no more groups by hand than it may: others do, and so does it once some are gone',
  async (t) => {
    const rig = new CoordinatorRig();
    await rig.start();
    const byHand = async (group: string, clientId: string): Promise<unknown> => {
      const answer = rig.commit({ group, memberId: '', offsets: [{ topicId, partition: 0, offset: 1 }] }, clientId);
      await rig.clock.advance(100);
      return answer;
    };
    // At once: those on their way count.
    const first = Array.from({ length: 600 }, (_, i) =>
      rig.commit({ group: `a-${i}`, memberId: '', offsets: [{ topicId, partition: 0, offset: 1 }] }, 'a'),
    );
    await rig.clock.advance(100);
    const refused = (await Promise.all(first)).filter((answer) => isTaskdError(answer));
    t.equal(refused.length, 100);
    t.match(refused[0], {
      code: ErrorCode.QUOTA,
      retry: Retry.NEVER,
      message: /group "a-500": client "a" has made 500 groups .*as one client may; remove some \("taskctl groups rm"\)/,
    });
    t.notOk(isTaskdError(await byHand('a-7', 'a')), 'its own go on');
    t.notOk(isTaskdError(await byHand('b-0', 'b')), 'another client has its own room');
    t.ok(isTaskdError(await byHand('a-500', 'a')));
    void rig.coordinator.write([groupRemoved({ group: 'a-0' })]);
    await rig.clock.advance(100);
    t.notOk(isTaskdError(await byHand('a-500', 'a')), 'one was removed');
    t.ok(isTaskdError(await byHand('a-501', 'a')));
    t.notOk(isTaskdError((await rig.join({ group: 'a-1', memberId: 'm' })).ended));
    t.notOk(isTaskdError(await byHand('a-501', 'a')), 'one has members now');
  },
);

t.test('an offset beyond the log is refused by itself, one at its end is taken', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const { epoch: memberEpoch } = await rig.join();
  const offsets = [1_001, 1_002, 7, Number.MAX_SAFE_INTEGER].map((offset, partition) => ({
    topicId,
    partition,
    offset,
  }));
  const answer = rig.commit({ memberEpoch, offsets });
  await rig.clock.advance(100);
  const { results } = (await answer) as taskd.CommitOffsetsResponse;
  const refused = results.filter(({ error }) => error?.code);
  t.match(refused, [{ topicId, partition: 1, error: { code: ErrorCode.OFFSET_OUT_OF_RANGE } }]);
  t.match(refused[0]!.error?.message, /offset 1002 lies beyond partition 1 .* ends at 1001: commit the offset after/);
  const stored = rig.coordinator.shard.groups.get('g')?.offsets;
  t.same(
    all.map((place) => stored?.get(place)?.offset),
    [1_001, undefined, 7, Number.MAX_SAFE_INTEGER],
    'of a partition that does not serve any is believed',
  );
  const byHand = rig.commit({ group: 'hand', memberId: '', offsets: [offsets[1]!] });
  await rig.clock.advance(100);
  t.match(await byHand, { results: [{ error: { code: ErrorCode.OFFSET_OUT_OF_RANGE } }] });
  t.notOk(rig.coordinator.shard.groups.has('hand'), 'nothing was made for it');
});

t.test('the log stays short, and what is left of it tells the whole state', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const a = await rig.join();
  const memberEpoch = a.epoch;
  let logMax = 0;
  for (let i = 1; i <= 400; i++) {
    // Several at once: some come while those under way are waited for.
    const answers = [0, 1, 2, 3].map((partition) =>
      rig.commit({ memberEpoch, offsets: [{ topicId, partition, offset: i, metadata: 'm'.repeat(200) }] }),
    );
    await rig.pass(250);
    await Promise.all(answers);
    logMax = Math.max(logMax, rig.log.nextOffset - rig.logStart);
  }
  t.ok(rig.logStart > 100, 'it was shortened');
  t.ok(logMax < 200, `${logMax} records at most`);
  const before = rig.coordinator.shard.describe();
  await rig.restart();
  t.equal(rig.coordinator.shard.describe(), before);
});

t.test('a commit that is on its way while its member is put out is refused', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const a = await rig.join();
  const memberEpoch = a.epoch;
  const offsets = [{ topicId, partition: 0, offset: 9 }];
  // Both are decided on the state before: the log decides.
  const left = rig.coordinator.leave(new taskd.LeaveGroupRequest({ group: 'g', memberId: 'm' }));
  const late = rig.commit({ memberEpoch, offsets });
  await rig.clock.advance(50);
  await left;
  t.match(await late, { code: ErrorCode.UNKNOWN_MEMBER });
  t.equal(rig.coordinator.shard.groups.get('g')?.offsets.size, 0);
});

t.test('a group without members is forgotten after seven days, or soon when it never committed', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const names = (): string[] => [...rig.coordinator.shard.groups.keys()];
  const sweep = async (): Promise<void> => {
    rig.coordinator.sweep();
    await rig.clock.settle();
  };
  await rig.join({ group: 'idle' });
  await rig.join();
  const byHand = rig.commit({ group: 'hand', memberId: '', offsets: [{ topicId, partition: 0, offset: 1 }] });
  await rig.clock.settle();
  await byHand;
  await rig.pass(7_000);
  await sweep();
  t.same(names(), ['hand']);
  rig.clock.steppedMs += offsetsKeptMs - dayMs;
  await sweep();
  t.same(names(), ['hand']);
  const again = rig.commit({ group: 'hand', memberId: '', offsets: [{ topicId, partition: 0, offset: 2 }] });
  await rig.clock.settle();
  await again;
  rig.clock.steppedMs += 2 * dayMs;
  await sweep();
  t.same(names(), ['hand'], 'it was used since');
  rig.clock.steppedMs += offsetsKeptMs;
  await sweep();
  t.same(names(), []);
  t.equal(rig.coordinator.expiredTotal, 3);
});

t.test('commits by hand that come at once make no more groups than they may, and leave room for members', async (t) => {
  const rig = new CoordinatorRig();
  await rig.start();
  const byHand = (group: string, clientId = 'c') =>
    rig.commit({ group, memberId: '', offsets: [{ topicId, partition: 0, offset: 1 }] }, clientId);
  const answers = Array.from({ length: 2_500 }, (_, i) => byHand(`hand-${i}`, `c-${Math.floor(i / 500)}`));
  await rig.clock.settle();
  await rig.clock.advance(100);
  const refused = (await Promise.all(answers)).filter((answer) => isTaskdError(answer));
  t.equal(rig.coordinator.shard.groups.size, 1_500);
  t.equal(refused.length, 1_000);
  t.match(refused[0], {
    code: ErrorCode.QUOTA,
    retry: Retry.NEVER,
    message: /no room for group "hand-1500".*groups rm/,
  });
  t.notOk(isTaskdError(await byHand('hand-7')), 'a group that is there goes on');

  const joins = Array.from({ length: 600 }, (_, i) => rig.join({ group: `g-${i}`, memberId: `m-${i}` }));
  const streams = await Promise.all(joins);
  const outside = streams.filter(({ isOpen }) => !isOpen);
  t.equal(outside.length, 100);
  t.match(outside[0]!.ended, { code: ErrorCode.QUOTA, retry: Retry.NEVER });
  t.equal(rig.coordinator.shard.groups.size, 2_000);
});
