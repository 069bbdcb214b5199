import { ErrorCode, TaskdError } from '../../base/errors.js';
import {
  groupReleaseMs,
  groupReleaseMsMax,
  groupSessionMs,
  groupSessionMsMax,
  groupSessionMsMin,
} from '../../base/limits.js';
import { topicRetriesMax } from '../../base/topic-config.js';
import { checkName } from '../job-definition.js';
import type { TopicPartition } from './open-partition.js';
import type { Position } from './positions.js';
import { checkRetryNames, retryTopicNames } from './retry-ladder.js';
import type { Order } from './work-queue.js';

/** Data that the log had and has lost: offsets from `from` up to `to`, which is one more than the last. */
export interface LostData extends TopicPartition {
  readonly from: number;
  /** Equal to `from` where nobody knows how much is gone. */
  readonly to: number;
  readonly error: TaskdError;
  /** A person has decided to live without them (`taskctl log repair`). */
  readonly isGivenUp: boolean;
}

export interface ConsumerOptions {
  /** Members of one group share the partitions. Without a group the consumer reads on its own and commits nothing. */
  readonly group?: string;
  readonly topics: readonly string[];
  /** Only these partitions of each topic; not in a group. */
  readonly partitions?: readonly number[];
  /** Where to begin in partitions of which the group has committed nothing. Default 'earliest'. */
  readonly from?: Position;
  /** Ends once all that was stored when it began is processed; not in a group. */
  readonly stopAtEnd?: boolean;
  /** How partitions are shared, default 'sticky'; the same for all members. */
  readonly assignor?: 'sticky' | 'range';
  /** A name that outlives the process: a restart within the session timeout moves no partition. */
  readonly instanceId?: string;
  /** Without a beat for so long a member is out. Beats are independent of handlers. Default 6 s. */
  readonly sessionTimeoutMs?: number;
  /** How long handlers may take to finish when a partition goes to another member. Default 60 s. */
  readonly releaseTimeoutMs?: number;
  /**
   * What waits for what: 'partition' (default) handles the records of a partition one by one, 'key' those of a key,
   * 'none' any at once. Batches of `runBatch` come one at a time for each partition, whatever this says.
   */
  readonly order?: Order;
  /** Handlers at once. Default 16. */
  readonly concurrency?: number;
  /** Records of one `runBatch` call at most. Default 500. */
  readonly batchRecords?: number;
  /** Bytes of records that wait in memory. Default 32 MiB. */
  readonly prefetchBytes?: number;
  /** False: nothing is committed but by `commit()`. Default true: what was processed, each `commitIntervalMs`. */
  readonly autoCommit?: boolean;
  /** Default 1 s. */
  readonly commitIntervalMs?: number;
  /** A handler that runs longer is told to stop and counts as failed. Default: no limit. */
  readonly handlerTimeoutMs?: number;
  /**
   * What becomes of a record whose handler throws. Default, in a group: it goes up the topic's retry ladder, then to the
   * dead letters. `delaysMs` is another ladder. False, or without a group: `run` rejects with what was thrown.
   */
  readonly retry?: false | { readonly delaysMs: readonly number[] };
  /** What to do when the log has nothing at the committed offset, such as after retention. Default 'earliest'. */
  readonly outOfRange?: 'earliest' | 'latest' | 'error';
  /** How long `close` waits for handlers before it tells them to stop. Default 30 s. */
  readonly closeTimeoutMs?: number;
  /**
   * These are this member's from now on. Nothing of them is handled before it resolves, but for one that has not within
   * `releaseTimeoutMs`: that is told as trouble, and they are consumed all the same.
   */
  readonly onAssigned?: (partitions: readonly TopicPartition[]) => unknown;
  /** These go to others: nothing of them runs any more. They are committed, and go, once it resolves. */
  readonly onRevoked?: (partitions: readonly TopicPartition[]) => unknown;
  /** These may be others' already: what was not committed is handled again there. */
  readonly onLost?: (partitions: readonly TopicPartition[]) => unknown;
  /**
   * Says what to do about lost data, and about a batch that no reader can unpack (its error is MALFORMED, not DATA_LOSS).
   * Default: that partition stops, the others go on.
   */
  readonly onDataLoss?: (lost: LostData) => 'skip' | 'stop';
  /** Something failed that goes on by itself, or a partition stopped. Default: the runtime's log. */
  readonly onTrouble?: (error: Error, partition: TopicPartition | undefined) => void;
}

type Callbacks = Pick<ConsumerOptions, 'onAssigned' | 'onRevoked' | 'onLost' | 'onDataLoss' | 'onTrouble'>;

