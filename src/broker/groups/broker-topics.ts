import type { ClusterShard, TopicInfo } from '../cluster-shard.js';
import type { Partition } from '../partition.js';
import type { Partitions } from '../partitions.js';

/** Where the records of a partition begin and end. */
export interface PartitionEnds {
  readonly start: number;
  readonly end: number;
  /** One past the last record that is somebody's: what is left up to `end` are the broker's own notes. */
  readonly recordsEnd: number;
  /** One past the last record that is written, committed or not: no reader's place lies beyond. */
  readonly logEnd: number;
}

/** What the coordinators ask about topics. */
export interface GroupTopics {
  named(name: string): TopicInfo | undefined;
  byId(topicId: number): TopicInfo | undefined;
  has(topicId: number): boolean;
  /** Undefined while the partition doesn't serve. */
  ends(topicId: number, partition: number): PartitionEnds | undefined;
  /** The first offset whose append time is at or after `timeMs`. NOT_FOUND, STORAGE_FAILED. */
  offsetForTime(topicId: number, partition: number, timeMs: number): Promise<number>;
}

/** The topics of this broker's own cluster metadata and partitions. */
export class BrokerTopics implements GroupTopics {
  readonly #shard: ClusterShard;
  readonly #partitions: Partitions;

  constructor(shard: ClusterShard, partitions: Partitions) {
    this.#shard = shard;
    this.#partitions = partitions;
  }

  named(name: string): TopicInfo | undefined {
    return this.#shard.topicNamed(name);
  }

  byId(topicId: number): TopicInfo | undefined {
    return this.#shard.topic(topicId);
  }

  has(topicId: number): boolean {
    return this.#shard.topic(topicId) !== undefined;
  }

  ends(topicId: number, partition: number): PartitionEnds | undefined {
    const found = this.#serving(topicId, partition);
    if (found === undefined) return undefined;
    const { logStart: start, highWatermark: end, recordsEnd, logEnd } = found;
    return { start, end, recordsEnd, logEnd };
  }

  offsetForTime(topicId: number, partition: number, timeMs: number): Promise<number> {
    return this.#partitions.get(topicId, partition).offsetForTime(timeMs);
  }

  #serving(topicId: number, partition: number): Partition | undefined {
    const found = this.#partitions.find(topicId, partition);
    return found?.isActive === true ? found : undefined;
  }
}
