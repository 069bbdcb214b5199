import {
  type DelayedId,
  delayedIdText,
  delayMsMax,
  delayPartition,
  delayTopicName,
  parseDelayedId,
} from '../base/delay-level.js';
import { ErrorCode, TaskdError } from '../base/errors.js';
import { BatchClass } from '../batch/header.js';
import type { NewRecord } from '../batch/record.js';
import { cancelDelayed, openDelayLevel } from '../wire/methods.js';
import type { Delivered, Producer } from './producer.js';
import type { TopicDirectory, TopicPlace } from './topic-directory.js';

/** When a record is to be delivered: at most one of these. */
export interface Delay {
  /** Milliseconds since 1970. In the past: at once. */
  readonly deliverAtMs?: number;
  /** From now, by this process's clock. */
  readonly delayMs?: number;
  /** One of RocketMQ's levels, by name ('1s' to '2h') or number (1 to 18). */
  readonly delayLevel?: string | number;
}

const minuteMs = 60_000;
const levelNames = '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h'.split(' ');
const unitMs: Record<string, number> = { s: 1_000, m: minuteMs, h: 60 * minuteMs };

/**
 * When a record with this delay is due; undefined when none is asked for. Throws INVALID for more than one, for what is
 * no time, for an unknown level, and beyond a year.
 */
export function deliverAtOf(delay: Delay, nowMs: number): number | undefined {
  const { deliverAtMs, delayMs, delayLevel } = delay;
  const given = [deliverAtMs, delayMs, delayLevel].filter((each) => each !== undefined).length;
  if (given === 0) return undefined;
  if (given > 1) throw invalid('give one of deliverAtMs, delayMs and delayLevel');
  const atMs = deliverAtMs ?? nowMs + (delayMs ?? levelMs(delayLevel!));
  if (!(Number.isFinite(atMs) && (delayMs ?? 0) >= 0)) {
    throw invalid('deliverAtMs is a time in milliseconds since 1970, delayMs a number of milliseconds, 0 or more');
  }
  if (atMs - nowMs > delayMsMax) {
    const days = delayMsMax / (24 * 60 * minuteMs);
    throw invalid(
      `a record is delivered at most ${days} days ahead, this one ${Math.ceil((atMs - nowMs) / 86_400_000)}`,
    );
  }
  return Math.max(1, Math.ceil(atMs));
}

function levelMs(level: string | number): number {
  const name = typeof level === 'number' ? levelNames[level - 1] : level;
  if (name === undefined || !levelNames.includes(name)) {
    throw invalid(`there is no delay level ${JSON.stringify(level)}: 1 to 18, or ${levelNames.join(', ')}`);
  }
  return Number(name.slice(0, -1)) * unitMs[name.slice(-1)]!;
}

/**
 * Stores a record in a level of the ladder, from where brokers deliver it. Durable when it resolves: it is delivered at
 * `deliverAtMs`, once, unless it is cancelled by its `delayedId`. Its delivery timeout began at `sinceMs`. Rejects as
 * `Producer.send` does; NOT_FOUND when there is no such target.
 */
export async function sendDelayed(
  producer: Producer,
  place: TopicPlace,
  level: number,
  target: { readonly topicId: number; readonly partition: number },
  record: NewRecord,
  deliverAtMs: number,
  sinceMs: number,
): Promise<Delivered> {
  const { topicId, partition } = target;
  const through = delayPartition(topicId, partition, place.partitions);
  const delayed = { ...record, deliverAtMs, targetTopicId: topicId, targetPartition: partition };
  const sent = producer.send(place.topicId, through, delayed, BatchClass.CLIENT, sinceMs);
  const { offset, appendTimestampMs } = await sent;
  return {
    partition,
    offset,
    appendTimestampMs,
    delayedId: delayedIdText({ partition: through, level, offset, deliverAtMs }),
  };
}

/** The topic of a level, which brokers make when it is first used. */
export async function openLevel(topics: TopicDirectory, level: number, deadlineMs: number): Promise<TopicPlace> {
  await topics.ask(openDelayLevel, { level }, deadlineMs);
  return topics.named(delayTopicName(level), deadlineMs);
}

/**
 * Durable when it resolves: true when the record will not be delivered; false when there is nothing to cancel: it was
 * delivered, or is just being delivered, or was cancelled before, or never was. Throws INVALID for what is no id.
 */
export async function cancelDelivery(topics: TopicDirectory, id: string): Promise<boolean> {
  const parts: DelayedId = parseDelayedId(id);
  const { cancelled } = await topics.ask(cancelDelayed, parts);
  return cancelled;
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, message);
}
