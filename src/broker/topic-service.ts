import { ErrorCode, TaskdError } from '../base/errors.js';
import { topicSettings } from '../base/topic-config.js';
import type { ServerCall } from '../rpc/service.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { taskd } from '../wire/generated/messages.js';
import { readTopicConfig, wireSettings, writeTopicConfig } from '../wire/topic-config.js';
import type { Cluster, NewTopic } from './cluster.js';
import { clusterTopic, type TopicInfo } from './cluster-shard.js';
import { DeletedNames, deletedNameKeptMs } from './deleted-names.js';
import type { Partition } from './partition.js';
import type { Partitions } from './partitions.js';
import { ProducerIdShares } from './producer-ids.js';
import { isBrokersName, isInternalName } from './topic-name.js';

/** Names and ids in one request. */
const namesMax = 1_000;
/** Partitions of a topic that is made because someone asked for it. */
const autoCreatePartitions = 1;

/** Answers everything about topics, ids of producers and ends of logs. */
export class TopicService {
  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #partitions: Partitions;
  readonly #address: () => Address;
  readonly #autoCreate: boolean;
  readonly #producerIds = new ProducerIdShares();
  readonly #deletedNames = new DeletedNames();
  /** What is being done to a topic's partitions, by topic id: one thing after another. */
  readonly #effects = new Map<number, Promise<void>>();

  constructor(runtime: Runtime, cluster: Cluster, partitions: Partitions, address: () => Address, autoCreate: boolean) {
    this.#runtime = runtime;
    this.#cluster = cluster;
    this.#partitions = partitions;
    this.#address = address;
    this.#autoCreate = autoCreate;
  }

  /** Creates the topic and its partitions; they serve when it resolves. */
  async create(wanted: NewTopic): Promise<TopicInfo> {
    const topic = await this.#cluster.createTopic(wanted);
    this.#deletedNames.made(topic.name);
    await this.#after(topic, () => this.#partitions.openTopic(topic));
    return topic;
  }

