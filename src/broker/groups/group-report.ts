import { partitionOf, placeOf, topicIdOf } from '../../base/place.js';
import { taskd } from '../../wire/generated/messages.js';
import type { GroupTopics } from './broker-topics.js';
import type { GroupCoordinator } from './coordinator.js';
import type { Group } from './core/group.js';
import type { Member } from './core/member.js';
import { topicPartitionsOf } from './core/place.js';

export function groupSummary(group: Group): taskd.GroupSummary.$Properties {
  const isEmpty = group.members.size === 0;
  const { GROUP_STATE_EMPTY, GROUP_STATE_MOVING, GROUP_STATE_STABLE } = taskd.GroupState;
  const state = isEmpty ? GROUP_STATE_EMPTY : group.movingCount > 0 ? GROUP_STATE_MOVING : GROUP_STATE_STABLE;
  return { group: group.name, state, members: group.members.size, assignor: group.assignor };
}

/** Bytes of members and offsets in one answer; a single one may be larger. */
export const describedBytesMax = 900_000;

/** Where an answer begins; see `DescribeGroupRequest`. */
export type DescribedFrom = Pick<taskd.DescribeGroupRequest, 'afterMember' | 'afterTopicId' | 'afterPartition'>;

/** All that people want to know of a group, as much of it as one answer holds. */
export function describeGroup(
  coordinator: GroupCoordinator,
  group: Group,
  topics: GroupTopics,
  nowMs: number,
  from: DescribedFrom,
): taskd.DescribeGroupResponse.$Properties {
  const members: taskd.GroupMember.$Properties[] = [];
  const offsets: taskd.GroupOffset.$Properties[] = [];
  const head = { summary: groupSummary(group), epoch: group.epoch, members, offsets };
  let bytes = 0;
  const hasRoom = (more: number): boolean => {
    bytes += more;
    return bytes <= describedBytesMax || members.length + offsets.length === 0;
  };
  if (from.afterTopicId === 0) {
    const left = [...group.members.values()].filter(({ memberId }) => memberId > from.afterMember);
    for (const member of left.sort((a, b) => (a.memberId < b.memberId ? -1 : 1))) {
      const report = memberReport(coordinator, member, nowMs);
      if (!hasRoom(taskd.GroupMember.encode(report).len)) return { ...head, more: true };
      members.push(report);
    }
  }
  const after = from.afterTopicId === 0 ? -1 : placeOf(from.afterTopicId, from.afterPartition);
  const places = [...new Set([...group.places(), ...group.offsets.keys()])].sort((a, b) => a - b);
  for (const place of places) {
    const report = place > after ? offsetReport(group, place, topics) : undefined;
    if (report === undefined) continue;
    if (!hasRoom(taskd.GroupOffset.encode(report).len)) return { ...head, more: true };
    offsets.push(report);
  }
  return head;
}

function memberReport(coordinator: GroupCoordinator, member: Member, nowMs: number): taskd.GroupMember.$Properties {
  const session = coordinator.session(member);
  return {
    memberId: member.memberId,
    instanceId: member.instanceId,
    clientId: member.clientId,
    host: member.host,
    topics: [...member.topics],
    memberEpoch: member.epoch,
    assigned: topicPartitionsOf(member.assigned),
    owned: topicPartitionsOf(session?.held ?? []),
    beatAgeMs: session === undefined ? 0 : Math.max(0, Math.floor(nowMs - session.lastSeenMs)),
  };
}

/** Records that the group has still to consume, over all of its partitions whose ends are known. */
export function groupLag(group: Group, topics: GroupTopics): number {
  let lag = 0;
  for (const place of group.offsets.keys()) lag += placeLag(group, place, topics);
  for (const place of group.places()) if (!group.offsets.has(place)) lag += placeLag(group, place, topics);
  return lag;
}

function placeLag(group: Group, place: number, topics: GroupTopics): number {
  const ends = topics.ends(topicIdOf(place), partitionOf(place));
  if (ends === undefined) return 0;
  return Math.max(0, ends.recordsEnd - Math.max(ends.start, group.offsets.get(place)?.offset ?? ends.start));
}

function offsetReport(group: Group, place: number, topics: GroupTopics): taskd.GroupOffset.$Properties | undefined {
  const topicId = topicIdOf(place);
  const partition = partitionOf(place);
  const topic = topics.byId(topicId);
  if (topic === undefined) return undefined;
  const ends = topics.ends(topicId, partition);
  const committed = group.offsets.get(place)?.offset;
  return {
    topicId,
    partition,
    topic: topic.name,
    memberId: group.ownerOf(place)?.memberId ?? '',
    logStart: ends?.start ?? 0,
    logEnd: ends?.end ?? 0,
    lag: placeLag(group, place, topics),
    ...(committed === undefined ? {} : { committed }),
  };
}
