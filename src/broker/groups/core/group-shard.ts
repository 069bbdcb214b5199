/**
 * One partition of `__groups` as a state machine: all groups whose names hash to it. `replay` is the only thing that
 * changes it. Who writes is the coordinator alone; what a record was decided on is checked again here, since others may
 * have come before it in the log, and whoever waits for it is told the verdict.
 */
import { ErrorCode, Retry, TaskdError } from '../../../base/errors.js';
import { isPartition, placeOf } from '../../../base/place.js';
import { BatchClass } from '../../../batch/header.js';
import type { NewRecord, StoredRecord } from '../../../batch/record.js';
import type { Shard } from '../../../coordinator/shard-runtime.js';
import type { CommittedBatch } from '../../../coordinator/task-log.js';
import { taskd } from '../../../wire/generated/messages.js';
import { Group } from './group.js';
import { piecesOf } from './group-pieces.js';
import { GroupRecord, groupPiece } from './group-record.js';

/** What replay made of a record. */
export interface GroupVerdict {
  /** Why nothing was changed by it. */
  readonly refusal: TaskdError | undefined;
  /** Of a commit: the places that were refused on their own. */
  readonly fenced: ReadonlySet<number>;
}

type MemberCommit = Pick<taskd.OffsetsCommitted, 'group' | 'memberId' | 'memberEpoch' | 'offsets'>;

const noPlaces: ReadonlySet<number> = new Set<number>();
const applied: GroupVerdict = { refusal: undefined, fenced: noPlaces };
const refused = (refusal: TaskdError): GroupVerdict => ({ refusal, fenced: noPlaces });
const isVoid = (why: string): GroupVerdict => refused(new TaskdError(ErrorCode.CONFLICT, why));

const nothing = new Uint8Array(0);
/** What a record takes in the log besides its value, about. */
const recordOverheadBytes = 32;

export class GroupShard implements Shard<GroupVerdict> {
  readonly groups: Map<string, Group> = new Map<string, Group>();
  /** Told after each batch, and at each look at the log's end. */
  onReplayed: () => void = () => {};
  onCaughtUp: () => void = () => {};
  onLost: (logStart: number) => void = () => {};
  onTrouble: (error: TaskdError) => void = () => {};
  /** Groups that records of the batch have named; whoever looks clears it. */
  readonly touched: Set<Group> = new Set<Group>();
  /** Of records since all groups were last written in pieces, about, and of those pieces. */
  bytes = 0;
  pieceBytes = 0;
  /** The offset of the first of the latest whole row of pieces: what is before it in the log is not needed. */
  base: number | undefined;
  /** The last record that is no piece. */
  #last: number | undefined;
  /** The pieces that are being read. */
  #row: { readonly first: number; next: number; bytes: number; readonly isMade: boolean } | undefined;

