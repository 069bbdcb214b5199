/**
 * Records that are due and whose target takes nothing, such as a partition that a failed disk has made read-only. Those
 * that are too many for the last level's memory go round: they wait in a level once more, and come back.
 */
import { delaySpanMs } from '../../base/delay-level.js';
import type { Onward } from './delayed-record.js';
import type { Pending } from './fire-target.js';

/**
 * Type of a record in a level that waits its full time there though it is due. Format: 0 is a delayed record, 1 to 4 are
 * those of moved-record.ts and fire-records.ts.
 */
export const parkedType = 5;

const levelMin = 1;
/** 17 minutes: what a target that comes back waits for at most. */
const levelMax = 5;

/** The level for records that are `lateMs` late: what they are late at most doubles, and each goes round less and less often. */
export function parkingLevel(lateMs: number): number {
  let level = levelMin;
  while (level < levelMax && delaySpanMs(level + 1) <= lateMs) level++;
  return level;
}

/** As it waits in a level: all that it had when it came, with its own time, by which it is in order when it comes back. */
export function parked({ record, origin, dueMs }: Pending, timestampDelta: number): Onward {
  const { key, value, headers, targetTopicId, targetPartition } = record!;
  return {
    key,
    value,
    headers,
    timestampDelta,
    type: parkedType,
    deliverAtMs: dueMs,
    targetTopicId,
    targetPartition,
    origin,
  };
}
