import { ErrorCode, Retry, TaskdError } from '../../base/errors.js';
import {
  groupReleaseMs,
  groupReleaseMsMax,
  groupSessionMs,
  groupSessionMsMax,
  groupSessionMsMin,
  nameLengthMax,
  offsetMetadataBytesMax,
} from '../../base/limits.js';
import { toErrorInfo } from '../../rpc/error-info.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { taskd } from '../../wire/generated/messages.js';

/** Groups of one coordinator, that is, of one partition of `__groups`. */
export const groupsMax = 2_000;
/** By commits by hand and resets no group is made beyond so many: there is always room for such as have members. */
export const groupsByHandMax = 1_500;
/** And one client makes so many of these. */
export const groupsByHandPerClientMax = 500;
/** Members of one group, and topics of one member. */
export const groupMembersMax = 1_000;
export const memberTopicsMax = 256;
/** Partitions in one commit or one question. */
export const commitPartitionsMax = 4_096;
/** Names in one answer to a question for groups. */
export const listedGroupsMax = 1_000;

const groupName = /^[A-Za-z0-9._-]+$/;
const printable = /^[\x21-\x7e]+$/;

const invalid = (message: string): TaskdError => new TaskdError(ErrorCode.INVALID, message);

/** Why this can't be the name of a group. It is a part of topics' names, so it has their letters. */
export function groupNameProblem(name: string): TaskdError | undefined {
  if (name.length === 0 || name.length > nameLengthMax) {
    return invalid(`a group's name has 1 to ${nameLengthMax} characters, this one ${name.length}`);
  }
  if (groupName.test(name)) return undefined;
  return invalid(`group ${JSON.stringify(name)}: a name has letters, digits, ".", "_" and "-"`);
}

/** Why this member can't join, whatever its group. */
export function joinProblem(
  request: taskd.JoinGroupRequest,
  assignors: ReadonlyMap<string, unknown>,
): TaskdError | undefined {
  const { group, memberId, instanceId, topics, assignor, sessionTimeoutMs, releaseTimeoutMs, clientId } = request;
  const nameProblem = groupNameProblem(group);
  if (nameProblem !== undefined) return nameProblem;
  if (memberId.length > nameLengthMax || !printable.test(memberId)) {
    return invalid(
      `a member id has 1 to ${nameLengthMax} printable ASCII characters without spaces: take a random one`,
    );
  }
  for (const [what, text] of [
    ['instance id', instanceId],
    ['client id', clientId],
  ] as const) {
    if (text.length <= nameLengthMax) continue;
    return invalid(`the ${what} has ${text.length} characters; at most ${nameLengthMax} are allowed`);
  }
  if (topics.length === 0) return invalid('a member subscribes to at least one topic, this one to none');
  if (topics.length > memberTopicsMax) {
    const message = `a member subscribes to at most ${memberTopicsMax} topics, this one to ${topics.length}: use several groups`;
    return new TaskdError(ErrorCode.QUOTA, message);
  }
  const long = topics.find((topic) => topic.length === 0 || topic.length > nameLengthMax);
  if (long !== undefined) {
    return invalid(`a topic's name has 1 to ${nameLengthMax} characters, one of these has ${long.length}`);
  }
  if (assignor !== '' && !assignors.has(assignor)) {
    const names = [...assignors.keys()].join(', ');
    return invalid(`there is no assignor ${JSON.stringify(assignor.slice(0, nameLengthMax))}; there are ${names}`);
  }
  if (sessionTimeoutMs !== 0 && (sessionTimeoutMs < groupSessionMsMin || sessionTimeoutMs > groupSessionMsMax)) {
    return invalid(
      `the session timeout lies between ${groupSessionMsMin} and ${groupSessionMsMax} ms, ${sessionTimeoutMs} does not`,
    );
  }
  if (releaseTimeoutMs <= groupReleaseMsMax) return undefined;
  return invalid(`the release timeout is at most ${groupReleaseMsMax} ms, this one is ${releaseTimeoutMs}`);
}

