import { ErrorCode, TaskdError } from '../../base/errors.js';
import { isPartition, partitionOf, placeOf, topicIdOf } from '../../base/place.js';
import type { Runtime } from '../../runtime/runtime.js';
import { taskd } from '../../wire/generated/messages.js';
import type { GroupTopics } from './broker-topics.js';
import { type CommitCall, offsetsWaitingMax } from './commit-queue.js';
import type { GroupCoordinator } from './coordinator.js';
import type { Group, StoredOffset } from './core/group.js';
import { offsetsCommitted } from './core/group-record.js';
import { hasMembers } from './core/group-shard.js';
import {
  beyondLog,
  busy,
  commitPartitionsMax,
  commitProblem,
  groupNameProblem,
  groupsByHandMax,
  metadataProblem,
  notOwned,
  refusedOffset,
  tooMany,
} from './group-rules.js';

type Commit = taskd.CommittedOffset.$Properties;
type Change = taskd.OffsetChange.$Properties;

/** Bytes of an answer with offsets; well below what a frame's meta may have. */
const answerBytesMax = 900_000;
const offsetBytes = 32;

/** Commits, questions for what was committed, and resets. */
export class OffsetService {
  readonly #runtime: Runtime;
  readonly #topics: GroupTopics;

  constructor(runtime: Runtime, topics: GroupTopics) {
    this.#runtime = runtime;
    this.#topics = topics;
  }

  /**
   * Answers once all that is taken is durable. What the state as it is refuses is refused without a record; what it
   * takes is judged once more by replay, since the member may be out by then.
   */
  commit(coordinator: GroupCoordinator, request: taskd.CommitOffsetsRequest, call: CommitCall): void {
    const { commits, shard } = coordinator;
    const isByHand = request.memberId === '';
    const problem =
      commitProblem(request) ??
      coordinator.refusal ??
      (isByHand ? byHandProblem(coordinator, request.group, call.peer.clientId) : undefined) ??
      (commits.waiting > offsetsWaitingMax ? busy(commits.waiting) : undefined);
    const verdict = problem !== undefined || isByHand ? undefined : shard.judgeCommit(request);
    const refusal = problem ?? verdict?.refusal;
    if (refusal !== undefined) {
      call.fail(refusal);
      return;
    }
    const group = shard.groups.get(request.group);
    const member = group?.members.get(request.memberId);
    if (member !== undefined) coordinator.session(member)?.seen(this.#runtime.clock.monotonicMs());
    const results: taskd.CommitResult.$Properties[] = [];
    const taken: Commit[] = [];
    const isQuiet = !commits.hasPending(request.group);
    for (const offset of request.offsets) {
      const { topicId, partition } = whereOf(offset);
      const isFenced = verdict?.fenced.has(placeOf(topicId, partition)) === true;
      const why = this.#commitProblem(offset) ?? (isFenced ? notOwned() : undefined);
      if (why !== undefined) results.push(refusedOffset(this.#runtime, topicId, partition, why));
      else if (isQuiet && isStored(group, offset)) results.push({ topicId, partition });
      else taken.push(offset);
    }
    if (taken.length === 0) call.reply({ results });
    else {
      commits.add(request, taken, call, results, group === undefined);
      if (isByHand && group === undefined) coordinator.byHand.made(request.group, call.peer.clientId);
    }
  }

  /** What is committed, or NOT_READY. Everything that was answered before the question came is in it. */
  fetch(coordinator: GroupCoordinator, request: taskd.FetchOffsetsRequest): taskd.FetchOffsetsResponse.$Properties {
    const refusal = groupNameProblem(request.group) ?? coordinator.refusal;
    if (refusal !== undefined) throw refusal;
    const stored = coordinator.shard.groups.get(request.group)?.offsets ?? new Map<number, StoredOffset>();
    const places = request.partitions.length === 0 ? [...stored.keys()] : askedPlaces(request);
    const offsets: Commit[] = [];
    let bytes = 0;
    for (const place of places) {
      const found = stored.get(place);
      if (found === undefined) continue;
      bytes += offsetBytes + 3 * found.metadata.length;
      if (bytes > answerBytesMax) {
        const message = `the offsets asked for take more than ${answerBytesMax} bytes: name fewer partitions`;
        throw new TaskdError(ErrorCode.TOO_LARGE, message);
      }
      offsets.push({ topicId: topicIdOf(place), partition: partitionOf(place), ...found });
    }
    return { offsets };
  }

  /** Sets offsets of a group without members; resolves when they are durable, or at once for a dry run. */
  async reset(
    coordinator: GroupCoordinator,
    request: taskd.ResetOffsetsRequest,
    clientId: string,
  ): Promise<taskd.ResetOffsetsResponse.$Properties> {
    const refusal =
      groupNameProblem(request.group) ?? coordinator.refusal ?? byHandProblem(coordinator, request.group, clientId);
    if (refusal !== undefined) throw refusal;
    const changes = await this.#changes(coordinator, request);
    // Times are looked up in files; the topic may have been deleted meanwhile, and its offsets with it.
    for (const change of changes) {
      const problem = this.#problem(change);
      if (problem !== undefined) throw problem;
    }
    if (request.dryRun || changes.length === 0) return { changes };
    const { group } = request;
    const offsets = changes.map(({ topicId, partition, to }) => ({
      topicId: topicId!,
      partition: partition!,
      offset: to!,
    }));
    const noRoom = byHandProblem(coordinator, group, clientId);
    if (noRoom !== undefined) throw noRoom;
    const written = coordinator.writeNew(group, offsetsCommitted({ group, offsets }));
    if (!coordinator.shard.groups.has(group)) coordinator.byHand.made(group, clientId);
    const verdict = await written;
    if (verdict.refusal !== undefined) throw verdict.refusal;
    return { changes };
  }

  /** A place beyond the log is refused where the log is known here; while it doesn't serve, what is said is believed. */
  #commitProblem(commit: Commit): TaskdError | undefined {
    const problem = this.#problem(commit);
    if (problem !== undefined) return problem;
    const { topicId, partition } = whereOf(commit);
    const logEnd = this.#topics.ends(topicId, partition)?.logEnd;
    const offset = commit.offset ?? 0;
    return logEnd === undefined || offset <= logEnd ? undefined : beyondLog(topicId, partition, offset, logEnd);
  }

  #problem(offset: Pick<Commit, 'topicId' | 'partition' | 'metadata'>): TaskdError | undefined {
    const { topicId, partition } = whereOf(offset);
    const topic = this.#topics.byId(topicId);
    if (topic !== undefined && partition < topic.partitions) return metadataProblem(offset.metadata ?? '');
    return new TaskdError(ErrorCode.NOT_FOUND, `there is no partition ${partition} of a topic with id ${topicId}`);
  }

  async #changes(coordinator: GroupCoordinator, request: taskd.ResetOffsetsRequest): Promise<Change[]> {
    const topic = this.#topics.named(request.topic);
    if (topic === undefined) throw new TaskdError(ErrorCode.NOT_FOUND, `there is no topic "${request.topic}"`);
    const { topicId } = topic;
    const partitions =
      request.partitions.length === 0
        ? Array.from({ length: topic.partitions }, (_, i) => i)
        : [...new Set(request.partitions)];
    const beyond = partitions.find((partition) => partition >= topic.partitions);
    if (beyond !== undefined) {
      const message = `topic "${request.topic}" has ${topic.partitions} partitions, there is no ${beyond}`;
      throw new TaskdError(ErrorCode.NOT_FOUND, message);
    }
    const changes: Change[] = [];
    for (const partition of partitions) {
      const to = await this.#resetTo(topicId, partition, request);
      const from = coordinator.shard.groups.get(request.group)?.offsets.get(placeOf(topicId, partition))?.offset;
      changes.push(from === undefined ? { topicId, partition, to } : { topicId, partition, from, to });
    }
    return changes;
  }

