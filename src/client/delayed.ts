import {
  type DelayedId,
  delayedIdText,
  delayLevelFor,
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
import type { TopicPlace } from './topic-directory.js';
import type { QueueNetwork } from './topic-producer.js';

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

/** Stores records in the ladder of delay, from where the brokers deliver them. */
export class DelayedSends {
  readonly #network: QueueNetwork;
  /** By level; asked for once. */
  readonly #levels: (Promise<TopicPlace> | undefined)[] = [];

  constructor(network: QueueNetwork) {
    this.#network = network;
  }

  /**
   * Stores a record that `deliverAtOf` has given a time. Durable when it resolves: it is delivered then, once, unless it
   * is cancelled by its `delayedId`. Rejects as `Producer.send` does; NOT_FOUND when there is no such target.
   */
  async send(
    producer: Producer,
    topicId: number,
    partition: number,
    record: NewRecord,
    deliverAtMs: number,
  ): Promise<Delivered> {
    const level = delayLevelFor(deliverAtMs - this.#network.runtime.clock.wallMs());
    const { topicId: levelTopicId, partitions } = await this.#level(level);
    const through = delayPartition(topicId, partition, partitions);
    const delayed = { ...record, deliverAtMs, targetTopicId: topicId, targetPartition: partition };
    const { offset, appendTimestampMs } = await producer.send(levelTopicId, through, delayed, BatchClass.CLIENT);
    const delayedId = delayedIdText({ partition: through, level, offset, deliverAtMs });
    return { partition, offset, appendTimestampMs, delayedId };
  }

  /**
   * Durable when it resolves: true when the record will not be delivered; false when there is nothing to cancel: it was
   * delivered, or is just being delivered, or was cancelled before, or never was. Throws INVALID for what is no id.
   */
  async cancel(id: string): Promise<boolean> {
    const parts: DelayedId = parseDelayedId(id);
    const { cancelled } = await this.#network.topics.ask(cancelDelayed, parts);
    return cancelled;
  }

  #level(level: number): Promise<TopicPlace> {
    let place = this.#levels[level];
    if (place === undefined) {
      place = this.#open(level);
      this.#levels[level] = place;
      place.catch(() => {
        this.#levels[level] = undefined;
      });
    }
    return place;
  }

  async #open(level: number): Promise<TopicPlace> {
    await this.#network.topics.ask(openDelayLevel, { level });
    return this.#network.topics.named(delayTopicName(level));
  }
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, message);
}
