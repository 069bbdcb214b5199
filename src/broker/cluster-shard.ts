/**
 * The cluster's own metadata as a shard on the coordinator runtime: `replay` of the records of `__cluster` is the only
 * thing that changes it. A record that does not fit what came before it is void, with the reason.
 */
import { assert, ErrorCode, TaskdError } from '../base/errors.js';
import { isPartition } from '../base/place.js';
import type { TopicConfig } from '../base/topic-config.js';
import { BatchClass } from '../batch/header.js';
import type { NewRecord, StoredRecord } from '../batch/record.js';
import type { Shard } from '../coordinator/shard-runtime.js';
import type { CommittedBatch } from '../coordinator/task-log.js';
import { taskd } from '../wire/generated/messages.js';
import { readTopicConfig, writeTopicConfig } from '../wire/topic-config.js';
import { isBrokersName } from './topic-name.js';

/** The topic whose one partition holds this shard's records; its id is fixed, since it is where ids come from. */
export const clusterTopic: TopicInfo = {
  topicId: 0,
  name: '__cluster',
  partitions: 1,
  replicas: 1,
  internal: true,
  config: {},
};

/** Types of records in `__cluster`. Format: never reuse a number. */
const ClusterRecord = { TOPIC_CREATED: 1, PRODUCER_IDS_TAKEN: 2, TOPIC_ALTERED: 3, TOPIC_DELETED: 4 } as const;

/** Partitions of one topic. */
export const topicPartitionsMax = 1_024;
assert(isPartition(topicPartitionsMax), 'each partition that a topic may have has a place');
/**
 * Partitions of all topics but the brokers' own, which are few. Each one keeps a file open as long as the broker runs;
 * with too many of them there would be none left for connections and new segments, not even at the next start.
 */
export const clusterPartitionsMax = 4_096;
/** Topics at once, the brokers' own left out. */
export const topicsMax = 10_000;
/** Beyond both, for topics without which records of other topics could go nowhere: see `hasReserve`. */
export const reservedPartitions = 1_024;
export const reservedTopics = 1_000;
/** Ids are never used again. */
export const topicIdMax = 0xffff_ffff;
/** Producer ids that a broker takes at once. */
export const producerIdBlock = 1_000;

export interface TopicInfo {
  readonly topicId: number;
  readonly name: string;
  readonly partitions: number;
  readonly replicas: number;
  readonly internal: boolean;
  /** What was set; the rest has its defaults. */
  readonly config: TopicConfig;
}

/** What became of a record: `undefined` when it was applied, else why it is void. */
export type ClusterVerdict = string | undefined;

export class ClusterShard implements Shard<ClusterVerdict> {
  /** Told after records that made, changed or deleted topics were replayed. */
  onTopics: () => void = () => {};
  readonly #byId = new Map<number, TopicInfo>();
  readonly #byName = new Map<string, TopicInfo>();
  #topicCount = 0;
  #partitionCount = 0;
  #nextTopicId = 1;
  #nextProducerId = 1;
  #hasNewTopics = false;
  #caughtUp: { readonly resolve: () => void; readonly reject: (error: TaskdError) => void } | undefined;

  /** Topics that exist, the brokers' own left out. */
  get topicCount(): number {
    return this.#topicCount;
  }

  /** Of these. */
  get partitionCount(): number {
    return this.#partitionCount;
  }

  /** The id that the next topic gets. */
  get nextTopicId(): number {
    return this.#nextTopicId;
  }

  /** The first producer id that was never taken. */
  get nextProducerId(): number {
    return this.#nextProducerId;
  }

  /** True for an id that a topic had which exists no more. */
  wasDeleted(topicId: number): boolean {
    return topicId > 0 && topicId < this.#nextTopicId && !this.#byId.has(topicId);
  }

  topic(topicId: number): TopicInfo | undefined {
    return this.#byId.get(topicId);
  }

  topicNamed(name: string): TopicInfo | undefined {
    return this.#byName.get(name);
  }

  /** In the order of their creation. */
  topics(): Iterable<TopicInfo> {
    return this.#byId.values();
  }