  async #resetTo(
    topicId: number,
    partition: number,
    { to, timeMs, offset }: taskd.ResetOffsetsRequest,
  ): Promise<number> {
    const ends = this.#topics.ends(topicId, partition);
    if (ends === undefined) {
      const message = `partition ${partition} of topic ${topicId} does not serve, so its ends are not known`;
      throw new TaskdError(ErrorCode.NOT_READY, message);
    }
    const within = (wanted: number): number => Math.min(Math.max(wanted, ends.start), ends.end);
    switch (to) {
      case taskd.ResetTo.RESET_TO_START:
        return ends.start;
      case taskd.ResetTo.RESET_TO_END:
        return ends.end;
      case taskd.ResetTo.RESET_TO_TIME:
        return within(await this.#topics.offsetForTime(topicId, partition, timeMs));
      case taskd.ResetTo.RESET_TO_OFFSET:
        return within(offset);
      default:
        throw new TaskdError(ErrorCode.INVALID, `offsets can not be reset to ${String(to)}`);
    }
  }
}

function whereOf({ topicId, partition }: Pick<Commit, 'topicId' | 'partition'>): {
  topicId: number;
  partition: number;
} {
  return { topicId: topicId ?? 0, partition: partition ?? 0 };
}

function isStored(group: Group | undefined, commit: Commit): boolean {
  const { topicId, partition } = whereOf(commit);
  const stored = group?.offsets.get(placeOf(topicId, partition));
  return stored?.offset === (commit.offset ?? 0) && stored.metadata === (commit.metadata ?? '');
}

function byHandProblem(coordinator: GroupCoordinator, name: string, clientId: string): TaskdError | undefined {
  const group = coordinator.shard.groups.get(name);
  if (group === undefined) {
    return coordinator.noRoom(name, groupsByHandMax) ?? coordinator.byHand.problem(name, clientId);
  }
  return group.members.size > 0 ? hasMembers(name, group.members.size) : undefined;
}

function askedPlaces({ partitions }: taskd.FetchOffsetsRequest): number[] {
  const places = new Set<number>();
  let count = 0;
  for (const each of partitions) {
    count += each.partitions?.length ?? 0;
    if (count > commitPartitionsMax) throw tooMany('a question for offsets', count);
    for (const partition of each.partitions ?? []) {
      if (isPartition(partition)) places.add(placeOf(each.topicId ?? 0, partition));
    }
  }
  return [...places];
}
