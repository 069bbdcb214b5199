import { ErrorCode, TaskdError } from '../../base/errors.js';
import { type QueueNetwork, TopicProducer } from '../topic-producer.js';
import { ConsumerDriver, type ConsumerState } from './consumer-driver.js';
import { type ConsumerOptions, type ConsumerSettings, consumerSettings } from './consumer-options.js';
import type { ConsumerRecord } from './consumer-record.js';
import {
  type BatchHandler,
  GatheredContext,
  type Handling,
  type RecordHandler,
  SingleContext,
} from './handler-context.js';
import type { OpenPartition, TopicPartition } from './open-partition.js';

/** What a consumer does at the moment. */
export interface ConsumerStats {
  readonly state: ConsumerState;
  /** Handlers under way, and how long the oldest has been: one that only grows is stuck. */
  readonly running: number;
  readonly oldestHandlerMs: number;
  /** Bytes of records in memory. */
  readonly bufferedBytes: number;
  /** Records whose handling is over, those that went up the retry ladder, and positions that were reset. */
  readonly handled: number;
  readonly failed: number;
  readonly resets: number;
  readonly partitions: readonly PartitionStats[];
}

export interface PartitionStats extends TopicPartition {
  /** All before it is processed. */
  readonly doneOffset: number | undefined;
  /** What the group has on disk. */
  readonly committedOffset: number | undefined;
  readonly isPaused: boolean;
  /** Why nothing more is read of it. */
  readonly problem: Error | undefined;
}

/** The next record to consume of a partition. */
export interface PartitionOffset extends TopicPartition {
  readonly offset: number;
}

/**
 * Consumes topics, as a member of a group or on its own. Delivery is at least once: a record is committed after its
 * handler returned (or after it was stored in a retry topic), so a crash brings back what was handled since the last
 * commit. One `run`, `runBatch` or `records` a consumer; `close` ends it.
 */
export class Consumer {
  readonly #network: QueueNetwork;
  readonly #settings: ConsumerSettings;
  readonly #ended: (consumer: Consumer) => void;
  #driver: ConsumerDriver | undefined;
  #isClosed = false;

  /** Throws INVALID with what is wrong and the limit. `ended` is called once nothing of it is left. */
  constructor(network: QueueNetwork, options: ConsumerOptions, ended: (consumer: Consumer) => void = () => {}) {
    this.#network = network;
    this.#ended = ended;
    this.#settings = consumerSettings(options);
  }

  /** Calls `handler` for each record. Resolves after `close`; rejects when the consumer can't go on. */
  run(handler: RecordHandler): Promise<void> {
    return this.#run(false, (handling) => handler(handling.records[0]!, new SingleContext(handling)));
  }

  /**
   * Calls `handler` with all records of a partition that wait, up to `batchRecords`. When it throws, every record of the
   * batch counts as failed, but for those that it sent elsewhere by its context.
   */
  runBatch(handler: BatchHandler): Promise<void> {
    return this.#run(true, (handling) => handler(handling.records, new GatheredContext(handling)));
  }