  /** Files of topics that were deleted, by a process that ended before they were in the trash. */
  async sweep(): Promise<void> {
    for (const topicId of this.#partitions.storedTopics()) {
      if (this.#cluster.shard.wasDeleted(topicId)) await this.#remove(topicId);
    }
  }

  createTopic(request: taskd.CreateTopicRequest, call: ServerCall<taskd.ICreateTopicResponse>): void {
    const { name, partitions, replicas, ifAbsent } = request;
    const config = readTopicConfig(request.config);
    if (isBrokersName(name)) {
      call.fail(new TaskdError(ErrorCode.FORBIDDEN, 'topics whose name begins with "__" are made by brokers only'));
      return;
    }
    answer(call, async () => ({
      topic: this.#describe(await this.create({ name, partitions, replicas, ifAbsent, config })),
    }));
  }

  alterTopic(request: taskd.AlterTopicRequest, call: ServerCall<taskd.IAlterTopicResponse>): void {
    answer(call, async () => {
      const unset = topicSettings.filter((setting) => request.unset.includes(wireSettings[setting]));
      const strange = request.unset.find((name) => !unset.some((setting) => wireSettings[setting] === name));
      if (strange !== undefined) {
        const known = Object.values(wireSettings).join(', ');
        throw new TaskdError(ErrorCode.INVALID, `a topic has no setting "${strange}"; it has ${known}`);
      }
      const config = readTopicConfig(request.config);
      const partitions = request.partitions || undefined;
      const topic = await this.#cluster.alterTopic({ name: request.name, config, unset, partitions });
      await this.#after(topic, () => this.#partitions.openTopic(topic));
      return { topic: this.#describe(topic) };
    });
  }

  /** Answered once the topic is gone for everybody; its files follow, at the next start at the latest. */
  deleteTopic(request: taskd.DeleteTopicRequest, call: ServerCall<taskd.IDeleteTopicResponse>): void {
    answer(call, async () => {
      const topic = await this.#cluster.deleteTopic(request.name);
      this.#deletedNames.deleted(topic.name, this.#runtime.clock.monotonicMs());
      await this.#after(topic, () => this.#remove(topic.topicId));
      return {};
    });
  }

  describeTopics(request: taskd.DescribeTopicsRequest, call: ServerCall<taskd.IDescribeTopicsResponse>): void {
    const { names, topicIds, mayCreate } = request;
    const asked = names.length + topicIds.length;
    if (asked > namesMax) {
      call.fail(new TaskdError(ErrorCode.INVALID, `a request names at most ${namesMax} topics, this one ${asked}`));
      return;
    }
    answer(call, async () => {
      // Each topic once, so that an answer is never longer than what there is.
      const topics = new Map<number, TopicInfo>();
      const found =
        asked === 0 ? [clusterTopic, ...this.#cluster.shard.topics()] : await this.#named(new Set(names), mayCreate);
      for (const topic of found) topics.set(topic.topicId, topic);
      for (const id of topicIds) {
        const topic = id === clusterTopic.topicId ? clusterTopic : this.#cluster.shard.topic(id);
        if (topic !== undefined) topics.set(id, topic);
      }
      return {
        topics: [...topics.values()].map((topic) => this.#describe(topic)),
        partitions: [...topics.values()].flatMap((topic) => this.#states(topic)),
      };
    });
  }

  listOffsets(request: taskd.ListOffsetsRequest, call: ServerCall<taskd.IListOffsetsResponse>): void {
    answer(call, async () => {
      const partition = this.#partitions.get(request.topicId, request.partition);
      if (!partition.isReadable) partition.assertServing();
      return { offset: await offsetOf(partition, request), term: partition.term };
    });
  }

  initProducer(call: ServerCall<taskd.IInitProducerResponse>): void {
    answer(call, async () => {
      this.#producerIds.take(call.peer.address.host, this.#runtime.clock.monotonicMs());
      return { producerId: await this.#cluster.newProducerId(), producerEpoch: 0 };
    });
  }

  /** The topics that exist of those named; with auto-creation, all that may. */
  async #named(names: ReadonlySet<string>, mayCreate: boolean): Promise<TopicInfo[]> {
    const topics: TopicInfo[] = [];
    for (const name of names) {
      let topic = name === clusterTopic.name ? clusterTopic : this.#cluster.shard.topicNamed(name);
      if (topic === undefined && mayCreate && this.#autoCreate && !isInternalName(name)) {
        if (this.#deletedNames.isKept(name, this.#runtime.clock.monotonicMs())) throw deletedJustNow(name);
        topic = await this.create({ name, partitions: autoCreatePartitions, replicas: 1, ifAbsent: true });
      }
      if (topic !== undefined) topics.push(topic);
    }
    return topics;
  }

  /** Runs when what was begun before for this topic has ended, however it did. */
  async #after({ topicId }: TopicInfo, effect: () => Promise<void>): Promise<void> {
    const before = this.#effects.get(topicId) ?? Promise.resolve();
    const run = before.then(effect);
    const settled = run.catch(() => {});
    this.#effects.set(topicId, settled);
    try {
      await run;
    } finally {
      if (this.#effects.get(topicId) === settled) this.#effects.delete(topicId);
    }
  }

  async #remove(topicId: number): Promise<void> {
    try {
      await this.#partitions.removeTopic(topicId);
    } catch (error) {
      this.#runtime.logger.error({ error, topicId }, 'the files of a deleted topic could not be moved to the trash');
    }
  }

  #describe(topic: TopicInfo): taskd.ITopic {
    const leaders = numbers(topic.partitions).map((i) => {
      const partition = this.#partitions.find(topic.topicId, i);
      // Of a damaged one a client must learn what is wrong, or it would look for another leader until it gives up.
      return partition?.isServing || partition?.problem !== undefined ? this.#address() : {};
    });
    return { ...topic, config: writeTopicConfig(topic.config), leaders };
  }

  #states(topic: TopicInfo): taskd.IPartitionState[] {
    return numbers(topic.partitions).map((partition) => {
      const { topicId } = topic;
      const state = this.#partitions.find(topicId, partition);
      if (state === undefined) return { topicId, partition, problem: 'it could not be opened here' };
      const { term, logStart, logEnd, highWatermark, bytes } = state;
      const problem =
        state.problem ??
        (state.isActive
          ? (state.loss ?? '')
          : state.isServing
            ? 'the disk is full: it is only read'
            : 'it is being opened');
      return { topicId, partition, term, logStart, logEnd, highWatermark, bytes, problem };
    });
  }
}

function deletedJustNow(name: string): TaskdError {
  const message =
    `topic "${name}" was deleted, and whoever goes on using it does not make it again: stop that one, or create the ` +
    `topic; ${deletedNameKeptMs / 1_000} s after the last one asked for it the name is free`;
  return new TaskdError(ErrorCode.NOT_FOUND, message);
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

async function offsetOf(partition: Partition, { spec, timeMs }: taskd.ListOffsetsRequest): Promise<number> {
  switch (spec) {
    case taskd.OffsetSpec.OFFSET_SPEC_START:
      return partition.logStart;
    case taskd.OffsetSpec.OFFSET_SPEC_END:
      return partition.highWatermark;
    case taskd.OffsetSpec.OFFSET_SPEC_TIME:
      return partition.offsetForTime(timeMs);
    default:
      throw new TaskdError(ErrorCode.INVALID, `there is no offset specification ${String(spec)}`);
  }
}

function answer<A>(call: ServerCall<A>, work: () => Promise<A>): void {
  work().then(
    (message) => call.reply(message),
    (error) => call.fail(error),
  );
}
