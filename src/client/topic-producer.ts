import { delayLevelFor, delayTopicName } from '../base/delay-level.js';
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { BatchClass } from '../batch/header.js';
import { type NewRecord, recordLength } from '../batch/record.js';
import type { Runtime } from '../runtime/runtime.js';
import { deliverAtOf, openLevel, sendDelayed } from './delayed.js';
import { newRecord, type OutgoingRecord } from './outgoing-record.js';
import { PartitionChooser } from './partition-chooser.js';
import { type Delivered, Producer } from './producer.js';
import { type ProducerOptions, type ProducerSettings, producerSettings } from './producer-options.js';
import type { CallerSource, TopicDirectory, TopicPlace } from './topic-directory.js';

/** What a producer or a consumer works with. */
export interface QueueNetwork {
  readonly runtime: Runtime;
  readonly callers: CallerSource;
  readonly topics: TopicDirectory;
}

/** A topic that something was sent to, or a level of the ladder of delay. */
interface Target {
  readonly name: string;
  /** Looks the name up. */
  readonly find: (deadlineMs: number) => Promise<TopicPlace>;
  /** Undefined until the name was looked up, and again once the topic is gone. */
  place: TopicPlace | undefined;
  /** When it was last asked for anew. */
  checkedMs: number;
  chooser: PartitionChooser | undefined;
  /** Sends that wait for the lookup, in order; undefined when none is under way. */
  pending: Pending[] | undefined;
}

/** A record and where it shall go. */
interface Wanted {
  readonly made: NewRecord;
  readonly partition: number | undefined;
  readonly dueMs: number | undefined;
  /** When it was given. */
  readonly sinceMs: number;
}

interface Pending {
  readonly bytes: number;
  /** When the record was given. */
  readonly sinceMs: number;
  go(place: TopicPlace): void;
  fail(error: unknown): void;
}

