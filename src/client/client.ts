import { Apps } from './apps.js';
import { type ClientNetwork, type ClientOptions, connect, type NodeInfo } from './client-network.js';
import { Consumer } from './consumer/consumer.js';
import type { ConsumerOptions } from './consumer/consumer-options.js';
import { DeadLetters } from './dead-letters.js';
import { DeadRecords } from './dead-records.js';
import { cancelDelivery } from './delayed.js';
import { Groups } from './groups.js';
import { Jobs } from './jobs.js';
import type { ProducerOptions } from './producer-options.js';
import { Runs } from './runs.js';
import { Schedulers } from './schedulers.js';
import { ShardLog } from './shard-log.js';
import { TopicProducer } from './topic-producer.js';
import { Topics } from './topics.js';

export { TaskdError } from '../base/errors.js';
export type { FullTopicConfig, TopicConfig } from '../base/topic-config.js';
export type { AppPlacement, AppStats, AttachedWorker } from './apps.js';
export type { ClientOptions, NodeInfo } from './client-network.js';
export type { Consumer, ConsumerStats, PartitionOffset, PartitionStats } from './consumer/consumer.js';
export type { ConsumerOptions, LostData } from './consumer/consumer-options.js';
export type { ConsumerRecord, RecordHeaders } from './consumer/consumer-record.js';
export type { Failure } from './consumer/failure.js';
export {
  type AbortCause,
  type BatchContext,
  type BatchHandler,
  type HandlerContext,
  HandlingStopped,
  type RecordHandler,
} from './consumer/handler-context.js';
export type { TopicPartition } from './consumer/open-partition.js';
export type { Position } from './consumer/positions.js';
export type { DeadRecord } from './dead-record.js';
export type { DeadRecords, Replayed, ReplayOptions } from './dead-records.js';
export type { DeadFilter } from './dead-topic.js';
export type {
  GroupDescription,
  GroupMemberInfo,
  GroupPartitionInfo,
  GroupState,
  GroupSummary,
  OffsetChange,
  OffsetReset,
} from './groups.js';
export type { Job } from './job.js';
export type { JobDefinition, Retry, Submission, Work } from './job-definition.js';
export { json, type OutgoingRecord } from './outgoing-record.js';
export type { Payload } from './payload.js';
export type { Delivered } from './producer.js';
export type { ProducerOptions } from './producer-options.js';
export type { Run, RunState } from './run.js';
export type { EndedRun, RunFilter } from './runs.js';
export type { TopicProducer } from './topic-producer.js';
export type { PartitionInfo, TopicChange, TopicDescription, TopicInfo, TopicOptions } from './topics.js';

/**
 * What programs use to put jobs and submit runs. One object a process: it keeps its connections, finds its way by
 * itself, and gathers what is submitted in the same moment into batches.
 *
 * Every method rejects with a `TaskdError`; act on its `code` and `retry`. Ids of runs are texts, `shard:offset`.
 */
export class TaskdClient {
  readonly jobs: Jobs;
  readonly runs: Runs;
  readonly dead: DeadLetters;
  readonly apps: Apps;
  readonly topics: Topics;
  readonly #network: ClientNetwork;
  readonly #schedulers: Schedulers;
  readonly #producers = new Set<TopicProducer>();
  readonly #consumers = new Set<Consumer>();
  #groups: Groups | undefined;
  #deadRecords: DeadRecords | undefined;

  /** Throws INVALID for addresses that are none. Nothing is dialled before the first call. */
  constructor(options: ClientOptions, network: ClientNetwork = connect(options)) {
    this.#network = network;
    const schedulers = new Schedulers(network);
    this.#schedulers = schedulers;
    const log = new ShardLog(network.sender, async (name) => (await network.topics.named(name)).topicId);
    this.jobs = new Jobs(schedulers, log);
    this.runs = new Runs(network.clock, schedulers, log);
    this.dead = new DeadLetters(schedulers, log, this.runs);
    this.apps = new Apps(schedulers);
    this.topics = new Topics(network.topics);
  }

  /** A producer of its own, with its own memory and order. It ends with the client, or by its `close`. */
  producer(options: ProducerOptions = {}): TopicProducer {
    const producer = new TopicProducer(this.#network.queues(), options, (closed) => this.#producers.delete(closed));
    this.#producers.add(producer);
    return producer;
  }

  /**
   * Takes back a delayed record, by the `delayedId` that its `send` has given. Durable when it resolves: true when it
   * will not be delivered; false when there is nothing to cancel: it was delivered, or is just being delivered, or was
   * cancelled before, or never was.
   */
  cancelDelayed(id: string): Promise<boolean> {
    return cancelDelivery(this.#network.queues().topics, id);
  }

  /** Records that the consumers of a group could not process. */
  get deadRecords(): DeadRecords {
    this.#deadRecords ??= new DeadRecords(this.#network.queues());
    return this.#deadRecords;
  }

  get groups(): Groups {
    this.#groups ??= new Groups(this.#network.queues());
    return this.#groups;
  }

  /**
   * A consumer of topics; it begins with its `run`. It ends with the client, or by its `close`. Throws INVALID with what
   * is wrong in the options.
   */
  consumer(options: ConsumerOptions): Consumer {
    const consumer = new Consumer(this.#network.queues(), options, (ended) => this.#consumers.delete(ended));
    this.#consumers.add(consumer);
    return consumer;
  }

  /** Who is registered, of all services. */
  nodes(): Promise<readonly NodeInfo[]> {
    return this.#network.nodes();
  }

  /** Waits for what was sent and submitted, for 5 seconds at most, then closes. Questions that still wait reject with CANCELLED. */
  async close(): Promise<void> {
    this.#schedulers.close();
    this.#groups?.close();
    await Promise.all([...this.#consumers].map((consumer) => consumer.close()));
    await Promise.all([...this.#producers].map((producer) => producer.close()));
    await this.#network.close();
  }
}