export function sessionMs(request: taskd.JoinGroupRequest): number {
  return request.sessionTimeoutMs || groupSessionMs;
}

export function releaseMs(request: taskd.JoinGroupRequest): number {
  return request.releaseTimeoutMs || groupReleaseMs;
}

/** Why this commit can't be, whoever sends it. */
export function commitProblem({ group, offsets }: taskd.CommitOffsetsRequest): TaskdError | undefined {
  const problem = groupNameProblem(group);
  if (problem !== undefined || offsets.length <= commitPartitionsMax) return problem;
  return tooMany('a commit', offsets.length);
}

/** Why this offset can't be committed: the metadata. */
export function metadataProblem(metadata: string): TaskdError | undefined {
  const bytes = Buffer.byteLength(metadata);
  if (bytes <= offsetMetadataBytesMax) return undefined;
  const message = `the metadata of an offset has at most ${offsetMetadataBytesMax} bytes, this one ${bytes}: keep it elsewhere`;
  return new TaskdError(ErrorCode.TOO_LARGE, message);
}

export function tooMany(what: string, count: number): TaskdError {
  const message = `${what} names at most ${commitPartitionsMax} partitions, this one ${count}: use several`;
  return new TaskdError(ErrorCode.TOO_LARGE, message);
}

export function groupFull(group: string): TaskdError {
  const message = `group "${group}" has ${groupMembersMax} members already: use fewer, with more work at once each`;
  return new TaskdError(ErrorCode.QUOTA, message, { retry: Retry.AFTER, retryAfterMs: 10_000 });
}

export function tooManyGroups(group: string): TaskdError {
  const message = `there is no room for group "${group}": its coordinator has ${groupsMax} groups, the last ${groupsMax - groupsByHandMax} only for groups with members; remove some that nobody uses ("taskctl groups rm")`;
  return new TaskdError(ErrorCode.QUOTA, message);
}

export function tooManyByHand(group: string, clientId: string): TaskdError {
  const message = `there is no room for group "${group}": client "${clientId}" has made ${groupsByHandPerClientMax} groups without members at its coordinator by commits by hand or resets, which is as many as one client may; remove some ("taskctl groups rm"), or use groups that are there`;
  return new TaskdError(ErrorCode.QUOTA, message);
}

export function notReady(): TaskdError {
  const message = 'the coordinator of this group is starting; ask again in a moment';
  return new TaskdError(ErrorCode.NOT_READY, message, { retry: Retry.AFTER, retryAfterMs: 100 });
}

export function stopping(): TaskdError {
  return new TaskdError(ErrorCode.DRAINING, 'the coordinator of this group is stopping', { retry: Retry.OTHER });
}

export function busy(waiting: number): TaskdError {
  const message = `${waiting} offsets wait for the disk already; commit less often, or several partitions at once`;
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 100 });
}

export function notOwned(): TaskdError {
  const message = "the partition is not this member's (any more), so its offset was not committed: let it go";
  return new TaskdError(ErrorCode.MEMBER_FENCED, message);
}

/** Whoever read from this log can't have a place there; but records that were never synced may be gone after a power loss. */
export function beyondLog(topicId: number, partition: number, offset: number, logEnd: number): TaskdError {
  const message = `offset ${offset} lies beyond partition ${partition} of topic ${topicId}, which ends at ${logEnd}: commit the offset after the last record that was read, or read on from an offset that is there`;
  return new TaskdError(ErrorCode.OFFSET_OUT_OF_RANGE, message);
}

/** The answer for one offset that was not committed. */
export function refusedOffset(
  runtime: Runtime,
  topicId: number,
  partition: number,
  error: TaskdError,
): taskd.CommitResult.$Properties {
  return { topicId, partition, error: toErrorInfo(error, runtime, 'groups.commit') };
}
