import { ErrorCode, isTaskdError } from '../../base/errors.js';
import { fullTopicConfig } from '../../base/topic-config.js';
import { createTopic, describeTopics } from '../../wire/methods.js';
import { readTopicConfig, writeTopicConfig } from '../../wire/topic-config.js';
import type { OutgoingRecord } from '../outgoing-record.js';
import type { QueueNetwork, TopicProducer } from '../topic-producer.js';
import type { ConsumerRecord } from './consumer-record.js';
import { type Failure, failedAgain, failureHeader, writeFailure } from './failure.js';
import { deadLettersKeptMs, deadTopicName, retryDelayMs, retryTopicName } from './retry-ladder.js';

/** What to do with a record that was not processed. */
export type Verdict = 'retry' | 'dead';

/** Where a record went. */
export interface Moved {
  readonly topic: string;
  readonly failure: Failure;
  /** When it comes back; undefined for a dead letter. */
  readonly dueMs: number | undefined;
}

/** A topic's ladder is asked for anew after so long. */
const ladderKeptMs = 30_000;

/** Stores records that could not be processed: in the group's retry topic of their topic, or among its dead letters. */
export class RetryTopics {
  readonly #network: QueueNetwork;
  readonly #producer: Pick<TopicProducer, 'send'>;
  readonly #group: string;
  readonly #delaysMs: readonly number[] | undefined;
  /** Topics that are known to be there. */
  readonly #made = new Set<string>();
  readonly #ladders = new Map<string, { readonly delaysMs: readonly number[]; readonly askedMs: number }>();

  /** `delaysMs` goes before what the topics say themselves. */
  constructor(
    network: QueueNetwork,
    producer: Pick<TopicProducer, 'send'>,
    group: string,
    delaysMs?: readonly number[],
  ) {
    this.#network = network;
    this.#producer = producer;
    this.#group = group;
    this.#delaysMs = delaysMs;
  }

  /**
   * Stores the record one step further up. Durable when it resolves: only then may its offset be committed. Rejects with
   * a `TaskdError`; the same call may be made again, at the price of a copy when the outcome was unknown.
   */
  async moveUp(record: ConsumerRecord, error: string, verdict: Verdict): Promise<Moved> {
    const { clock } = this.#network.runtime;
    const failure = failedAgain(record.failure, this.#group, record, error, clock.wallMs());
    const delayMs = verdict === 'dead' ? undefined : retryDelayMs(await this.#ladder(record.topic), failure.attempts);
    if (delayMs === undefined) return this.#store(deadTopicName(this.#group, record.topic), record, failure, undefined);
    const dueMs = clock.wallMs() + delayMs;
    return this.#store(retryTopicName(this.#group, record.topic), record, failure, dueMs);
  }

  async #store(topic: string, record: ConsumerRecord, failure: Failure, dueMs: number | undefined): Promise<Moved> {
    const partitions = await this.partitionsOf(topic, record.topic);
    const key = record.key === undefined ? {} : { key: record.key };
    const whole: OutgoingRecord = {
      ...key,
      partition: record.partition % partitions,
      ...(dueMs === undefined ? {} : { deliverAtMs: dueMs }),
      ...(record.value === undefined ? {} : { value: record.value }),
      headers: { ...record.headers, [failureHeader]: writeFailure(failure) },
    };
    try {
      await this.#producer.send(topic, whole);
      return { topic, failure, dueMs };
    } catch (error) {
      if (isTaskdError(error, ErrorCode.NOT_FOUND)) this.#made.delete(topic);
      if (!isTaskdError(error, ErrorCode.TOO_LARGE)) throw error;
    }
    // As large as a record may be, or with as many headers: it can't be stored again with one more. It must not hold up
    // its partition for that, so a note of it becomes a dead letter.
    const note: Failure = { ...failure, isValueLeftOut: true };
    const dead = deadTopicName(this.#group, record.topic);
    const headers = { [failureHeader]: writeFailure(note) };
    const partition = record.partition % (await this.partitionsOf(dead, record.topic));
    await this.#producer.send(dead, { ...key, partition, headers });
    return { topic: dead, failure: note, dueMs: undefined };
  }

  /** How many partitions the topic has; it is made when it isn't there, if possible with as many as its origin has. */
  async partitionsOf(name: string, origin: string): Promise<number> {
    const { topics } = this.#network;
    if (!this.#made.has(name)) {
      const { partitions } = await topics.named(origin);
      const config = name === deadTopicName(this.#group, origin) ? { retentionMs: deadLettersKeptMs } : {};
      const request = { name, partitions, replicas: 1, ifAbsent: true, config: writeTopicConfig(config) };
      try {
        await topics.ask(createTopic, request);
      } catch (error) {
        if (isTaskdError(error, ErrorCode.QUOTA) && partitions > 1) {
          // There is no room for as many: one is better than that the record goes nowhere.
          await topics.ask(createTopic, { ...request, partitions: 1 });
        } else if (!isTaskdError(error, ErrorCode.ALREADY_EXISTS)) throw error; // It is there, its origin has grown.
      }
      this.#made.add(name);
    }
    return (await topics.named(name)).partitions;
  }

  async #ladder(topic: string): Promise<readonly number[]> {
    if (this.#delaysMs !== undefined) return this.#delaysMs;
    const nowMs = this.#network.runtime.clock.monotonicMs();
    const known = this.#ladders.get(topic);
    if (known !== undefined && known.askedMs + ladderKeptMs > nowMs) return known.delaysMs;
    const { topics } = await this.#network.topics.ask(describeTopics, { names: [topic] });
    const { retryDelaysMs: delaysMs } = fullTopicConfig(readTopicConfig(topics[0]?.config), false);
    this.#ladders.set(topic, { delaysMs, askedMs: nowMs });
    return delaysMs;
  }
}
