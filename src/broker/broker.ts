import type { MetricSet } from '../base/counters.js';
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { groupsTopic, groupsTopicPartitions } from '../base/group-partition.js';
import { placeOf } from '../base/place.js';
import type { TaskLog } from '../coordinator/task-log.js';
import type { SpaceOptions } from '../log/disk-space.js';
import { LogStore } from '../log/log-store.js';
import type { NodeIdentity } from '../rpc/server.js';
import type { ServerCall, ServiceRegistry } from '../rpc/service.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { Timers } from '../timer/timers.js';
import {
  alterTopic,
  cancelDelayed,
  createTopic,
  deleteTopic,
  describeTopics,
  fetch,
  initProducer,
  listOffsets,
  type Method,
  openDelayLevel,
  produce,
} from '../wire/methods.js';
import { ClientQuota, noQuota, type QuotaRates } from './client-quota.js';
import { Cluster } from './cluster.js';
import { clusterTopic, type TopicInfo } from './cluster-shard.js';
import { addDeadLetterMetrics } from './dead-letter-metrics.js';
import { DelayService } from './delay/delay-service.js';
import { DelayLadder, type LadderOptions } from './delay/ladder.js';
import { FetchService } from './fetch-service.js';
import { BrokerTopics } from './groups/broker-topics.js';
import type { GroupLogOptions } from './groups/group-log.js';
import { Groups } from './groups/groups.js';
import { addLogMetrics } from './log-metrics.js';
import { Maintenance } from './maintenance.js';
import { PartitionTaskLog } from './partition-task-log.js';
import { Partitions } from './partitions.js';
import { ProduceService } from './produce-service.js';
import { Scrub } from './scrub.js';
import { TopicService } from './topic-service.js';

export interface BrokerOptions {
  readonly dataFolder: string;
  /** A topic that someone wants to use and that does not exist is made, with one partition. */
  readonly autoCreateTopics: boolean;
  /** Bytes a second of each client; default: no limit. */
  readonly produceQuota?: QuotaRates;
  readonly fetchQuota?: QuotaRates;
  /** See `LogStoreOptions`. */
  readonly segmentBytes?: number;
  /** See `LogStoreOptions`. */
  readonly space?: SpaceOptions;
  /** Old segments are read again at this rate, to find rot; absent or 0: they are not. */
  readonly scrubBytesPerSecond?: number;
  readonly delay?: LadderOptions;
  readonly groups?: GroupLogOptions;
}

/** What a broker is made of once its folder is open. */
interface Parts {
  readonly store: LogStore;
  readonly partitions: Partitions;
  readonly cluster: Cluster;
  readonly produce: ProduceService;
  readonly fetch: FetchService;
  readonly topics: TopicService;
  readonly delay: DelayLadder;
  readonly delayCalls: DelayService;
  readonly maintenance: Maintenance;
  readonly scrub: Scrub;
}

/** Topics opened at once. */
const topicsOpeningMax = 8;

/** The broker of one process: topics and their logs, produce and fetch. */
export class Broker {
  readonly #runtime: Runtime;
  readonly #identity: NodeIdentity;
  readonly #address: () => Address;
  readonly #options: BrokerOptions;
  readonly #timers: Timers;
  readonly #taskLogs = new Map<number, TaskLog>();
  readonly #produceQuota: ClientQuota;
  readonly #fetchQuota: ClientQuota;
  #parts: Parts | undefined;
  #groups: Groups | undefined;
  #isServing = false;
  #isStopped = false;

  private constructor(runtime: Runtime, identity: NodeIdentity, address: () => Address, options: BrokerOptions) {
    this.#runtime = runtime;
    this.#identity = identity;
    this.#address = address;
    this.#options = options;
    this.#timers = new Timers(runtime.clock);
    this.#produceQuota = new ClientQuota(options.produceQuota ?? noQuota, 'produce quota');
    this.#fetchQuota = new ClientQuota(options.fetchQuota ?? noQuota, 'fetch quota');
  }

