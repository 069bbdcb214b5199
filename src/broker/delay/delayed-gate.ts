/** What a client's delayed record must be before it enters the ladder: from there on nobody can refuse it any more. */
import { delayMsMax, lastDelayLevel } from '../../base/delay-level.js';
import { ErrorCode, Retry, TaskdError } from '../../base/errors.js';
import { recordBytesMax } from '../../base/limits.js';
import type { BatchHeader } from '../../batch/header.js';
import { recordLength, type StoredRecord } from '../../batch/record.js';
import { type TopicInfo, topicPartitionsMax } from '../cluster-shard.js';
import { aheadMsMax, clockSlackMs } from './delayed-record.js';

/** What the gate asks about. */
export interface GateHost {
  topic(topicId: number): TopicInfo | undefined;
  wasDeleted(topicId: number): boolean;
  hasRoom(partition: number): boolean;
}

/** Records wait in the last level in memory, so only those that are soon due may come there at once. */
const lastLevelMsMax: number = 2_000 + clockSlackMs;

/**
 * Checks one record for a partition of `level`. Throws INVALID beyond a year or in the wrong level, NOT_FOUND and
 * FORBIDDEN for a target that never was or is not a client's, BUSY when the last level has too much to do.
 */
export function admitDelayed(
  host: GateHost,
  level: number,
  partition: number,
  nowMs: number,
): (record: StoredRecord, header: BatchHeader) => void {
  const isLast = level === lastDelayLevel;
  const leftMsMax = isLast ? lastLevelMsMax : aheadMsMax;
  let known: TopicInfo | undefined;
  if (isLast && !host.hasRoom(partition)) throw busy();
  return (record, { baseTimestamp }) => {
    const { type, origin, deliverAtMs, targetTopicId, targetPartition, timestampDelta, headers } = record;
    if (type !== 0 || origin !== 0) throw invalid('a delayed record has neither a type nor an origin of its own');
    if (deliverAtMs === 0) throw invalid('a record in a level of delay needs the time when it is due');
    // The record is written anew with each move, and must be readable each time.
    if (!Number.isSafeInteger(baseTimestamp + timestampDelta)) throw invalid('a record is dated beyond 2^53 ms');
    if (headers.length > 0 && recordLength(record) > recordBytesMax) throw tooLarge();
    if (targetPartition >= topicPartitionsMax) {
      throw invalid(
        `a topic has at most ${topicPartitionsMax} partitions, so none is a target with the number ${targetPartition}`,
      );
    }
    const leftMs = deliverAtMs - nowMs;
    if (leftMs > leftMsMax) throw isLast ? wrongLevel(leftMs) : tooFar(leftMs);
    if (known?.topicId !== targetTopicId) {
      // Others in the batch have other targets. It goes the way of a record whose target is deleted while it waits.
      if (host.wasDeleted(targetTopicId)) return;
      known = target(host, targetTopicId);
    }
    if (targetPartition < known.partitions) return;
    const message = `topic "${known.name}", the target, has ${known.partitions} partitions, and no ${targetPartition}`;
    throw new TaskdError(ErrorCode.NOT_FOUND, message);
  };
}

/**
 * Throws INVALID for a cancel of a record that nobody can have stored: it is said to be due beyond what was ever let in.
 * Its Cancel would be kept for as long.
 */
export function admitCancel(dueMs: number, nowMs: number): void {
  const leftMs = dueMs - nowMs;
  if (leftMs > aheadMsMax) throw tooFar(leftMs);
}

function target(host: GateHost, topicId: number): TopicInfo {
  const topic = host.topic(topicId);
  if (topic === undefined) {
    throw new TaskdError(
      ErrorCode.NOT_FOUND,
      `there is no topic with the id ${topicId}, the target of a delayed record`,
    );
  }
  if (!topic.internal) return topic;
  throw new TaskdError(ErrorCode.FORBIDDEN, `"${topic.name}" is no target for delayed records: it is taskd's own`);
}

function tooFar(leftMs: number): TaskdError {
  const days = (ms: number): number => Math.ceil(ms / 86_400_000);
  return invalid(`a record is delivered at most ${days(delayMsMax)} days ahead, this one in ${days(leftMs)} days`);
}

function wrongLevel(leftMs: number): TaskdError {
  const message = `a record that is due in ${Math.ceil(leftMs / 1_000)} s belongs into another level than the last one`;
  return invalid(`${message}; is the sender's clock right?`);
}

function tooLarge(): TaskdError {
  const message = `a delayed record has more than ${recordBytesMax} bytes with its headers' names as UTF-8`;
  return new TaskdError(ErrorCode.TOO_LARGE, message);
}

function busy(): TaskdError {
  const message = 'too many delayed records are due just now; send again in a moment';
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 200 });
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, message);
}
