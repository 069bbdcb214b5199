import t from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import { groupMembersMax } from '../../../src/broker/groups/group-rules.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import { correlationOf, Kind } from '../../../src/wire/frame.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import {
  commitOffsets,
  describeGroup,
  fetchOffsets,
  groupBeat,
  joinGroup,
  leaveGroup,
  listGroups,
  type Method,
  methods,
  removeGroup,
  resetOffsets,
} from '../../../src/wire/methods.js';
import { brokerAndClient } from '../../support/broker-node.js';
import { frameBytes, type RawFrame, RawPeer } from '../../support/raw-peer.js';

type Teardown = { teardown(callback: () => unknown): void };

/** A peer that sends whatever it likes and is told what came back. */
async function rawPeer(t: Teardown) {
  const { node, client, log } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('orders', 4, false);
  const peer = await RawPeer.greeted(node.address);
  t.teardown(() => peer.socket.destroy());
  let slot = 0;
  /** The first frame that answers a request. */
  const ask = async <Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, message: QIn): Promise<RawFrame> => {
    const correlation = correlationOf(++slot % 4_000, 1 + Math.floor(slot / 4_000));
    peer.send(frameBytes({ kind: Kind.REQ, method: method.id, correlation, codec: method.request, message }));
    const isAnswer = (frame: RawFrame): boolean => frame.correlation === correlation;
    await peer.until(() => peer.closed !== undefined || peer.frames.some(isAnswer));
    return peer.frames.find(isAnswer)!;
  };
  /** Its error code, or 0. */
  const codeOf = async <Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, message: QIn): Promise<number> => {
    const frame = await ask(method, message);
    return frame.kind === Kind.ERR || frame.kind === Kind.END ? peer.errorOf(frame).code : 0;
  };
  const say = async <Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, message: QIn): Promise<string> =>
    peer.errorOf(await ask(method, message)).message;
  const onSend = (message: taskd.GroupBeat.$Properties): void =>
    peer.send(frameBytes({ kind: Kind.ONEWAY, method: groupBeat.id, correlation: 0, codec: taskd.GroupBeat, message }));
  return { peer, topicId, ask, codeOf, say, onSend, log };
}

const join = { group: 'g', memberId: 'm', topics: ['orders'], credit: 100 };

t.test('a member that cannot be is told why, with the limit', async (t) => {
  const { codeOf, say } = await rawPeer(t);
  const cases: [taskd.JoinGroupRequest.$Properties, number, RegExp][] = [
    [{ group: '' }, ErrorCode.INVALID, /1 to 128 characters/],
    [{ group: 'x'.repeat(129) }, ErrorCode.INVALID, /1 to 128 characters/],
    [{ group: 'a b' }, ErrorCode.INVALID, /letters, digits/],
    [{ memberId: '' }, ErrorCode.INVALID, /1 to 128 printable/],
    [{ memberId: 'é' }, ErrorCode.INVALID, /printable/],
    [{ memberId: 'x'.repeat(500_000) }, ErrorCode.INVALID, /1 to 128/],
    [{ instanceId: 'x'.repeat(129) }, ErrorCode.INVALID, /instance id/],
    [{ clientId: 'x'.repeat(129) }, ErrorCode.INVALID, /client id/],
    [{ topics: [] }, ErrorCode.INVALID, /at least one topic/],
    [{ topics: Array.from({ length: 257 }, (_, i) => `t${i}`) }, ErrorCode.QUOTA, /at most 256 topics/],
    [{ topics: ['x'.repeat(200)] }, ErrorCode.INVALID, /1 to 128 characters/],
    [{ assignor: 'luck' }, ErrorCode.INVALID, /there are sticky, range, least-dispatched/],
    [{ sessionTimeoutMs: 999 }, ErrorCode.INVALID, /between 1000 and 300000 ms/],
    [{ sessionTimeoutMs: 0xffff_ffff }, ErrorCode.INVALID, /between 1000 and 300000 ms/],
    [{ releaseTimeoutMs: 3_600_001 }, ErrorCode.INVALID, /at most 3600000 ms/],
    [{ memberEpoch: 7 }, ErrorCode.UNKNOWN_MEMBER, /join again with epoch 0/],
  ];
  for (const [fields, code, message] of cases) {
    t.equal(await codeOf(joinGroup, { ...join, ...fields }), code, JSON.stringify(fields).slice(0, 80));
    t.match(await say(joinGroup, { ...join, ...fields }), message);
  }
  t.equal(await codeOf(joinGroup, join), 0);
  t.equal(await codeOf(joinGroup, { ...join, memberId: 'n', assignor: 'range' }), ErrorCode.CONFLICT);
  t.match(await say(joinGroup, { ...join, memberId: 'n', assignor: 'range' }), /use the assignor "sticky"/);
  t.equal(await codeOf(joinGroup, { ...join, instanceId: 'other' }), ErrorCode.INVALID);
  t.equal(await codeOf(joinGroup, { ...join, memberEpoch: Number.MAX_SAFE_INTEGER }), ErrorCode.UNKNOWN_MEMBER);
});