  /**
   * The records one after another, for `for await`. A record counts as processed when the next one is asked for;
   * leaving the loop closes the consumer, and the record at hand comes again.
   */
  async *records(): AsyncGenerator<ConsumerRecord, void, undefined> {
    const waiting: { record: ConsumerRecord; done: () => void }[] = [];
    let wake: () => void = () => {};
    let isOver = false;
    const running = this.#run(false, ({ records: [record], signal }) => {
      return new Promise<void>((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
        waiting.push({ record: record!, done: resolve });
        wake();
      });
    }).finally(() => {
      isOver = true;
      wake();
    });
    // It is awaited below; a failure before that must not count as unhandled.
    running.catch(() => {});
    try {
      for (;;) {
        const next = waiting.shift();
        if (next !== undefined) {
          yield next.record;
          next.done();
        } else if (isOver) break;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
      await running;
    } finally {
      const closed = this.close();
      // The record at hand is not waited for: it comes again.
      this.#driver?.runner.abort(undefined, 'closing');
      await closed;
    }
  }

  /**
   * Commits what is processed now, or exactly `offsets`, each the next record to consume; durable when it resolves. For
   * `autoCommit: false`. Rejects with INVALID for a partition that this consumer doesn't have.
   */
  async commit(offsets?: readonly PartitionOffset[]): Promise<void> {
    if (this.#settings.group === '') throw new TaskdError(ErrorCode.INVALID, 'without a group nothing is committed');
    await this.#driver?.commit(offsets?.map((each) => this.#progress(each)));
  }

  /** Handles nothing more of these partitions, or of all; what runs goes on. A new assignment begins unpaused. */
  pause(partitions?: readonly TopicPartition[]): void {
    this.#pause(partitions, true);
  }

  resume(partitions?: readonly TopicPartition[]): void {
    this.#pause(partitions, false);
  }

  /** Partitions that this consumer has now, without those of retry topics. */
  get assignment(): readonly TopicPartition[] {
    return this.#partitions()
      .filter(({ topic }) => this.#settings.topics.includes(topic))
      .map(({ topic, partition }) => ({ topic, partition }));
  }

  get stats(): ConsumerStats {
    const driver = this.#driver;
    return {
      state: this.#isClosed && driver === undefined ? 'closed' : (driver?.state ?? 'new'),
      running: driver?.queue.runningCount ?? 0,
      oldestHandlerMs: driver?.runner.oldestMs() ?? 0,
      bufferedBytes: driver?.queue.bytes ?? 0,
      handled: driver?.runner.handledTotal ?? 0,
      failed: driver?.runner.failedTotal ?? 0,
      resets: driver?.resetsTotal ?? 0,
      partitions: this.#partitions().map((each) => ({
        topic: each.topic,
        partition: each.partition,
        doneOffset: each.work?.doneEnd,
        committedOffset: each.committedEnd < 0 ? undefined : each.committedEnd,
        isPaused: each.isPaused,
        problem: each.problem,
      })),
    };
  }

  /**
   * Takes nothing more, lets handlers finish for at most `closeTimeoutMs`, commits, and leaves the group, whose other
   * members go on at once. Never rejects; may be called at any time, and again.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#driver?.close();
    this.#ended(this);
  }

  #run(batches: boolean, call: (handling: Handling) => unknown): Promise<void> {
    if (this.#driver !== undefined || this.#isClosed) {
      const message = this.#isClosed ? 'the consumer is closed' : 'a consumer runs once';
      return Promise.reject(new TaskdError(ErrorCode.CONFLICT, `${message}: make another one`));
    }
    const producer = this.#settings.hasRetries ? new TopicProducer(this.#network) : undefined;
    this.#driver = new ConsumerDriver(this.#network, this.#settings, producer, batches);
    return this.#driver.run(call).finally(() => this.#ended(this));
  }

  #progress({ topic, partition, offset }: PartitionOffset): { partition: OpenPartition; offset: number } {
    const open = this.#partitions().find((each) => each.topic === topic && each.partition === partition);
    if (open === undefined) throw new TaskdError(ErrorCode.INVALID, `${topic}/${partition} is not this consumer's`);
    if (Number.isSafeInteger(offset) && offset >= 0) return { partition: open, offset };
    throw new TaskdError(ErrorCode.INVALID, `offset is ${offset}: give a whole number of 0 or more`);
  }

  #pause(partitions: readonly TopicPartition[] | undefined, isPaused: boolean): void {
    if (partitions === undefined) {
      this.#driver?.pauseAll(isPaused);
      return;
    }
    for (const { topic, partition } of partitions) {
      const open = this.#partitions().find((each) => each.topic === topic && each.partition === partition);
      if (open !== undefined) this.#driver!.pause(open, isPaused);
    }
  }

  #partitions(): readonly OpenPartition[] {
    return this.#driver === undefined ? [] : [...this.#driver.partitions];
  }
}
