import { ErrorCode, TaskdError } from '../base/errors.js';
import { formatAddress } from '../runtime/net.js';
import { taskd } from '../wire/generated/messages.js';
import { describeGroup, listGroups, removeGroup, resetOffsets } from '../wire/methods.js';
import { LeaderCaller } from './consumer/leader-caller.js';
import type { TopicPartition } from './consumer/open-partition.js';
import type { Position } from './consumer/positions.js';
import { checkName } from './job-definition.js';
import type { QueueNetwork } from './topic-producer.js';

/** `MOVING`: partitions are on their way from one member to another. */
export type GroupState = 'EMPTY' | 'STABLE' | 'MOVING';

export interface GroupSummary {
  readonly name: string;
  readonly state: GroupState;
  readonly members: number;
  readonly assignor: string;
}

export interface GroupMemberInfo {
  readonly memberId: string;
  /** Empty for a member that is not static. */
  readonly instanceId: string;
  readonly clientId: string;
  readonly host: string;
  readonly topics: readonly string[];
  readonly partitions: readonly TopicPartition[];
  /** How long ago it was last heard of. */
  readonly heardAgoMs: number;
}

export interface GroupPartitionInfo extends TopicPartition {
  /** The next record to consume; undefined when nothing was committed. */
  readonly committed: number | undefined;
  readonly logStart: number;
  readonly logEnd: number;
  /** Records that are still to be processed. */
  readonly lag: number;
  /** Who has it; empty for nobody. */
  readonly memberId: string;
}

export interface GroupDescription {
  readonly name: string;
  readonly state: GroupState;
  readonly assignor: string;
  readonly lag: number;
  readonly members: readonly GroupMemberInfo[];
  readonly partitions: readonly GroupPartitionInfo[];
}

export interface OffsetReset {
  readonly topic: string;
  readonly to: Position;
  /** Default: all. */
  readonly partitions?: readonly number[];
  /** Only says what would be done. */
  readonly dryRun?: boolean;
}

export interface OffsetChange {
  readonly partition: number;
  readonly from: number | undefined;
  readonly to: number;
}

const deadlineMs = 15_000;
const pageGroups = 1_000;

const stateNames: Readonly<Record<number, GroupState>> = {
  [taskd.GroupState.GROUP_STATE_EMPTY]: 'EMPTY',
  [taskd.GroupState.GROUP_STATE_STABLE]: 'STABLE',
  [taskd.GroupState.GROUP_STATE_MOVING]: 'MOVING',
};

/** Consumer groups, seen from outside. */
export class Groups {
  readonly #network: QueueNetwork;
  readonly #leaders: LeaderCaller;

  constructor(network: QueueNetwork) {
    this.#network = network;
    this.#leaders = new LeaderCaller(network);
  }