  replay(record: StoredRecord, batch: CommittedBatch): GroupVerdict {
    const bytes = recordOverheadBytes + (record.value?.length ?? 0);
    if (record.type === GroupRecord.GROUP_PIECE && batch.batchClass === BatchClass.OWNER) {
      return this.#replayPiece(record, bytes);
    }
    this.#last = record.offset;
    this.bytes += bytes;
    if (batch.batchClass !== BatchClass.OWNER) return isVoid('only the coordinator writes here');
    try {
      return this.#apply(record.type, record.value ?? nothing, record.offset + 1, batch.appendTimestampMs);
    } catch (error) {
      return isVoid(`the record does not parse: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  replayed(): void {
    this.onReplayed();
  }

  caughtUp(): void {
    this.onCaughtUp();
  }

  lost(logStart: number): void {
    this.onLost(logStart);
  }

  trouble(error: TaskdError): void {
    this.onTrouble(error);
  }

  /** What of a member's commit is refused: all of it, or the partitions that are not its own (any more). */
  judgeCommit({ group: name, memberId, memberEpoch, offsets }: MemberCommit): GroupVerdict {
    const group = this.groups.get(name);
    const member = group?.members.get(memberId);
    if (group === undefined || member === undefined) {
      const wasReplaced = group?.wasReplaced(memberId) === true;
      return refused(wasReplaced ? replaced(memberId) : unknownMember(name, memberId));
    }
    const fenced = new Set<number>();
    for (const { topicId, partition } of offsets) {
      const place = placeOf(topicId ?? 0, partition ?? 0);
      if (!group.mayCommit(member, memberEpoch, place)) fenced.add(place);
    }
    return fenced.size === 0 ? applied : { refusal: undefined, fenced };
  }

  /** All groups in pieces, for one write with nothing of this shard's own under way. */
  pieces(): NewRecord[] {
    const pieces = [...this.groups.values()].flatMap((group) => piecesOf(group));
    if (pieces.length === 0) pieces.push({ group: '' });
    const after = this.#last ?? 0;
    return pieces.map((piece, index) => groupPiece({ ...piece, after, index, count: pieces.length }));
  }

  /** All of the state as text; equal texts are equal states. */
  describe(): string {
    const names = [...this.groups.keys()].sort();
    return names.map((name) => this.groups.get(name)!.describe()).join('\n');
  }

  #replayPiece({ value, offset }: StoredRecord, bytes: number): GroupVerdict {
    try {
      return this.#piece(taskd.GroupPiece.decode(value ?? nothing), offset, bytes);
    } catch (error) {
      return isVoid(`the record does not parse: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** Pieces change nothing, unless the log begins with them. */
  #piece(piece: taskd.GroupPiece, offset: number, bytes: number): GroupVerdict {
    if (piece.index === 0) this.#row = { first: offset, next: 0, bytes: 0, isMade: this.#last === undefined };
    const row = this.#row;
    const isNext = row !== undefined && row.next === piece.index && row.first + piece.index === offset;
    if (!isNext || !(row.isMade || piece.after === this.#last)) {
      this.#row = undefined;
      return isVoid('other records came between');
    }
    row.next++;
    row.bytes += bytes;
    if (row.isMade && piece.group !== '') this.#need(piece.group).restore(piece);
    if (row.next < piece.count) return applied;
    this.#row = undefined;
    this.#last = piece.after;
    this.base = row.first;
    this.bytes = 0;
    this.pieceBytes = row.bytes;
    return applied;
  }

  #apply(type: number, value: Uint8Array, epoch: number, nowMs: number): GroupVerdict {
    switch (type) {
      case GroupRecord.MEMBER_JOINED:
        return this.#joined(taskd.MemberJoined.decode(value), epoch);
      case GroupRecord.TARGET_CHANGED:
        return this.#retargeted(taskd.TargetChanged.decode(value), epoch);
      case GroupRecord.PARTITIONS_RELEASED:
        return this.#released(taskd.PartitionsReleased.decode(value), epoch);
      case GroupRecord.MEMBER_OUT:
        return this.#out(taskd.MemberOut.decode(value), epoch, nowMs);
      case GroupRecord.OFFSETS_COMMITTED:
        return this.#committed(taskd.OffsetsCommitted.decode(value), epoch, nowMs);
      case GroupRecord.GROUP_REMOVED:
        return this.#removed(taskd.GroupRemoved.decode(value), nowMs);
      case GroupRecord.TOPIC_GONE:
        return this.#topicGone(taskd.TopicGone.decode(value), epoch);
      default:
        return isVoid(`records of type ${type} are not known to this version`);
    }
  }

  #joined(fields: taskd.MemberJoined, epoch: number): GroupVerdict {
    const known = this.groups.get(fields.group);
    const member = known?.members.get(fields.memberId);
    if (member === undefined) {
      if (known?.wasReplaced(fields.memberId) === true) return refused(replaced(fields.memberId));
      if (fields.memberEpoch > 0) return refused(unknownMember(fields.group, fields.memberId));
    } else if (fields.memberEpoch > member.epoch) {
      return refused(unknownMember(fields.group, fields.memberId));
    } else if (fields.instanceId !== member.instanceId) {
      return refused(otherInstance(fields.memberId, member.instanceId));
    }
    if (known !== undefined) {
      const former = fields.instanceId === '' ? undefined : known.memberOfInstance(fields.instanceId);
      const others = known.members.size - ((member ?? former) ? 1 : 0);
      if (others > 0 && known.assignor !== fields.assignor) return refused(otherAssignor(known, fields.assignor));
    }
    const group = this.#need(fields.group);
    if (member === undefined) group.join(fields, epoch);
    else group.rejoin(member, fields, epoch);
    return applied;
  }

  #retargeted(fields: taskd.TargetChanged, epoch: number): GroupVerdict {
    const group = this.#find(fields.group);
    if (group === undefined) return isVoid('there is no such group');
    group.retarget(fields.moves, epoch);
    return applied;
  }