  /**
   * Puts the handlers into `services` at once, then opens the folder. Until it resolves, every call is answered with
   * NOT_READY. When it resolves, each partition serves or has its problem; the partitions' own terms and no-ops are on
   * disk. Rejects, with nothing left open, as `LogStore.open` does, or when the cluster's own log is damaged.
   * `address` is asked when a leader must be named.
   */
  static async start(
    runtime: Runtime,
    services: ServiceRegistry,
    identity: NodeIdentity,
    address: () => Address,
    options: BrokerOptions,
  ): Promise<Broker> {
    const broker = new Broker(runtime, identity, address, options);
    broker.#register(services);
    try {
      await broker.#open();
    } catch (error) {
      await broker.stop();
      throw error;
    }
    return broker;
  }

  /** The cluster that the data folder belongs to. */
  get clusterId(): string {
    return this.#needParts().store.clusterId;
  }

  /** Everything that exists, in the order of creation. */
  get topics(): readonly TopicInfo[] {
    return [...this.#needParts().cluster.shard.topics()];
  }

  /** Resolves with the id of the topic, made if it is not there; its partitions serve then. */
  async ensureTopic(name: string, partitions: number): Promise<number> {
    const { topics } = this.#needParts();
    const topic = await topics.create({ name, partitions, replicas: 1, ifAbsent: true });
    return topic.topicId;
  }

  /** The log of a partition, without the wire; the same object each time. NOT_FOUND. */
  taskLog(topicId: number, partition: number): TaskLog {
    const key = placeOf(topicId, partition);
    const known = this.#taskLogs.get(key);
    if (known !== undefined) return known;
    const log = new PartitionTaskLog(this.#runtime, this.#needParts().partitions.get(topicId, partition));
    this.#taskLogs.set(key, log);
    return log;
  }

  /** Names this broker's numbers for the scrape. */
  registerMetrics(metrics: MetricSet): void {
    const sum = (
      read: (partition: { recordsAppended: number; bytesAppended: number; duplicates: number }) => number,
    ) => {
      let total = 0;
      for (const partition of this.#parts?.partitions.all() ?? []) total += read(partition);
      return total;
    };
    metrics.counter('broker_records_appended_total', 'Records appended to logs', () => sum((p) => p.recordsAppended));
    metrics.counter('broker_bytes_appended_total', 'Bytes of batches appended', () => sum((p) => p.bytesAppended));
    metrics.counter('broker_duplicates_total', 'Batches that were there already', () => sum((p) => p.duplicates));
    metrics.counter(
      'broker_produce_refused_total',
      'Produce requests refused',
      () => this.#parts?.produce.refused ?? 0,
    );
    this.#groups?.registerMetrics(metrics);
    if (this.#parts !== undefined) {
      addLogMetrics(metrics, this.#parts.store, this.#parts.partitions, this.#parts.scrub);
    }
    this.#parts?.delay.registerMetrics(metrics);
    if (this.#parts !== undefined) addDeadLetterMetrics(metrics, this.#parts.cluster.shard, this.#parts.partitions);
    metrics.gauge(
      'broker_produce_waiting_bytes',
      'Bytes of produce requests that were appended and not answered yet',
      () => this.#parts?.produce.waitingBytes ?? 0,
    );
    for (const [name, quota] of [
      ['produce', this.#produceQuota],
      ['fetch', this.#fetchQuota],
    ] as const) {
      metrics.counter(`broker_${name}_throttled_total`, `Answers late for the ${name} quota`, () => quota.throttled);
      metrics.counter(`broker_${name}_quota_refused_total`, 'Requests refused for it', () => quota.refused);
      metrics.gauge(`broker_${name}_quota_clients`, 'Clients that it is counted for', () => quota.clients);
    }
    metrics.gauge(
      'broker_syncs_running',
      'Logs that are being written to the disk; at most 24 at once',
      () => this.#parts?.store.device.syncsRunning ?? 0,
    );
    metrics.gauge(
      'broker_syncs_waiting',
      'Logs that wait for their turn at the disk',
      () => this.#parts?.store.device.syncsWaiting ?? 0,
    );
    metrics.gauge(
      'broker_partitions_refusing',
      'Partitions that take no records: damaged, or their disk failed',
      () => {
        let count = 0;
        for (const { problem } of this.#parts?.partitions.all() ?? []) if (problem !== undefined) count++;
        return count;
      },
    );
    metrics.gauge('broker_fetches_waiting', 'Fetches that wait for data', () => this.#parts?.fetch.waiting ?? 0);
    metrics.gauge(
      'broker_fetch_lent_bytes',
      'Bytes of the logs in memory that may still wait to leave',
      () => this.#parts?.fetch.lentBytes ?? 0,
    );
    metrics.gauge(
      'broker_fetch_checked_bytes',
      'Bytes read for answers of checked batches that may still wait to leave',
      () => this.#parts?.fetch.ownedBytes ?? 0,
    );
    metrics.counter(
      'broker_fetch_memory_bytes_total',
      'Bytes that fetches were given from memory',
      () => this.#parts?.fetch.memoryBytes ?? 0,
    );
  }

  /** Answers those who wait, then syncs and closes the logs and gives the folder back. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#isServing = false;
    this.#groups?.stop();
    const parts = this.#parts;
    if (parts === undefined) {
      this.#timers.close();
      return;
    }
    const maintained = parts.maintenance.stop();
    parts.scrub.stop();
    parts.fetch.stop();
    parts.produce.stop();
    parts.delay.stop();
    this.#timers.close();
    parts.cluster.close();
    await maintained;
    await parts.partitions.stop();
    await parts.store.close();
  }

  async #open(): Promise<void> {
    const { clusterId } = this.#identity;
    const { dataFolder, segmentBytes, space } = this.#options;
    const store = await LogStore.open(this.#runtime, dataFolder, {
      ...(clusterId === '' ? {} : { clusterId }),
      ...(segmentBytes === undefined ? {} : { segmentBytes }),
      ...(space === undefined ? {} : { space }),
    });
    store.onFailed = (error) => {
      this.#runtime.logger.error(
        { error },
        'the state journal could not be written; nothing here can be promised any more',
      );
      this.#runtime.process.exit(1);
    };
    const partitions = new Partitions(store, this.#runtime.logger);
    const { clock } = this.#runtime;
    const fetches = new FetchService(partitions, this.#timers, this.#fetchQuota, clock);
    try {
      await partitions.openTopic(clusterTopic);
    } catch (error) {
      await store.close();
      throw error;
    }
    const clusterLog = partitions.get(clusterTopic.topicId, 0);
    const cluster = new Cluster(new PartitionTaskLog(this.#runtime, clusterLog));
    const { autoCreateTopics } = this.#options;
    const topics = new TopicService(this.#runtime, cluster, partitions, this.#address, autoCreateTopics);
    const delay = new DelayLadder(this.#runtime, partitions, cluster, topics, this.#options.delay);
    const produce = new ProduceService(partitions, cluster.shard, delay, this.#produceQuota, clock, this.#timers);
    const delayCalls = new DelayService(delay);
    const maintenance = new Maintenance(this.#runtime.clock, this.#runtime.logger, store, partitions);
    const { scrubBytesPerSecond = 0 } = this.#options;
    const scrub = new Scrub(this.#runtime.clock, this.#runtime.logger, scrubBytesPerSecond, () => partitions.all());
    this.#parts = {
      store,
      partitions,
      cluster,
      produce,
      fetch: fetches,
      topics,
      delay,
      delayCalls,
      maintenance,
      scrub,
    };
    clusterLog.assertServing();
    await cluster.start();
    await this.#openTopics(partitions, [...cluster.shard.topics()]);
    await topics.sweep();
    maintenance.start();
    scrub.start();
    await this.#startGroups(cluster, topics, partitions);
    delay.start();
    this.#isServing = true;
  }

  /** Makes the topic of the groups where it is not there, and coordinates what its partitions hold. */
  async #startGroups(cluster: Cluster, topics: TopicService, partitions: Partitions): Promise<void> {
    const wanted = { name: groupsTopic, partitions: groupsTopicPartitions, replicas: 1, ifAbsent: true };
    const { topicId, partitions: count } = cluster.shard.topicNamed(groupsTopic) ?? (await topics.create(wanted));
    const logs = Array.from({ length: count }, (_, number) => {
      const partition = partitions.get(topicId, number);
      const trimBefore = (offset: number): Promise<void> => partition.trimBefore(offset);
      return { tasks: this.taskLog(topicId, number), logStart: partition.logStart, trimBefore };
    });
    this.#groups?.start(logs, new BrokerTopics(cluster.shard, partitions), this.#options.groups);
    cluster.shard.onTopics = () => this.#groups?.topicsChanged();
  }

  /** A log that can't be opened or made is reported, and its partition answers so; the others serve. */
  async #openTopics(partitions: Partitions, topics: readonly TopicInfo[]): Promise<void> {
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let topic = topics[next++]; topic !== undefined; topic = topics[next++]) {
        try {
          await partitions.openTopic(topic);
        } catch (error) {
          this.#runtime.logger.error({ error, topic: topic.name }, 'a topic could not be opened');
        }
      }
    };
    await Promise.all(Array.from({ length: topicsOpeningMax }, worker));
    for (const { topicId, partition, problem } of partitions.all()) {
      if (problem !== undefined)
        this.#runtime.logger.error({ topicId, partition, problem }, 'a partition does not serve');
    }
  }

  #register(services: ServiceRegistry): void {
    this.#groups = new Groups(this.#runtime, services);
    this.#serve(services, produce, (parts, request, call) => parts.produce.handle(request, call));
    this.#serve(services, fetch, (parts, request, call) => parts.fetch.handle(request, call));
    this.#serve(services, createTopic, (parts, request, call) => parts.topics.createTopic(request, call));
    this.#serve(services, alterTopic, (parts, request, call) => parts.topics.alterTopic(request, call));
    this.#serve(services, deleteTopic, (parts, request, call) => parts.topics.deleteTopic(request, call));
    this.#serve(services, describeTopics, (parts, request, call) => parts.topics.describeTopics(request, call));
    this.#serve(services, listOffsets, (parts, request, call) => parts.topics.listOffsets(request, call));
    this.#serve(services, openDelayLevel, (parts, request, call) => parts.delayCalls.open(request, call));
    this.#serve(services, cancelDelayed, (parts, request, call) => parts.delayCalls.cancel(request, call));
    this.#serve(services, initProducer, (parts, _request, call) => parts.topics.initProducer(call));
  }

  #serve<Q, A, QIn, AIn>(
    services: ServiceRegistry,
    method: Method<Q, A, QIn, AIn>,
    handler: (parts: Parts, request: Q, call: ServerCall<AIn>) => void,
  ): void {
    services.onCall(method, (request, call) => {
      if (this.#parts !== undefined && this.#isServing) handler(this.#parts, request, call);
      else call.fail(this.#isStopped ? stopped() : starting());
    });
  }

  #needParts(): Parts {
    if (this.#parts === undefined) throw starting();
    return this.#parts;
  }
}

function starting(): TaskdError {
  const message = 'this broker is starting; ask again in a moment';
  return new TaskdError(ErrorCode.NOT_READY, message, { retry: Retry.AFTER, retryAfterMs: 100 });
}

function stopped(): TaskdError {
  return new TaskdError(ErrorCode.DRAINING, 'this broker is stopping; ask another one', { retry: Retry.OTHER });
}
