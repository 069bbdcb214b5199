/** Records of the last level's own, between the delayed ones: what it decides, and what it is told. */
import type { NewRecord } from '../../batch/record.js';
import { taskd } from '../../wire/generated/messages.js';

/** Types of records in the last level. Format: never reuse a number. 0 is a delayed record. */
export const FireRecord = { FIRE: 2, FIRE_DONE: 3, CANCEL: 4 } as const;

export interface Fire {
  readonly topicId: number;
  readonly partition: number;
  /** Of the delayed records, in the order of the log. */
  readonly offsets: readonly number[];
  /** Of the Fire whose records this one takes over. */
  readonly insteadOf: number | undefined;
}

export function fireRecord({ topicId, partition, offsets, insteadOf }: Fire): NewRecord {
  let before = 0;
  const distances = offsets.map((offset) => {
    const distance = offset - before;
    before = offset;
    return distance;
  });
  const fields = { targetTopicId: topicId, targetPartition: partition, offsets: distances };
  const message = insteadOf === undefined ? fields : { ...fields, insteadOf };
  return { type: FireRecord.FIRE, value: taskd.DelayFire.encode(message).finish() };
}

export function readFire(value: Uint8Array): Fire {
  const message = taskd.DelayFire.decode(value);
  const { targetTopicId, targetPartition, offsets: distances } = message;
  let offset = 0;
  const offsets = distances.map((distance) => {
    offset += distance;
    return offset;
  });
  const insteadOf = Object.hasOwn(message, 'insteadOf') ? (message.insteadOf ?? 0) : undefined;
  return { topicId: targetTopicId, partition: targetPartition, offsets, insteadOf };
}

export interface FireDone {
  readonly topicId: number;
  readonly partition: number;
  readonly upTo: number;
}

export function fireDoneRecord({ topicId, partition, upTo }: FireDone): NewRecord {
  const message = { targetTopicId: topicId, targetPartition: partition, upTo };
  return { type: FireRecord.FIRE_DONE, value: taskd.DelayFireDone.encode(message).finish() };
}

export function readFireDone(value: Uint8Array): FireDone {
  const { targetTopicId, targetPartition, upTo } = taskd.DelayFireDone.decode(value);
  return { topicId: targetTopicId, partition: targetPartition, upTo };
}

export interface Cancel {
  /** See `originOf`. */
  readonly origin: number;
  readonly dueMs: number;
  readonly carried: boolean;
}

export function cancelRecord(cancel: Cancel): NewRecord {
  const { origin, dueMs: deliverAtMs, carried } = cancel;
  const message = { offset: Math.floor(origin / 16), level: (origin % 16) - 1, deliverAtMs, carried };
  return { type: FireRecord.CANCEL, value: taskd.DelayCancel.encode(message).finish() };
}

export function readCancel(value: Uint8Array): Cancel {
  const { offset, level, deliverAtMs: dueMs, carried } = taskd.DelayCancel.decode(value);
  return { origin: offset * 16 + level + 1, dueMs, carried };
}