/** Bytes of records whose topic, or whose level of the ladder, is being looked up. */
const pendingBytesMax = 16 * 1024 * 1024;
/** Topics that are remembered; of more, those that were sent to first are looked up again. */
const targetsMax = 8_192;
const closeWaitMs = 5_000;
/** A topic may get more partitions: brokers are asked about one in use after so long. */
const recheckMs = 60_000;

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
  readonly #settings: ProducerSettings;
  readonly #targets = new Map<string, Target>();
  readonly #levels = new Map<number, Target>();
  readonly #onClosed: (producer: TopicProducer) => void;
  #pendingBytes = 0;
  #isClosed = false;

  /** `onClosed` is told once, when `close` is through. */
  constructor(
    network: QueueNetwork,
    options: ProducerOptions = {},
    onClosed: (producer: TopicProducer) => void = () => {},
  ) {
    this.#network = network;
    this.#onClosed = onClosed;
    this.#settings = producerSettings(options);
    this.#producer = new Producer(network.runtime, network.callers, network.topics, options);
  }

  /** Bytes of records that have no outcome yet. */
  get bufferedBytes(): number {
    return this.#producer.bufferedBytes + this.#pendingBytes;
  }

  /**
   * Stores one record. NOT_FOUND for a topic that does not exist, INVALID and TOO_LARGE for what is no record, BUSY when
   * as many bytes as may be buffered wait for room already.
   */
  send(topic: string, record: OutgoingRecord): Promise<Delivered> {
    try {
      const made = newRecord(record);
      const { clock } = this.#network.runtime;
      const sinceMs = clock.monotonicMs();
      const dueMs = isDelayed(record) ? deliverAtOf(record, clock.wallMs()) : undefined;
      const wanted = { made, partition: record.partition, dueMs, sinceMs };
      const target = this.#target(topic);
      const place = this.#place(target, record.partition, sinceMs);
      if (place !== undefined) return this.#sendTo(target, place, wanted);
      return this.#whenFound(target, made, sinceMs, (found) => this.#sendTo(target, found, wanted));
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
    const wallMs = this.#network.runtime.clock.wallMs();
    for (const record of records) {
      newRecord(record);
      deliverAtOf(record, wallMs);
    }
    const outcomes = await Promise.allSettled(records.map((record) => this.send(topic, record)));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed === undefined) return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<Delivered>).value);
    const error = failed.reason as TaskdError;
    const stored = outcomes.filter(({ status }) => status === 'fulfilled').length;
    if (stored === 0 || error.code === ErrorCode.OUTCOME_UNKNOWN) throw error;
    const message = `${stored} of ${records.length} records were stored, the others not: ${error.message}`;
    throw new TaskdError(ErrorCode.OUTCOME_UNKNOWN, message, { cause: error });
  }

  /**
   * Resolves when the next `send` would find room. Programs that don't await each record await this instead, and so send
   * as fast as the broker takes it.
   */
  room(): Promise<void> {
    return this.#producer.room();
  }

  /** Resolves when everything that was given until now has its outcome, which each call's own promise tells. */
  async flush(): Promise<void> {
    // Records come to a level when their topic is found, and to the producer when their level is.
    for (const targets of [this.#targets, this.#levels]) {
      await Promise.all([...targets.values()].map((target) => this.#lookedUp(target)));
    }
    await this.#producer.flush();
  }

  /**
   * Ends, once what was given has its outcome, but after 5 seconds at the latest: what is left then rejects. `flush`
   * before it waits for as long as it takes.
   */
  async close(): Promise<void> {
    const { clock } = this.#network.runtime;
    await new Promise<void>((resolve) => {
      const timer = clock.timer(closeWaitMs, resolve);
      void this.flush().then(() => {
        timer.cancel();
        resolve();
      });
    });
    if (this.#isClosed) return;
    this.#isClosed = true;
    const error = new TaskdError(ErrorCode.CANCELLED, 'the producer was closed before the topic was found');
    for (const target of [...this.#targets.values(), ...this.#levels.values()]) this.#settle(target, undefined, error);
    this.#producer.close();
    this.#onClosed(this);
  }

  #target(name: string): Target {
    let target = this.#targets.get(name);
    if (target === undefined) {
      if (typeof name !== 'string' || name === '') throw invalid('give the name of a topic');
      if (this.#targets.size >= targetsMax) this.#forgetOne();
      target = newTarget(name, (deadlineMs) => this.#network.topics.named(name, deadlineMs));
      this.#targets.set(name, target);
    }
    return target;
  }

  #level(level: number): Target {
    let target = this.#levels.get(level);
    if (target === undefined) {
      target = newTarget(delayTopicName(level), (deadlineMs) => openLevel(this.#network.topics, level, deadlineMs));
      this.#levels.set(level, target);
    }
    return target;
  }

  #forgetOne(): void {
    for (const { name, pending } of this.#targets.values()) {
      if (pending !== undefined) continue;
      this.#targets.delete(name);
      return;
    }
  }

  /** Sends once it is known where the topic is, in the order of the calls. */
  #whenFound(
    target: Target,
    made: NewRecord,
    sinceMs: number,
    send: (place: TopicPlace) => Promise<Delivered>,
  ): Promise<Delivered> {
    return new Promise((resolve, reject) => {
      const bytes = recordLength(made);
      this.#await(target, { bytes, sinceMs, go: (place) => send(place).then(resolve, reject), fail: reject });
    });
  }

  /** Where the topic is, unless that must be looked up. */
  #place(target: Target, partition: number | undefined, sinceMs: number): TopicPlace | undefined {
    if (target.place === undefined || target.pending !== undefined) return undefined;
    const { topics } = this.#network;
    const { topicId } = target.place;
    let place = topics.known(topicId);
    if (place !== undefined && partition !== undefined && partition >= place.partitions) {
      // It may have got more partitions meanwhile.
      topics.forget(topicId);
      place = undefined;
    }
    target.place = place;
    if (target.checkedMs + recheckMs < sinceMs) {
      target.checkedMs = sinceMs;
      topics.stale(topicId);
    }
    return place;
  }

  #sendTo(target: Target, place: TopicPlace, wanted: Wanted): Promise<Delivered> {
    const { made, dueMs, sinceMs } = wanted;
    const partition = wanted.partition ?? this.#choose(target, place, made);
    if (!Number.isInteger(partition) || partition < 0 || partition >= place.partitions) {
      const last = place.partitions - 1;
      return Promise.reject(invalid(`topic "${target.name}" has the partitions 0 to ${last}, and no ${partition}`));
    }
    const { topicId } = place;
    if (dueMs !== undefined) return this.#delay({ topicId, partition }, made, dueMs, sinceMs);
    return this.#producer.send(topicId, partition, made, BatchClass.CLIENT, sinceMs);
  }

  #delay(
    target: { readonly topicId: number; readonly partition: number },
    made: NewRecord,
    dueMs: number,
    sinceMs: number,
  ): Promise<Delivered> {
    const level = delayLevelFor(dueMs - this.#network.runtime.clock.wallMs());
    const through = this.#level(level);
    const send = (found: TopicPlace): Promise<Delivered> =>
      sendDelayed(this.#producer, found, level, target, made, dueMs, sinceMs);
    const place = this.#place(through, undefined, sinceMs);
    return place === undefined ? this.#whenFound(through, made, sinceMs, send) : send(place);
  }

  #choose(target: Target, place: TopicPlace, record: NewRecord): number {
    target.chooser ??= new PartitionChooser(this.#network.runtime.random, place.partitions, this.#settings.batchBytes, {
      queued: (partition) => this.#producer.queued(target.place!.topicId, partition),
      hasLeader: (partition) => target.place!.leaders[partition] !== undefined,
      isSlow: (partition) => this.#producer.isSlow(target.place!.topicId, partition),
    });
    target.chooser.resize(place.partitions);
    return target.chooser.choose(record.key, recordLength(record));
  }

  #await(target: Target, pending: Pending): void {
    if (this.#isClosed) throw new TaskdError(ErrorCode.CANCELLED, 'the producer is closed');
    if (this.#pendingBytes + pending.bytes > pendingBytesMax) throw tooMuch();
    this.#pendingBytes += pending.bytes;
    if (target.pending !== undefined) {
      target.pending.push(pending);
      return;
    }
    target.pending = [pending];
    void this.#lookUp(target, pending.sinceMs + this.#settings.deliveryTimeoutMs);
  }

  async #lookUp(target: Target, untilMs: number): Promise<void> {
    try {
      const leftMs = Math.max(1, untilMs - this.#network.runtime.clock.monotonicMs());
      this.#settle(target, await target.find(leftMs), undefined);
    } catch (error) {
      this.#settle(target, undefined, error);
    }
  }

  /** Sends go on in their order: those that came during the lookup wait behind those before them. */
  #settle(target: Target, place: TopicPlace | undefined, problem: unknown): void {
    const waited = target.pending ?? [];
    target.pending = undefined;
    target.place = place;
    target.checkedMs = this.#network.runtime.clock.monotonicMs();
    for (const each of waited) {
      this.#pendingBytes -= each.bytes;
      if (place === undefined) each.fail(problem);
      else each.go(place);
    }
  }

  #lookedUp(target: Target): Promise<void> {
    if (target.pending === undefined) return Promise.resolve();
    const over = { bytes: 0, sinceMs: 0 };
    return new Promise((resolve) => target.pending!.push({ ...over, go: () => resolve(), fail: () => resolve() }));
  }
}

function newTarget(name: string, find: (deadlineMs: number) => Promise<TopicPlace>): Target {
  return { name, find, place: undefined, checkedMs: 0, chooser: undefined, pending: undefined };
}

function isDelayed({ deliverAtMs, delayMs, delayLevel }: OutgoingRecord): boolean {
  return deliverAtMs !== undefined || delayMs !== undefined || delayLevel !== undefined;
}

function tooMuch(): TaskdError {
  const message = `records of ${pendingBytesMax} bytes wait until their topics are found; await some of them first`;
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 100 });
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, message);
}
