import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { type TopicConfig, type TopicSetting, topicConfigProblem } from '../base/topic-config.js';
import { BatchClass } from '../batch/header.js';
import type { NewRecord } from '../batch/record.js';
import { ShardRuntime } from '../coordinator/shard-runtime.js';
import type { TaskLog } from '../coordinator/task-log.js';
import {
  ClusterShard,
  type ClusterVerdict,
  clusterPartitionsMax,
  producerIdBlock,
  producerIdsTaken,
  reservedPartitions,
  reservedTopics,
  type TopicInfo,
  topicAltered,
  topicCreated,
  topicDeleted,
  topicIdMax,
  topicPartitionsMax,
  topicsMax,
} from './cluster-shard.js';
import { checkTopicName, hasReserve, isBrokersName, isInternalName } from './topic-name.js';

export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  readonly replicas: number;
  /** A topic that exists with as many partitions is not an error. */
  readonly ifAbsent: boolean;
  /** Default: nothing set. */
  readonly config?: TopicConfig;
}

/** What shall be different about a topic. */
export interface TopicChange {
  readonly name: string;
  /** These are set, the others stay. */
  readonly config: TopicConfig;
  /** These get their defaults again. */
  readonly unset: readonly TopicSetting[];
  /** Undefined: as many as before. */
  readonly partitions: number | undefined;
}

/**
 * The commands on the cluster's metadata. They run one after another: each is judged on the state that the one before
 * it left, and ends when its records are committed and replayed.
 */
export class Cluster {
  readonly shard: ClusterShard = new ClusterShard();
  readonly #runtime: ShardRuntime<ClusterVerdict>;
  #last: Promise<unknown> = Promise.resolve();
  /** What is left of the block of producer ids that this process took. */
  #freeIds = { next: 0, end: 0 };

  constructor(log: TaskLog) {
    this.#runtime = new ShardRuntime(log, this.shard);
  }

  /** Replays the log to its end. */
  async start(): Promise<void> {
    const caughtUp = this.shard.untilCaughtUp();
    this.#runtime.start();
    await caughtUp;
  }

  close(): void {
    this.#runtime.close();
  }

  /** Resolves with the topic once its record is committed. INVALID, ALREADY_EXISTS, QUOTA. */
  createTopic(wanted: NewTopic): Promise<TopicInfo> {
    return this.#inTurn(async () => {
      check(wanted);
      const existing = this.shard.topicNamed(wanted.name);
      if (existing !== undefined) return accepted(existing, wanted);
      const topic: TopicInfo = {
        topicId: this.shard.nextTopicId,
        name: wanted.name,
        partitions: wanted.partitions,
        replicas: 1,
        internal: isInternalName(wanted.name),
        config: wanted.config ?? {},
      };
      if (topic.topicId > topicIdMax) throw new TaskdError(ErrorCode.QUOTA, 'no topic id is left in this cluster');
      this.#checkTopics(topic.name);
      this.#checkPartitions(topic.name, topic.partitions);
      await this.#write(topicCreated(topic));
      return topic;
    });
  }

  /** Resolves with the topic as it is once the record is committed. NOT_FOUND, INVALID, FORBIDDEN, QUOTA. */
  alterTopic(change: TopicChange): Promise<TopicInfo> {
    return this.#inTurn(async () => {
      const before = this.#ownedByUsers(change.name, 'changed');
      const config: { -readonly [S in TopicSetting]?: TopicConfig[S] } = { ...before.config };
      for (const setting of change.unset) delete config[setting];
      const partitions = change.partitions ?? before.partitions;
      const topic: TopicInfo = { ...before, partitions, config: { ...config, ...change.config } };
      check(topic);
      if (partitions < before.partitions) {
        const text = `topic "${topic.name}" has ${before.partitions} partitions and can't shrink to ${partitions}`;
        throw new TaskdError(ErrorCode.INVALID, `${text}: make another topic and copy the records`);
      }
      this.#checkPartitions(topic.name, partitions - before.partitions);
      await this.#write(topicAltered(topic));
      return topic;
    });
  }

  /** Resolves with the topic that was once the record is committed. NOT_FOUND, FORBIDDEN. */
  deleteTopic(name: string): Promise<TopicInfo> {
    return this.#inTurn(async () => {
      const topic = this.#ownedByUsers(name, 'deleted');
      await this.#write(topicDeleted(topic.topicId));
      return topic;
    });
  }

  /** A producer id that nobody ever had. */
  async newProducerId(): Promise<number> {
    if (this.#freeIds.next === this.#freeIds.end) await this.#inTurn(() => this.#takeIds());
    // Whoever waited for the same block may have used it up.
    if (this.#freeIds.next === this.#freeIds.end) return this.newProducerId();
    return this.#freeIds.next++;
  }

  #ownedByUsers(name: string, what: string): TopicInfo {
    checkTopicName(name);
    if (isInternalName(name)) {
      throw new TaskdError(ErrorCode.FORBIDDEN, `topic "${name}" is taskd's own and can't be ${what}`);
    }
    const topic = this.shard.topicNamed(name);
    if (topic === undefined) throw new TaskdError(ErrorCode.NOT_FOUND, `there is no topic "${name}"`);
    return topic;
  }

  #checkTopics(name: string): void {
    const most = topicsMax + (hasReserve(name) ? reservedTopics : 0);
    if (isBrokersName(name) || this.shard.topicCount < most) return;
    throw new TaskdError(ErrorCode.QUOTA, `the cluster has ${most} topics already: delete some first`);
  }

  #checkPartitions(name: string, more: number): void {
    const have = this.shard.partitionCount;
    const most = clusterPartitionsMax + (hasReserve(name) ? reservedPartitions : 0);
    if (isBrokersName(name) || have + more <= most) return;
    const text = `topic "${name}" wants ${more} partitions; there are ${have} of ${most} already`;
    throw new TaskdError(ErrorCode.QUOTA, `${text}: use fewer, or keys within a topic`);
  }

  async #write(record: NewRecord): Promise<void> {
    const [verdict] = await this.#runtime.write([record], BatchClass.OWNER);
    if (verdict !== undefined) throw new TaskdError(ErrorCode.CONFLICT, verdict, { retry: Retry.SAME });
  }

  async #takeIds(): Promise<void> {
    if (this.#freeIds.next < this.#freeIds.end) return;
    const first = this.shard.nextProducerId;
    await this.#write(producerIdsTaken(first, producerIdBlock));
    this.#freeIds = { next: first, end: first + producerIdBlock };
  }

  #inTurn<T>(command: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(command);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

function check({ name, partitions, replicas, config }: Omit<NewTopic, 'ifAbsent'>): void {
  checkTopicName(name);
  if (partitions < 1 || partitions > topicPartitionsMax) {
    const message = `a topic has 1 to ${topicPartitionsMax} partitions, "${name}" wants ${partitions}`;
    throw new TaskdError(ErrorCode.INVALID, message);
  }
  if (replicas > 1) {
    const message = `"${name}" wants ${replicas} replicas; this version keeps one`;
    throw new TaskdError(ErrorCode.INVALID, message);
  }
  const problem = topicConfigProblem(config ?? {}, replicas);
  if (problem !== undefined) throw new TaskdError(ErrorCode.INVALID, `topic "${name}": ${problem}`);
}

function accepted(existing: TopicInfo, wanted: NewTopic): TopicInfo {
  if (wanted.ifAbsent && existing.partitions === wanted.partitions) return existing;
  const message = `topic "${existing.name}" exists, with ${existing.partitions} partitions`;
  throw new TaskdError(ErrorCode.ALREADY_EXISTS, message);
}
