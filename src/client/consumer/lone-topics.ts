/**
 * The topics of a consumer without a group: it reads all their partitions, or those that it was asked for, on its own.
 *
 * ```
 *   looked up ──► READING ── stopAtEnd: all that was there when it began is processed ──► ended
 *       ▲            │
 *       │            └── the topic is deleted ──► WAITING (stopAtEnd: it fails)
 *       └─────── there is one of that name again ────┘
 * ```
 * What is made anew is another topic: it is read from its beginning.
 */
import { ErrorCode, TaskdError } from '../../base/errors.js';
import type { TopicPlace } from '../topic-directory.js';
import type { QueueNetwork } from '../topic-producer.js';
import type { ConsumerSettings } from './consumer-options.js';
import type { Consumption } from './consumption.js';
import { elapse, type LeaderCaller } from './leader-caller.js';
import { OpenPartition } from './open-partition.js';
import { offsetOf, type Position } from './positions.js';

export interface LoneEvents {
  isRunning(): boolean;
  /** Resolves when the program has heard of them. */
  assigned(partitions: readonly OpenPartition[]): Promise<void>;
  /** They are not there any more. */
  lost(partitions: readonly OpenPartition[]): void;
  /** All is processed that was to be. */
  ended(): void;
  /** It can't go on. */
  failed(error: unknown): void;
  trouble(error: TaskdError): void;
}

/** How often positions are asked for again while nobody answers. */
const positionsMs = 10_000;
/** How often a topic that is gone is looked for. */
const lookMs = 1_000;

export class LoneTopics {
  readonly #network: QueueNetwork;
  readonly #leaders: LeaderCaller;
  readonly #consumption: Consumption;
  readonly #settings: ConsumerSettings;
  readonly #from: Position;
  readonly #events: LoneEvents;
  /** With stopAtEnd: where each partition ended when it began. */
  readonly #ends = new Map<OpenPartition, number>();

  constructor(
    network: QueueNetwork,
    leaders: LeaderCaller,
    consumption: Consumption,
    settings: ConsumerSettings,
    from: Position,
    events: LoneEvents,
  ) {
    this.#network = network;
    this.#leaders = leaders;
    this.#consumption = consumption;
    this.#settings = settings;
    this.#from = from;
    this.#events = events;
  }

  /** Begins to read all topics. */
  async start(): Promise<void> {
    try {
      const places: TopicPlace[] = [];
      for (const topic of this.#settings.topics) places.push(await this.#network.topics.named(topic));
      await this.#read(
        places.flatMap((place) => this.#partitionsOf(place)),
        this.#from,
      );
      this.checkEnd();
    } catch (error) {
      this.#events.failed(error);
    }
  }

  /** Something more was processed, or read. */
  checkEnd(): void {
    if (!this.#settings.stopAtEnd || !this.#events.isRunning()) return;
    for (const partition of this.#consumption.partitions) {
      const end = this.#ends.get(partition);
      if (end === undefined || (partition.work?.doneEnd ?? -1) < end) return;
    }
    this.#events.ended();
  }

  /** Brokers say that this partition is not there; so its topic is not. */
  gone({ topic, topicId }: OpenPartition): void {
    if (!this.#events.isRunning()) return;
    const gone = [...this.#consumption.partitions].filter((each) => each.topicId === topicId);
    for (const partition of gone) this.#consumption.forget(partition, 'lost');
    this.#events.lost(gone);
    if (this.#settings.stopAtEnd) {
      this.#events.failed(new TaskdError(ErrorCode.NOT_FOUND, `topic "${topic}" was deleted while it was read`));
      return;
    }
    const message = `topic "${topic}" was deleted: the consumer waits for one of that name, and reads it from its beginning`;
    this.#events.trouble(new TaskdError(ErrorCode.NOT_FOUND, message));
    void this.#await(topic);
  }

  async #await(topic: string): Promise<void> {
    while (this.#events.isRunning()) {
      try {
        const place = await this.#network.topics.find(topic);
        if (!this.#events.isRunning()) return;
        if (place !== undefined) {
          await this.#read(this.#partitionsOf(place), 'earliest');
          return;
        }
      } catch (error) {
        if (!this.#events.isRunning()) return;
        if (!(error instanceof TaskdError) || error.code === ErrorCode.INVALID) this.#events.failed(error);
        else this.#events.trouble(error);
      }
      await elapse(this.#network.runtime.clock, lookMs);
    }
  }

  #partitionsOf({ name, topicId, partitions }: TopicPlace): OpenPartition[] {
    const chosen = this.#settings.partitions ?? Array.from({ length: partitions }, (_, i) => i);
    return chosen.map((number) => {
      if (number < partitions) return new OpenPartition(name, topicId, number);
      const message = `topic "${name}" has the partitions 0 to ${partitions - 1}, and no ${number}`;
      throw new TaskdError(ErrorCode.NOT_FOUND, message);
    });
  }

  async #read(partitions: readonly OpenPartition[], from: Position): Promise<void> {
    for (const partition of partitions) this.#consumption.partitions.add(partition);
    await this.#events.assigned(partitions);
    await Promise.all(
      partitions.map(async (partition) => {
        if (this.#settings.stopAtEnd) {
          this.#ends.set(partition, await offsetOf(this.#leaders, partition, 'latest', positionsMs));
        }
        const offset = await offsetOf(this.#leaders, partition, from, positionsMs);
        if (this.#events.isRunning() && !partition.isOver) this.#consumption.open(partition, offset);
      }),
    );
  }
}