  #released(fields: taskd.PartitionsReleased, epoch: number): GroupVerdict {
    const group = this.#find(fields.group);
    const member = group?.members.get(fields.memberId);
    if (group === undefined || member === undefined) return refused(unknownMember(fields.group, fields.memberId));
    const places = fields.partitions.flatMap(({ topicId, partitions }) =>
      (partitions ?? []).map((partition) => placeOf(topicId ?? 0, partition)),
    );
    group.release(member, fields.memberEpoch, places, epoch);
    return applied;
  }

  #out(fields: taskd.MemberOut, epoch: number, nowMs: number): GroupVerdict {
    const group = this.#find(fields.group);
    const member = group?.members.get(fields.memberId);
    if (group === undefined || member === undefined) return refused(unknownMember(fields.group, fields.memberId));
    if (fields.joinEpoch > 0 && fields.joinEpoch !== member.joinEpoch) return isVoid('it has joined again');
    group.remove(member, fields.reason, epoch, nowMs);
    return applied;
  }

  #committed(fields: taskd.OffsetsCommitted, epoch: number, nowMs: number): GroupVerdict {
    if (fields.memberId === '') return this.#committedByHand(fields, epoch, nowMs);
    const verdict = this.judgeCommit(fields);
    const group = this.#find(fields.group);
    if (verdict.refusal !== undefined || group === undefined) return verdict;
    for (const { topicId, partition, offset, metadata } of fields.offsets) {
      const place = placeOf(topicId ?? 0, partition ?? 0);
      if (!verdict.fenced.has(place)) group.offsets.set(place, { offset: offset ?? 0, metadata: metadata ?? '' });
    }
    return verdict;
  }

  #committedByHand(fields: taskd.OffsetsCommitted, epoch: number, nowMs: number): GroupVerdict {
    const members = this.groups.get(fields.group)?.members.size ?? 0;
    if (members > 0) return refused(hasMembers(fields.group, members));
    const group = this.#need(fields.group);
    for (const { topicId, partition, offset, metadata } of fields.offsets) {
      if (!isPartition(partition ?? 0)) continue;
      group.offsets.set(placeOf(topicId ?? 0, partition ?? 0), { offset: offset ?? 0, metadata: metadata ?? '' });
    }
    group.idle(epoch, nowMs);
    return applied;
  }

  #removed(fields: taskd.GroupRemoved, nowMs: number): GroupVerdict {
    const group = this.#find(fields.group);
    if (group === undefined) return refused(noGroup(fields.group));
    if (group.members.size > 0) return refused(hasMembers(fields.group, group.members.size));
    if (fields.idleSince > 0) {
      if (fields.idleSince !== group.idleSince) return isVoid('it was used since');
      if (nowMs - group.idleSinceMs < fields.keptMs) return isVoid('its time is not over');
    }
    this.groups.delete(fields.group);
    return applied;
  }

  #topicGone({ topicId }: taskd.TopicGone, epoch: number): GroupVerdict {
    for (const group of this.groups.values()) {
      group.forgetTopic(topicId, epoch);
      this.touched.add(group);
    }
    return applied;
  }

  #find(name: string): Group | undefined {
    const group = this.groups.get(name);
    if (group !== undefined) this.touched.add(group);
    return group;
  }

  #need(name: string): Group {
    let group = this.groups.get(name);
    if (group === undefined) {
      group = new Group(name);
      this.groups.set(name, group);
    }
    this.touched.add(group);
    return group;
  }
}

export function unknownMember(group: string, memberId: string): TaskdError {
  const message = `group "${group}" has no member "${memberId}" (any more): drop all partitions and join again with epoch 0`;
  return new TaskdError(ErrorCode.UNKNOWN_MEMBER, message, { retry: Retry.NEVER });
}

export function replaced(memberId: string): TaskdError {
  const message = `another process has joined with the instance id of member "${memberId}": each process needs its own`;
  return new TaskdError(ErrorCode.MEMBER_FENCED, message);
}

export function noGroup(name: string): TaskdError {
  return new TaskdError(ErrorCode.NOT_FOUND, `there is no group "${name}"`);
}

export function hasMembers(name: string, count: number): TaskdError {
  const message = `group "${name}" has ${count} members; this needs one without: stop them, and wait for their session timeout`;
  return new TaskdError(ErrorCode.CONFLICT, message);
}

function otherInstance(memberId: string, instanceId: string): TaskdError {
  const message = `member "${memberId}" has the instance id "${instanceId}", which stays: take a new member id for another`;
  return new TaskdError(ErrorCode.INVALID, message);
}

function otherAssignor(group: Group, assignor: string): TaskdError {
  const message = `the ${group.members.size} members of group "${group.name}" use the assignor "${group.assignor}", this one asks for "${assignor}": all must ask for the same`;
  return new TaskdError(ErrorCode.CONFLICT, message);
}
