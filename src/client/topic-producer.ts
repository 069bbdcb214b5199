import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { BatchClass } from '../batch/header.js';
import { type NewRecord, recordLength } from '../batch/record.js';
import type { Runtime } from '../runtime/runtime.js';
import { newRecord, type OutgoingRecord } from './outgoing-record.js';
import { PartitionChooser } from './partition-chooser.js';
import { type Delivered, Producer, type ProducerOptions } from './producer.js';
import type { CallerSource, TopicDirectory, TopicPlace } from './topic-directory.js';

/** What a producer or a consumer works with. */
export interface QueueNetwork {
  readonly runtime: Runtime;
  readonly callers: CallerSource;
  readonly topics: TopicDirectory;
}

/** A topic that something was sent to. */
interface Target {
  readonly name: string;
  /** Undefined until the name was looked up, and again once the topic is gone. */
  place: TopicPlace | undefined;
  chooser: PartitionChooser | undefined;
  /** Sends that wait for the lookup, in order; undefined when none is under way. */
  pending: Pending[] | undefined;
}

interface Pending {
  readonly bytes: number;
  go(place: TopicPlace): void;
  fail(error: unknown): void;
}

/** Bytes of records whose topic is being looked up. */
const pendingBytesMax = 16 * 1024 * 1024;

/**
 * Stores records in topics. One object serves any number of topics, and many calls at once: records that are given in
 * the same moment share batches. Records of one partition are stored in the order of the calls, each once, whatever
 * connections and brokers do meanwhile.
 *
 * A promise resolves once its record is on the broker's disk (or, in a topic with a flush interval, taken by it). It
 * rejects with a `TaskdError`: with OUTCOME_UNKNOWN nobody can say whether the record was stored, with any other code it
 * surely was not.
 */
export class TopicProducer {
  readonly #network: QueueNetwork;
  readonly #producer: Producer;
  readonly #stickyBytes: number;
  readonly #lookupMs: number;
  readonly #targets = new Map<string, Target>();
  #pendingBytes = 0;

  constructor(network: QueueNetwork, options: ProducerOptions = {}) {
    this.#network = network;
    this.#stickyBytes = options.batchBytes ?? 64 * 1024;
    this.#lookupMs = options.deliveryTimeoutMs ?? 120_000;
    this.#producer = new Producer(network.runtime, network.callers, network.topics, options);
  }

  /** Bytes of records that have no outcome yet. */
  get bufferedBytes(): number {
    return this.#producer.bufferedBytes + this.#pendingBytes;
  }

  /** Stores one record. NOT_FOUND for a topic that does not exist, INVALID and TOO_LARGE for what is no record. */
  send(topic: string, record: OutgoingRecord): Promise<Delivered> {
    try {
      const made = this.#check(record);
      const target = this.#target(topic);
      const place = this.#place(target);
      if (place !== undefined) return this.#sendTo(target, place, made, record.partition);
      return new Promise((resolve, reject) => {
        this.#await(target, {
          bytes: recordLength(made),
          go: (found) => this.#sendTo(target, found, made, record.partition).then(resolve, reject),
          fail: reject,
        });
      });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Stores records and resolves with their places, in the order in which they were given. They may go to several
   * partitions and be stored in part: rejects with the error of one that was not, or with OUTCOME_UNKNOWN when others
   * of them were.
   */
  async sendAll(topic: string, records: readonly OutgoingRecord[]): Promise<readonly Delivered[]> {
    // All are checked before the first is sent.
    for (const record of records) this.#check(record);
    const outcomes = await Promise.allSettled(records.map((record) => this.send(topic, record)));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed === undefined) return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<Delivered>).value);
    const error = failed.reason as TaskdError;
    const stored = outcomes.filter(({ status }) => status === 'fulfilled').length;
    if (stored === 0 || error.code === ErrorCode.OUTCOME_UNKNOWN) throw error;
    const message = `${stored} of ${records.length} records were stored, the others not: ${error.message}`;
    throw new TaskdError(ErrorCode.OUTCOME_UNKNOWN, message, { cause: error });
  }

  /** Resolves when everything that was given until now has its outcome, which each call's own promise tells. */
  async flush(): Promise<void> {
    await Promise.allSettled([...this.#targets.values()].map((target) => this.#lookedUp(target)));
    await this.#producer.flush();
  }

  /** Sends what is left, then ends. */
  async close(): Promise<void> {
    await this.flush();
    this.#producer.close();
  }

  #check(record: OutgoingRecord): NewRecord {
    if (record.deliverAtMs !== undefined) throw invalid('deliverAtMs is not there yet');
    return newRecord(record);
  }

  #target(name: string): Target {
    let target = this.#targets.get(name);
    if (target === undefined) {
      if (typeof name !== 'string' || name === '') throw invalid('give the name of a topic');
      target = { name, place: undefined, chooser: undefined, pending: undefined };
      this.#targets.set(name, target);
    }
    return target;
  }

  /** Where the topic is, unless that must be looked up. */
  #place(target: Target): TopicPlace | undefined {
    if (target.place === undefined || target.pending !== undefined) return undefined;
    const place = this.#network.topics.known(target.place.topicId);
    target.place = place;
    return place;
  }

  #sendTo(target: Target, place: TopicPlace, record: NewRecord, wanted: number | undefined): Promise<Delivered> {
    const partition = wanted ?? this.#choose(target, place, record);
    if (!Number.isInteger(partition) || partition < 0 || partition >= place.partitions) {
      const last = place.partitions - 1;
      return Promise.reject(invalid(`topic "${target.name}" has the partitions 0 to ${last}, and no ${partition}`));
    }
    return this.#producer.send(place.topicId, partition, record, BatchClass.CLIENT);
  }

  #choose(target: Target, place: TopicPlace, record: NewRecord): number {
    target.chooser ??= new PartitionChooser(this.#network.runtime.random, place.partitions, this.#stickyBytes, {
      queued: (partition) => this.#producer.queued(target.place!.topicId, partition),
      hasLeader: (partition) => target.place!.leaders[partition] !== undefined,
    });
    target.chooser.resize(place.partitions);
    return target.chooser.choose(record.key, recordLength(record));
  }

  #await(target: Target, pending: Pending): void {
    if (this.#pendingBytes + pending.bytes > pendingBytesMax) throw tooMuch();
    this.#pendingBytes += pending.bytes;
    if (target.pending !== undefined) {
      target.pending.push(pending);
      return;
    }
    target.pending = [pending];
    void this.#lookUp(target);
  }

  /** Sends go on in their order: those that come during a lookup wait behind those before them. */
  async #lookUp(target: Target): Promise<void> {
    let problem: unknown;
    try {
      target.place = await this.#network.topics.named(target.name, this.#lookupMs);
    } catch (error) {
      problem = error;
      target.place = undefined;
    }
    const waited = target.pending!;
    target.pending = undefined;
    for (const each of waited) {
      this.#pendingBytes -= each.bytes;
      if (target.place === undefined) each.fail(problem);
      else each.go(target.place);
    }
  }

  #lookedUp(target: Target): Promise<void> {
    if (target.pending === undefined) return Promise.resolve();
    return new Promise((resolve) => target.pending!.push({ bytes: 0, go: () => resolve(), fail: () => resolve() }));
  }
}

function tooMuch(): TaskdError {
  const message = `records of ${pendingBytesMax} bytes wait until their topics are found; await some of them first`;
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 100 });
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, message);
}
