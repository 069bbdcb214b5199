import { ErrorCode, isTaskdError, TaskdError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import { placeOf } from '../base/place.js';
import { fullTopicConfig } from '../base/topic-config.js';
import type { LogStore } from '../log/log-store.js';
import type { PartitionLog } from '../log/partition-log.js';
import type { TopicInfo } from './cluster-shard.js';
import { Partition } from './partition.js';

/** Partitions that are opened or created at once, each with a few syncs of its own. */
const openingMax = 16;

/** What an open has to read of the logs of all partitions, beside what their recovery reads, stays about this. */
const unsavedBytesMax = 512 * 1024 * 1024;
/** Less than this is read again in no time. */
const worthSavingBytes = 64 * 1024;
const snapshotBytesMin = 1024 * 1024;
const snapshotBytesMax = 64 * 1024 * 1024;

/** The partitions of this broker by topic id and number. */
export class Partitions {
  /** For each partition, now and later: told when its watermark moved. */
  onCommitted: (partition: Partition) => void = () => {};
  readonly #store: LogStore;
  readonly #host: { logger: Logger; snapshotBytes: number };
  readonly #byKey = new Map<number, Partition>();
  readonly #opening = new Map<number, Promise<void>>();

  constructor(store: LogStore, logger: Logger) {
    this.#store = store;
    this.#host = { logger, snapshotBytes: snapshotBytesMax };
  }

  find(topicId: number, partition: number): Partition | undefined {
    return this.#byKey.get(placeOf(topicId, partition));
  }

  /** The partition, or NOT_FOUND. */
  get(topicId: number, partition: number): Partition {
    const found = this.find(topicId, partition);
    if (found !== undefined) return found;
    const message = `this broker has no partition ${partition} of a topic with id ${topicId}`;
    throw new TaskdError(ErrorCode.NOT_FOUND, message);
  }

  all(): Iterable<Partition> {
    return this.#byKey.values();
  }

  /** No partition serves any more; what was appended is still answered when it is on disk. What they know is saved. */
  async stop(): Promise<void> {
    const all = [...this.#byKey.values()];
    for (const partition of all) partition.stop();
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let each = all[next++]; each !== undefined; each = all[next++]) {
        if (each.unsavedBytes > worthSavingBytes) await each.saveState();
      }
    };
    await Promise.all(Array.from({ length: openingMax }, worker));
  }

  /**
   * Makes partitions 0 to `count` - 1 of a topic serve: opens those that are on disk, creates the others. One that can't
   * serve is there all the same and says why. Each has the topic's configuration from then on. Rejects when a log can't
   * be created.
   */
  async openTopic(topic: TopicInfo): Promise<void> {
    const { topicId, partitions, internal } = topic;
    const config = fullTopicConfig(topic.config, internal);
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < partitions) {
        const partition = next++;
        await this.#open(topicId, partition, internal);
        this.find(topicId, partition)?.configure(config);
      }
    };
    await Promise.all(Array.from({ length: Math.min(openingMax, partitions) }, worker));
  }

  /** No partition of the topic is served any more, and its files go to the trash. Durable when it resolves. */
  async removeTopic(topicId: number): Promise<void> {
    const gone = [...this.#byKey.values()].filter((partition) => partition.topicId === topicId);
    for (const partition of gone) {
      this.#byKey.delete(partition.key);
      this.#opening.delete(partition.key);
      partition.abandon();
    }
    await this.#store.remove(topicId);
  }

  /** Ids of the topics that have files here. */
  storedTopics(): ReadonlySet<number> {
    return new Set(this.#store.replicas().map(({ topicId }) => topicId));
  }

  /** Whoever comes while it is being opened waits for the same one. */
  #open(topicId: number, partition: number, internal: boolean): Promise<void> {
    const key = placeOf(topicId, partition);
    let opening = this.#opening.get(key);
    if (opening === undefined) {
      opening = this.#openOnce(topicId, partition, internal);
      this.#opening.set(key, opening);
      opening.catch(() => this.#opening.delete(key));
    }
    return opening;
  }

  async #openOnce(topicId: number, partition: number, internal: boolean): Promise<void> {
    const log = await this.#openOrCreate(topicId, partition);
    const opened = new Partition(log, internal, this.#host);
    opened.onCommitted = (each) => this.onCommitted(each);
    this.#byKey.set(opened.key, opened);
    const share = Math.floor(unsavedBytesMax / this.#byKey.size);
    this.#host.snapshotBytes = Math.min(snapshotBytesMax, Math.max(snapshotBytesMin, share));
    await opened.activate();
  }

  async #openOrCreate(topicId: number, partition: number): Promise<PartitionLog> {
    try {
      return await this.#store.open(topicId, partition);
    } catch (error) {
      if (!isTaskdError(error, ErrorCode.NOT_FOUND)) throw error;
      return this.#store.create(topicId, partition);
    }
  }
}
