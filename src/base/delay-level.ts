/**
 * The ladder of delay, as clients and brokers share it. A delayed record waits in a level, a queue in which every record
 * waits equally long, then moves to a shorter one; it spends its last seconds in the last level, from where it goes to
 * its target on its millisecond.
 *
 * | level   | topic        | a record waits there |
 * |---------|--------------|----------------------|
 * | 0 to 12 | `__delay.k`  | 4^k seconds          |
 * | 13      | `__delay.last` | until it is due    |
 */
import { writeU32 } from './bytes.js';
import { ErrorCode, TaskdError } from './errors.js';
import { keyPartition } from './murmur2.js';

/** Levels in which every record waits equally long: 4^12 s are half a year. */
export const delayLevelCount = 13;
/** The level from which records go to their targets. */
export const lastDelayLevel: number = delayLevelCount;
/** How far ahead a record may be delivered. */
export const delayMsMax: number = 366 * 24 * 3_600_000;

/** Less than this is waited for in the last level. */
const lastLevelMs = 2_000;
/** What must be left after a level, so that the move out of it makes no record late. */
const moveMs = 1_000;

export function delaySpanMs(level: number): number {
  return 1_000 * 4 ** level;
}

/** The level for a record that has `leftMs` to wait: the longest one that is over a second before it is due. */
export function delayLevelFor(leftMs: number): number {
  if (leftMs < lastLevelMs) return lastDelayLevel;
  let level = 0;
  while (level + 1 < delayLevelCount && delaySpanMs(level + 1) + moveMs <= leftMs) level++;
  return level;
}

export function delayTopicName(level: number): string {
  return level === lastDelayLevel ? '__delay.last' : `__delay.${level}`;
}

const place = new Uint8Array(8);

/** The partition of every level through which records for this target partition go. */
export function delayPartition(topicId: number, partition: number, partitions: number): number {
  writeU32(place, 0, topicId);
  writeU32(place, 4, partition);
  return keyPartition(place, partitions);
}

/** What a delayed record is cancelled by: where it was first stored, and when it is due. */
export interface DelayedId {
  readonly partition: number;
  readonly level: number;
  readonly offset: number;
  readonly deliverAtMs: number;
}

/** `partition:level:offset:deliverAtMs`. */
export function delayedIdText({ partition, level, offset, deliverAtMs }: DelayedId): string {
  return `${partition}:${level}:${offset}:${deliverAtMs}`;
}

/** Throws INVALID for a text that is no id. */
export function parseDelayedId(text: string): DelayedId {
  const match = /^(\d{1,5}):(\d{1,2}):(\d{1,15}):(\d{1,15})$/.exec(text);
  const [partition, level, offset, deliverAtMs] = (match ?? []).slice(1).map(Number);
  if (partition === undefined || level === undefined || offset === undefined || deliverAtMs === undefined) {
    const shown = text.length > 80 ? `${text.slice(0, 80)}...` : text;
    throw new TaskdError(
      ErrorCode.INVALID,
      `"${shown}" is not the id of a delayed record, such as 2:5:1234:1764120000000`,
    );
  }
  return { partition, level, offset, deliverAtMs };
}
