import { partitionOf, topicIdOf } from '../../base/place.js';
import { taskd } from '../../wire/generated/messages.js';
import type { GroupTopics } from './broker-topics.js';
import type { GroupCoordinator } from './coordinator.js';
import type { Group } from './core/group.js';
import { topicPartitionsOf } from './core/place.js';

export function groupSummary(group: Group): taskd.GroupSummary.$Properties {
  const isEmpty = group.members.size === 0;
  const { GROUP_STATE_EMPTY, GROUP_STATE_MOVING, GROUP_STATE_STABLE } = taskd.GroupState;
  const state = isEmpty ? GROUP_STATE_EMPTY : group.movingCount > 0 ? GROUP_STATE_MOVING : GROUP_STATE_STABLE;
  return { group: group.name, state, members: group.members.size, assignor: group.assignor };
}

/** All that people want to know of a group. */
export function describeGroup(
  coordinator: GroupCoordinator,
  group: Group,
  topics: GroupTopics,
  nowMs: number,
): taskd.DescribeGroupResponse.$Properties {
  const members = [...group.members.values()].map((member) => {
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
  });
  const places = [...new Set([...group.places(), ...group.offsets.keys()])].sort((a, b) => a - b);
  const offsets: taskd.GroupOffset.$Properties[] = [];
  for (const place of places) {
    const report = offsetReport(group, place, topics);
    if (report !== undefined) offsets.push(report);
  }
  return { summary: groupSummary(group), epoch: group.epoch, members, offsets };
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