t.test('commits, offsets and questions that make no sense', async (t) => {
  const { topicId, ask, codeOf, peer } = await rawPeer(t);
  const offsets = [{ topicId, partition: 0, offset: 1 }];
  t.equal(await codeOf(commitOffsets, { group: 'none', memberId: 'm', offsets }), ErrorCode.UNKNOWN_MEMBER);
  t.equal(await codeOf(joinGroup, join), 0);
  const results = async (request: taskd.CommitOffsetsRequest.$Properties): Promise<number[]> => {
    const frame = await ask(commitOffsets, request);
    t.equal(frame.kind, Kind.RES);
    return taskd.CommitOffsetsResponse.decode(frame.meta).results.map(({ error }) => error?.code ?? 0);
  };
  // Epoch 0 is older than any under which something was given.
  t.same(await results({ group: 'g', memberId: 'm', memberEpoch: 0, offsets }), [ErrorCode.MEMBER_FENCED]);
  const far = { group: 'g', memberId: 'm', memberEpoch: 1_000_000 };
  const isGiven = ({ kind, meta }: RawFrame): boolean =>
    kind === Kind.PUSH && taskd.GroupPush.decode(meta).assigned.length > 0;
  await peer.until(() => peer.frames.some(isGiven));
  t.same(
    await results({
      ...far,
      offsets: [
        { topicId, partition: 4, offset: 1 },
        { topicId: 0xffff_ffff, partition: 0xffff_ffff, offset: 1 },
        { topicId: topicId - 1, partition: 65_536, offset: 1 },
        { topicId, partition: 1, offset: Number.MAX_SAFE_INTEGER, metadata: 'x'.repeat(1_025) },
        { topicId, partition: 1, offset: Number.MAX_SAFE_INTEGER, metadata: 'x'.repeat(1_024) },
        { topicId, partition: 1, offset: 0, metadata: 'x'.repeat(1_024) },
        {},
      ],
    }),
    [
      ErrorCode.NOT_FOUND,
      ErrorCode.NOT_FOUND,
      ErrorCode.NOT_FOUND,
      ErrorCode.TOO_LARGE,
      ErrorCode.OFFSET_OUT_OF_RANGE,
      ErrorCode.NOT_FOUND,
      0,
    ],
  );
  const many = Array.from({ length: 4_097 }, () => ({ topicId, partition: 0 }));
  t.equal(await codeOf(commitOffsets, { ...far, offsets: many }), ErrorCode.TOO_LARGE);
  const partitions = [{ topicId, partitions: Array.from({ length: 5_000 }, (_, i) => i * 100) }];
  t.equal(await codeOf(fetchOffsets, { group: 'g', partitions }), ErrorCode.TOO_LARGE);
  t.equal(await codeOf(fetchOffsets, { group: 'nobody' }), 0, 'a group that is not there has committed nothing');
  t.equal(await codeOf(fetchOffsets, { group: '..\u0000' }), ErrorCode.INVALID);
  t.equal(await codeOf(describeGroup, { group: 'nobody' }), ErrorCode.NOT_FOUND);
  t.equal(await codeOf(removeGroup, { group: 'nobody' }), ErrorCode.NOT_FOUND);
  t.equal(await codeOf(removeGroup, { group: 'g' }), ErrorCode.CONFLICT);
  t.equal(await codeOf(leaveGroup, { group: 'nobody', memberId: 'nobody' }), 0);
  t.equal(await codeOf(listGroups, { limit: 0xffff_ffff, after: 'x'.repeat(1_000) }), 0);
  t.equal(await codeOf(resetOffsets, { group: 'new', topic: 'absent' }), ErrorCode.NOT_FOUND);
  t.equal(await codeOf(resetOffsets, { group: 'new', topic: '__proto__' }), ErrorCode.NOT_FOUND);
});

t.test('a group takes so many members and no more', async (t) => {
  const { codeOf, say, peer } = await rawPeer(t);
  const codes = await Promise.all(
    Array.from({ length: groupMembersMax }, (_, i) => codeOf(joinGroup, { ...join, credit: 1, memberId: `m${i}` })),
  );
  t.ok(codes.every((code) => code === 0));
  t.match(await say(joinGroup, { ...join, memberId: 'one-more' }), /has 1000 members already: use fewer/);
  t.equal(peer.closed, undefined);
});

t.test('garbage of any kind, and then a good request', async (t) => {
  const { peer, ask, codeOf, onSend, log } = await rawPeer(t);
  const random = new SeededRandom(9);
  t.equal(await codeOf(joinGroup, join), 0);
  const group = 'g';
  const memberId = 'm';
  for (let i = 0; i < 50; i++) {
    const numbers = [0, 1, 65_535, 65_536, 0xffff_ffff];
    const any = (): number => numbers[random.below(numbers.length)]!;
    const owned = [{ topicId: any(), partitions: [any(), any()] }];
    onSend({ group, memberId, memberEpoch: any(), owned, load: [{ topicId: any(), partition: any(), load: any() }] });
    onSend({ group: `g${any()}`, memberId: `m${any()}`, owned });
  }
  const own = [...methods.values()].filter(({ id, shape }) => id >> 8 === 3 && shape === 'call');
  for (const method of own) {
    for (const codec of [taskd.JoinGroupRequest, taskd.TopicPartitions, taskd.GroupBeat]) {
      const message = { group, memberId, topicId: 7, partitions: [1], topics: ['a', 'b'], assignor: '\u0000' };
      const strange = { ...method, request: codec } as unknown as Method<unknown, unknown, typeof message>;
      const frame = await ask(strange, message);
      t.ok(frame.kind === Kind.RES || frame.kind === Kind.ERR, method.name);
    }
  }
  t.equal(await codeOf(listGroups, {}), 0);
  t.equal(peer.closed, undefined);
  t.same(
    log.lines.filter(({ level }) => level === 'error'),
    [],
  );
});