  /** All groups, by name; with `prefix` those that begin so. */
  async list(prefix = ''): Promise<readonly GroupSummary[]> {
    const { topicId, partitions } = await this.#leaders.groups();
    const found: GroupSummary[] = [];
    const asked = new Set<string>();
    for (let partition = 0; partition < partitions; partition++) {
      const address = this.#network.topics.leader(topicId, partition);
      // A broker answers for all partitions that it leads; one without a leader is waited for below.
      if (address !== undefined && asked.has(formatAddress(address))) continue;
      if (address !== undefined) asked.add(formatAddress(address));
      for (let after = ''; ; ) {
        const request = { prefix, after, limit: pageGroups };
        const { groups } = await this.#leaders.askLeader({ topicId, partition }, listGroups, request, deadlineMs);
        for (const group of groups) found.push(summaryOf(group));
        if (groups.length < pageGroups) break;
        after = groups.at(-1)!.group ?? '';
      }
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** NOT_FOUND when nobody ever was in the group, or it was forgotten. */
  async describe(name: string): Promise<GroupDescription> {
    checkName(name, 'the group');
    const members: taskd.IGroupMember[] = [];
    const offsets: taskd.IGroupOffset[] = [];
    let answer: taskd.DescribeGroupResponse;
    // A large group comes in several answers, each as of its own moment.
    do {
      const { topicId, partition } = offsets.at(-1) ?? {};
      const afterMember = members.at(-1)?.memberId ?? '';
      const request = { group: name, afterMember, afterTopicId: topicId ?? 0, afterPartition: partition ?? 0 };
      answer = await this.#leaders.askCoordinator(name, describeGroup, request, deadlineMs);
      members.push(...answer.members);
      offsets.push(...answer.offsets);
    } while (answer.more && answer.members.length + answer.offsets.length > 0);
    const { state, assignor } = summaryOf(answer.summary ?? {});
    const topics = new Map(offsets.map(({ topicId, topic }) => [topicId ?? 0, topic ?? '']));
    const partitions = offsets.map((offset) => partitionOf(offset as taskd.GroupOffset));
    return {
      name,
      state,
      assignor,
      lag: partitions.reduce((sum, { lag }) => sum + lag, 0),
      members: members.map((member) => memberOf(member as taskd.GroupMember, topics)),
      partitions,
    };
  }

  /**
   * Sets where a group goes on; durable when it resolves. CONFLICT while the group has members. Answers with all
   * partitions, also those that stay where they are.
   */
  async reset(
    name: string,
    { topic, to, partitions = [], dryRun = false }: OffsetReset,
  ): Promise<readonly OffsetChange[]> {
    checkName(name, 'the group');
    checkName(topic, 'the topic');
    const request = { group: name, topic, partitions: [...partitions], dryRun, ...target(to) };
    const { changes } = await this.#leaders.askCoordinator(name, resetOffsets, request, deadlineMs);
    return changes.map((change) => ({
      partition: change.partition ?? 0,
      from: Object.hasOwn(change, 'from') ? (change.from ?? undefined) : undefined,
      to: change.to ?? 0,
    }));
  }

  /** Forgets a group with its offsets. CONFLICT while it has members. */
  async remove(name: string): Promise<void> {
    checkName(name, 'the group');
    await this.#leaders.askCoordinator(name, removeGroup, { group: name }, deadlineMs);
  }

  close(): void {
    this.#leaders.close();
  }
}

function target(to: Position): { to: taskd.ResetTo; timeMs?: number; offset?: number } {
  if (to === 'earliest') return { to: taskd.ResetTo.RESET_TO_START };
  if (to === 'latest') return { to: taskd.ResetTo.RESET_TO_END };
  if ('timeMs' in to) return { to: taskd.ResetTo.RESET_TO_TIME, timeMs: to.timeMs };
  if ('offset' in to) return { to: taskd.ResetTo.RESET_TO_OFFSET, offset: to.offset };
  throw new TaskdError(ErrorCode.INVALID, "to is 'earliest', 'latest', { timeMs } or { offset }");
}

function summaryOf({ group, state, members, assignor }: taskd.IGroupSummary): GroupSummary {
  return {
    name: group ?? '',
    state: stateNames[state ?? 0] ?? 'EMPTY',
    members: members ?? 0,
    assignor: assignor ?? '',
  };
}

function memberOf(member: taskd.GroupMember, topicNames: ReadonlyMap<number, string>): GroupMemberInfo {
  const { memberId, instanceId, clientId, host, topics, assigned, beatAgeMs } = member;
  const partitions = assigned.flatMap(({ topicId, partitions: of }) =>
    (of ?? []).map((partition) => ({ topic: topicNames.get(topicId ?? 0) ?? `#${topicId}`, partition })),
  );
  return { memberId, instanceId, clientId, host, topics, partitions, heardAgoMs: beatAgeMs };
}

function partitionOf(offset: taskd.GroupOffset): GroupPartitionInfo {
  const { topic, partition, logStart, logEnd, lag, memberId } = offset;
  // An absent optional field reads as its zero from the prototype.
  const committed = Object.hasOwn(offset, 'committed') ? (offset.committed ?? undefined) : undefined;
  return { topic, partition, committed, logStart, logEnd, lag, memberId };
}
