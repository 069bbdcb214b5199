import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { BatchClass } from '../batch/header.js';
import { ShardRuntime } from '../coordinator/shard-runtime.js';
import type { TaskLog } from '../coordinator/task-log.js';
import {
  ClusterShard,
  type ClusterVerdict,
  clusterPartitionsMax,
  producerIdBlock,
  producerIdsTaken,
  type TopicInfo,
  topicCreated,
  topicPartitionsMax,
  topicsMax,
} from './cluster-shard.js';
import { checkTopicName, isInternalName } from './topic-name.js';

export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  readonly replicas: number;
  /** A topic that exists with as many partitions is not an error. */
  readonly ifAbsent: boolean;
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
      };
      if (topic.topicId > topicsMax)
        throw new TaskdError(ErrorCode.QUOTA, `the cluster has ${topicsMax} topics already`);
      const have = this.shard.partitionCount;
      if (have + topic.partitions > clusterPartitionsMax) {
        const text = `topic "${topic.name}" wants ${topic.partitions} partitions; there are ${have} of ${clusterPartitionsMax}`;
        throw new TaskdError(ErrorCode.QUOTA, `${text} already: use fewer, or keys within a topic`);
      }
      const [verdict] = await this.#runtime.write([topicCreated(topic)], BatchClass.OWNER);
      if (verdict !== undefined) throw new TaskdError(ErrorCode.CONFLICT, verdict, { retry: Retry.SAME });
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

  async #takeIds(): Promise<void> {
    if (this.#freeIds.next < this.#freeIds.end) return;
    const first = this.shard.nextProducerId;
    const [verdict] = await this.#runtime.write([producerIdsTaken(first, producerIdBlock)], BatchClass.OWNER);
    if (verdict !== undefined) throw new TaskdError(ErrorCode.CONFLICT, verdict, { retry: Retry.SAME });
    this.#freeIds = { next: first, end: first + producerIdBlock };
  }

  #inTurn<T>(command: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(command);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

function check({ name, partitions, replicas }: NewTopic): void {
  checkTopicName(name);
  if (partitions < 1 || partitions > topicPartitionsMax) {
    const message = `a topic has 1 to ${topicPartitionsMax} partitions, "${name}" wants ${partitions}`;
    throw new TaskdError(ErrorCode.INVALID, message);
  }
  if (replicas > 1) {
    const message = `"${name}" wants ${replicas} replicas; this version keeps one`;
    throw new TaskdError(ErrorCode.INVALID, message);
  }
}

function accepted(existing: TopicInfo, wanted: NewTopic): TopicInfo {
  if (wanted.ifAbsent && existing.partitions === wanted.partitions) return existing;
  const message = `topic "${existing.name}" exists, with ${existing.partitions} partitions`;
  throw new TaskdError(ErrorCode.ALREADY_EXISTS, message);
}