/** All options, with defaults, checked. */
export interface ConsumerSettings {
  readonly group: string;
  readonly topics: readonly string[];
  readonly partitions: readonly number[] | undefined;
  readonly from: Position;
  readonly stopAtEnd: boolean;
  readonly assignor: string;
  readonly instanceId: string;
  readonly sessionTimeoutMs: number;
  readonly releaseTimeoutMs: number;
  readonly order: Order;
  readonly concurrency: number;
  readonly batchRecords: number;
  readonly prefetchBytes: number;
  readonly autoCommit: boolean;
  readonly commitIntervalMs: number;
  readonly handlerTimeoutMs: number;
  readonly hasRetries: boolean;
  readonly retryDelaysMs: readonly number[] | undefined;
  readonly outOfRange: 'earliest' | 'latest' | 'error';
  readonly closeTimeoutMs: number;
  readonly callbacks: Callbacks;
}

const hourMs = 3_600_000;
const dayMs = 86_400_000;
const yearMs = 365 * dayMs;
/** Topics of one member, its retry topics included. */
const topicsMax = 256;
const concurrencyMax = 10_000;

/** Throws INVALID with what is wrong and the limit. */
export function consumerSettings(options: ConsumerOptions): ConsumerSettings {
  const { group = '', topics, partitions, stopAtEnd = false, retry, instanceId = '' } = options;
  const hasRetries = group !== '' && retry !== false;
  const most = Math.floor(topicsMax / (hasRetries ? 1 + retryTopicNames(group, '').length : 1));
  if (!Array.isArray(topics) || topics.length === 0 || topics.length > most) {
    throw invalid(`topics are 1 to ${most} names`);
  }
  for (const topic of topics) checkName(topic, 'the topic');
  if (new Set(topics).size !== topics.length) throw invalid('a topic is named twice');
  if (group !== '') checkName(group, 'the group');
  if (instanceId !== '') checkName(instanceId, 'the instance id');
  const ofGroups: [unknown, string][] = [
    [options.assignor, 'assignor'],
    [options.instanceId, 'instanceId'],
    [options.autoCommit, 'autoCommit'],
    [options.retry || undefined, 'retry'],
  ];
  const alone: [unknown, string][] = [
    [partitions, 'partitions'],
    [options.stopAtEnd, 'stopAtEnd'],
  ];
  for (const [value, name] of group === '' ? ofGroups : alone) {
    if (value === undefined) continue;
    throw invalid(group === '' ? `${name} is for groups: name a group` : `${name} is for consumers without a group`);
  }
  if (hasRetries) for (const topic of topics) checkRetryNames(group, topic);
  const delays = retry ? retry.delaysMs : undefined;
  if (delays !== undefined) {
    if (!Array.isArray(delays) || delays.length > topicRetriesMax) {
      throw invalid(`retry.delaysMs are at most ${topicRetriesMax} waits in milliseconds`);
    }
    for (const delay of delays) check(delay, 'a wait in retry.delaysMs', 0, yearMs);
  }
  const count = (name: keyof ConsumerOptions, fallback: number, min: number, max: number): number =>
    check(options[name] ?? fallback, name, min, max);
  return {
    group,
    topics,
    partitions,
    from: checkPosition(options.from ?? 'earliest'),
    stopAtEnd,
    assignor: oneOf(options.assignor ?? 'sticky', 'assignor', ['sticky', 'range']),
    instanceId,
    sessionTimeoutMs: count('sessionTimeoutMs', groupSessionMs, groupSessionMsMin, groupSessionMsMax),
    releaseTimeoutMs: count('releaseTimeoutMs', groupReleaseMs, 100, groupReleaseMsMax),
    order: oneOf(options.order ?? 'partition', 'order', ['partition', 'key', 'none']),
    concurrency: count('concurrency', 16, 1, concurrencyMax),
    batchRecords: count('batchRecords', 500, 1, concurrencyMax),
    prefetchBytes: count('prefetchBytes', 32 * 1024 * 1024, 64 * 1024, 4 * 1024 * 1024 * 1024),
    autoCommit: options.autoCommit ?? true,
    commitIntervalMs: count('commitIntervalMs', 1_000, 10, hourMs),
    handlerTimeoutMs: count('handlerTimeoutMs', 0, 0, dayMs),
    hasRetries,
    retryDelaysMs: delays,
    outOfRange: oneOf(options.outOfRange ?? 'earliest', 'outOfRange', ['earliest', 'latest', 'error']),
    closeTimeoutMs: count('closeTimeoutMs', 30_000, 0, hourMs),
    callbacks: options,
  };
}

function checkPosition(from: Position): Position {
  if (from === 'earliest' || from === 'latest') return from;
  const number = typeof from === 'object' && from !== null ? Object.values(from)[0] : undefined;
  if (Number.isSafeInteger(number) && (number as number) >= 0) return from;
  throw invalid(`from is 'earliest', 'latest', { timeMs } or { offset }`);
}

function oneOf<T extends string>(value: T, name: string, allowed: readonly T[]): T {
  if (allowed.includes(value)) return value;
  throw invalid(`${name} is ${JSON.stringify(value)}: it must be one of ${allowed.join(', ')}`);
}

function check(value: unknown, name: string, min: number, max: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
  throw invalid(`${name} is ${String(value)}; a whole number from ${min} to ${max} is allowed`);
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, message);
}
