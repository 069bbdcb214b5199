import type { NewRecord } from '../../../batch/record.js';
import { taskd } from '../../../wire/generated/messages.js';

/** Types of records in `__groups`. Format: never reuse a number. */
export const GroupRecord = {
  MEMBER_JOINED: 1,
  TARGET_CHANGED: 2,
  PARTITIONS_RELEASED: 3,
  MEMBER_OUT: 4,
  OFFSETS_COMMITTED: 5,
  GROUP_REMOVED: 6,
  TOPIC_GONE: 7,
  GROUP_PIECE: 8,
} as const;

export function memberJoined(fields: taskd.MemberJoined.$Properties): NewRecord {
  return { type: GroupRecord.MEMBER_JOINED, value: taskd.MemberJoined.encode(fields).finish() };
}

export function targetChanged(fields: taskd.TargetChanged.$Properties): NewRecord {
  return { type: GroupRecord.TARGET_CHANGED, value: taskd.TargetChanged.encode(fields).finish() };
}

export function partitionsReleased(fields: taskd.PartitionsReleased.$Properties): NewRecord {
  return { type: GroupRecord.PARTITIONS_RELEASED, value: taskd.PartitionsReleased.encode(fields).finish() };
}

export function memberOut(fields: taskd.MemberOut.$Properties): NewRecord {
  return { type: GroupRecord.MEMBER_OUT, value: taskd.MemberOut.encode(fields).finish() };
}

export function offsetsCommitted(fields: taskd.OffsetsCommitted.$Properties): NewRecord {
  return { type: GroupRecord.OFFSETS_COMMITTED, value: taskd.OffsetsCommitted.encode(fields).finish() };
}

export function groupRemoved(fields: taskd.GroupRemoved.$Properties): NewRecord {
  return { type: GroupRecord.GROUP_REMOVED, value: taskd.GroupRemoved.encode(fields).finish() };
}

export function topicGone(topicId: number): NewRecord {
  return { type: GroupRecord.TOPIC_GONE, value: taskd.TopicGone.encode({ topicId }).finish() };
}

export function groupPiece(fields: taskd.GroupPiece.$Properties): NewRecord {
  return { type: GroupRecord.GROUP_PIECE, value: taskd.GroupPiece.encode(fields).finish() };
}