  /** Resolves once replay has reached the log's end for the first time; rejects with DATA_LOSS when it never will. */
  untilCaughtUp(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#caughtUp = { resolve, reject };
    });
  }

  caughtUp(): void {
    this.#caughtUp?.resolve();
    this.#caughtUp = undefined;
  }

  lost(logStart: number): void {
    const message =
      `the log of ${clusterTopic.name}, which says what topics there are, can't be read (it begins at ${logStart}): see ` +
      '"taskctl log inspect" with the data folder, and restore the whole folder from a copy, or move it away and start ' +
      'anew ("taskctl log export" saves the records)';
    this.#caughtUp?.reject(new TaskdError(ErrorCode.DATA_LOSS, message));
    this.#caughtUp = undefined;
  }

  replayed(): void {
    if (!this.#hasNewTopics) return;
    this.#hasNewTopics = false;
    this.onTopics();
  }

  replay(record: StoredRecord, batch: CommittedBatch): ClusterVerdict {
    if (batch.batchClass !== BatchClass.OWNER) return 'only brokers write here';
    const value = record.value ?? new Uint8Array(0);
    try {
      switch (record.type) {
        case ClusterRecord.TOPIC_CREATED:
          return this.#topicCreated(taskd.TopicCreated.decode(value));
        case ClusterRecord.TOPIC_ALTERED:
          return this.#topicAltered(taskd.TopicAltered.decode(value));
        case ClusterRecord.TOPIC_DELETED:
          return this.#topicDeleted(taskd.TopicDeleted.decode(value));
        case ClusterRecord.PRODUCER_IDS_TAKEN:
          return this.#producerIdsTaken(taskd.ProducerIdsTaken.decode(value));
        default:
          return `records of type ${record.type} are not known to this version`;
      }
    } catch (error) {
      return `the record does not parse: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  #topicCreated(made: taskd.TopicCreated): ClusterVerdict {
    const { topicId, name, partitions, replicas, internal } = made;
    if (topicId < this.#nextTopicId) return `topic id ${topicId} was used before`;
    if (this.#byName.has(name)) return `topic "${name}" exists`;
    this.#put({ topicId, name, partitions, replicas, internal, config: readTopicConfig(made.config) });
    this.#count(name, 1, partitions);
    this.#nextTopicId = topicId + 1;
    return undefined;
  }

  #topicAltered({ topicId, partitions, config }: taskd.TopicAltered): ClusterVerdict {
    const topic = this.#byId.get(topicId);
    if (topic === undefined) return `there is no topic with id ${topicId}`;
    if (partitions < topic.partitions) return `topic "${topic.name}" has ${topic.partitions} partitions already`;
    this.#put({ ...topic, partitions, config: readTopicConfig(config) });
    this.#count(topic.name, 0, partitions - topic.partitions);
    return undefined;
  }

  #topicDeleted({ topicId }: taskd.TopicDeleted): ClusterVerdict {
    const topic = this.#byId.get(topicId);
    if (topic === undefined) return `there is no topic with id ${topicId}`;
    this.#byId.delete(topicId);
    this.#byName.delete(topic.name);
    this.#count(topic.name, -1, -topic.partitions);
    this.#hasNewTopics = true;
    return undefined;
  }

  #count(name: string, topics: number, partitions: number): void {
    if (isBrokersName(name)) return;
    this.#topicCount += topics;
    this.#partitionCount += partitions;
  }

  #put(topic: TopicInfo): void {
    this.#byId.set(topic.topicId, topic);
    this.#byName.set(topic.name, topic);
    this.#hasNewTopics = true;
  }

  #producerIdsTaken({ first, count }: taskd.ProducerIdsTaken): ClusterVerdict {
    if (first < this.#nextProducerId) return `producer ids from ${first} on were taken before`;
    this.#nextProducerId = first + count;
    return undefined;
  }
}

export function topicCreated(topic: TopicInfo): NewRecord {
  const made = { ...topic, config: writeTopicConfig(topic.config) };
  return { type: ClusterRecord.TOPIC_CREATED, value: taskd.TopicCreated.encode(made).finish() };
}

/** The topic as it is from now on. */
export function topicAltered({ topicId, partitions, config }: TopicInfo): NewRecord {
  const altered = { topicId, partitions, config: writeTopicConfig(config) };
  return { type: ClusterRecord.TOPIC_ALTERED, value: taskd.TopicAltered.encode(altered).finish() };
}

export function topicDeleted(topicId: number): NewRecord {
  return { type: ClusterRecord.TOPIC_DELETED, value: taskd.TopicDeleted.encode({ topicId }).finish() };
}

export function producerIdsTaken(first: number, count: number): NewRecord {
  return { type: ClusterRecord.PRODUCER_IDS_TAKEN, value: taskd.ProducerIdsTaken.encode({ first, count }).finish() };
}
