import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import { placeOf } from '../base/place.js';
import { BatchMemory } from '../batch/batch-memory.js';
import { Codec } from '../batch/body.js';
import type { BatchClass } from '../batch/header.js';
import { type NewRecord, recordLength, recordProblem } from '../batch/record.js';
import type { Caller } from '../rpc/caller.js';
import type { Runtime } from '../runtime/runtime.js';
import { Timers } from '../timer/timers.js';
import type { taskd } from '../wire/generated/messages.js';
import { initProducer, produce } from '../wire/methods.js';
import { Delivery, type DeliveryHost } from './delivery.js';
import { type Failure, Lane, type LaneBatch } from './lane.js';
import { type ProducerOptions, type ProducerSettings, producerSettings } from './producer-options.js';
import { SendRoom } from './send-room.js';
import type { CallerSource, TopicDirectory } from './topic-directory.js';

/** Where a record was stored. */
export interface Delivered {
  readonly partition: number;
  /** Of a delayed record: its place in the queue where it waits. */
  readonly offset: number;
  readonly appendTimestampMs: number;
  /** Of a delayed record: what it can be cancelled by. */
  readonly delayedId?: string;
}

interface LaneState {
  readonly topicId: number;
  readonly partition: number;
  readonly lane: Lane<Delivery>;
  /** The producer id that it had last, to tell whether it needs another. */
  usedId: number;
  /** When its timer fires, or infinity; never later than the lane's own due time. */
  wakeMs: number;
  isDirty: boolean;
}

/** An attempt is given up and repeated after so long. */
const attemptMs = 30_000;
const idRetryMs = 200;
const slowMs = 1_000;
const nothing: readonly NewRecord[] = [];

/**
 * The idempotent producer: every record that was given to it is stored once or its promise rejects, in the order of the
 * calls for one partition, across lost connections and restarts of the broker.
 *
 * A promise rejects with OUTCOME_UNKNOWN when nobody can say whether the record was stored; with every other error it
 * surely was not. Records that are given in one turn, or while others of their partition are on their way, share a
 * batch. All sending happens at the end of a turn.
 */
export class Producer {
  readonly #runtime: Runtime;
  readonly #callers: CallerSource;
  readonly #topics: TopicDirectory;
  readonly #timers: Timers;
  readonly #settings: ProducerSettings;
  readonly #room: SendRoom<Delivery>;
  readonly #host: DeliveryHost = {
    enter: (delivery) => this.#enter(delivery),
    settled: (delivery) => this.#room.leave(delivery),
  };
  readonly #memory = new BatchMemory();
  readonly #lanes = new Map<number, LaneState>();
  readonly #forgetTopics: () => void;
  #dirty: LaneState[] = [];
  #isFlushing = false;
  /** 0: none yet. */
  #producerId = 0;
  #isAskingId = false;
  /** Why no broker gave an id when it was last asked. */
  #idProblem: TaskdError | undefined;
  #isClosed = false;

  constructor(runtime: Runtime, callers: CallerSource, topics: TopicDirectory, options: ProducerOptions = {}) {
    this.#runtime = runtime;
    this.#callers = callers;
    this.#topics = topics;
    this.#timers = new Timers(runtime.clock);
    this.#settings = producerSettings(options);
    this.#room = new SendRoom(this.#settings.bufferBytesMax);
    this.#forgetTopics = topics.onChange(() => this.#touchAll());
  }

  /** Bytes of records that are in the producer's batches and have no outcome yet. */
  get bufferedBytes(): number {
    return this.#room.bytes;
  }

  /** Stores one record; durable when it resolves. The delivery timeout began at `sinceMs`, by default now. */
  send(
    topicId: number,
    partition: number,
    record: NewRecord,
    batchClass: BatchClass,
    sinceMs?: number,
  ): Promise<Delivered> {
    return new Promise((resolve, reject) => {
      this.#deliver(topicId, partition, [record], batchClass, sinceMs, ({ offsets, appendTimestampMs, error }) => {
        if (error === undefined) resolve({ partition, offset: offsets[0]!, appendTimestampMs });
        else reject(error);
      });
    });
  }

  /** Stores records of one partition, in order; resolves with their offsets once all are durable. */
  sendAll(
    topicId: number,
    partition: number,
    records: readonly NewRecord[],
    batchClass: BatchClass,
  ): Promise<readonly number[]> {
    if (records.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      this.#deliver(topicId, partition, records, batchClass, undefined, ({ offsets, error }) => {
        if (error === undefined) resolve(offsets);
        else reject(error);
      });
    });
  }

  /** Batches of a partition that wait or are on their way; a partitioner prefers short queues. */
  queued(topicId: number, partition: number): number {
    return this.#lanes.get(placeOf(topicId, partition))?.lane.queued ?? 0;
  }

  /** True while the oldest record of that partition has had no answer for a second. */
  isSlow(topicId: number, partition: number): boolean {
    const oldestMs = this.#lanes.get(placeOf(topicId, partition))?.lane.oldestMs;
    return oldestMs !== undefined && oldestMs + slowMs <= this.#runtime.clock.monotonicMs();
  }

  /** Resolves when all that was given until now has its outcome, but after `withinMs` at the latest. */
  flush(withinMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = withinMs === undefined ? undefined : this.#runtime.clock.timer(withinMs, resolve);
      this.#room.whenOver(() => {
        timer?.cancel();
        resolve();
      });
    });
  }

  /** Resolves when the next call would not have to wait for room. */
  room(): Promise<void> {
    return new Promise((resolve) => this.#room.whenRoom(resolve));
  }

  /** Gives up what has no outcome yet; `flush` first to keep it. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#forgetTopics();
    this.#timers.close();
    const error = new TaskdError(ErrorCode.CANCELLED, 'the producer was closed before the records were stored');
    this.#room.close(error);
    for (const { lane } of this.#lanes.values()) fail(lane.abandon(error));
  }

  #deliver(
    topicId: number,
    partition: number,
    records: readonly NewRecord[],
    batchClass: BatchClass,
    sinceMs: number | undefined,
    done: (delivery: Delivery) => void,
  ): void {
    let bytes = 0;
    for (const record of records) {
      const problem = recordProblem(record);
      if (problem !== undefined) throw new TaskdError(ErrorCode.TOO_LARGE, problem);
      bytes += recordLength(record);
    }
    if (this.#isClosed) throw new TaskdError(ErrorCode.CANCELLED, 'the producer is closed');
    const call = { topicId, partition, records, batchClass, bytes };
    const nowMs = this.#runtime.clock.monotonicMs();
    this.#room.arrive(new Delivery(this.#host, { ...call, sinceMs: sinceMs ?? nowMs }, done));
  }

  #enter(delivery: Delivery): void {
    const { topicId, partition, records, batchClass, sinceMs } = delivery;
    const state = this.#laneOf(topicId, partition);
    const wallMs = this.#runtime.clock.wallMs();
    for (let i = 0; i < records.length; i++) state.lane.add(records[i]!, batchClass, delivery, sinceMs, wallMs, i);
    delivery.records = nothing;
    this.#touch(state);
  }

  #laneOf(topicId: number, partition: number): LaneState {
    const key = placeOf(topicId, partition);
    let state = this.#lanes.get(key);
    if (state === undefined) {
      // Brokers read the records of internal topics.
      const codec = this.#topics.known(topicId)?.internal ? Codec.NONE : this.#settings.codec;
      const lane = new Lane<Delivery>(this.#runtime.random, { ...this.#settings, codec }, this.#memory);
      state = { topicId, partition, lane, usedId: 0, wakeMs: Number.POSITIVE_INFINITY, isDirty: false };
      this.#lanes.set(key, state);
    }
    return state;
  }

  /** Looks after the lane at the end of this turn. */
  #touch(state: LaneState): void {
    if (state.isDirty || this.#isClosed) return;
    state.isDirty = true;
    this.#dirty.push(state);
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    this.#runtime.clock.defer(() => {
      const dirty = this.#dirty;
      this.#dirty = [];
      this.#isFlushing = false;
      for (const each of dirty) {
        each.isDirty = false;
        this.#pump(each);
      }
    });
  }

  #touchAll(): void {
    for (const state of this.#lanes.values()) if (!state.lane.isEmpty) this.#touch(state);
  }

  #pump(state: LaneState): void {
    if (this.#isClosed) return;
    const { lane, topicId, partition } = state;
    const nowMs = this.#runtime.clock.monotonicMs();
    fail(lane.expire(nowMs, this.#idProblem));
    this.#room.expire(nowMs - this.#settings.deliveryTimeoutMs, () => noRoom(this.#settings.deliveryTimeoutMs));
    if (lane.isEmpty) return;
    // Nothing can be sent before an id and a leader are learnt, which wakes the lane: until then it can only expire.
    let dueMs = lane.expiryMs();
    if (lane.isIdentified || this.#identify(state)) {
      const leader = this.#topics.locate(topicId, partition);
      if (leader instanceof TaskdError) {
        fail(lane.giveUp(leader, nowMs));
        // A topic's id is never used again.
        if (lane.isEmpty && this.#topics.known(topicId) === undefined) this.#lanes.delete(placeOf(topicId, partition));
      } else if (leader !== undefined) {
        const caller = this.#callers.to(leader);
        for (let batch = lane.next(nowMs); batch !== undefined; batch = lane.next(nowMs)) {
          this.#dispatch(state, caller, batch);
        }
        if (!lane.isIdentified) this.#touch(state);
        dueMs = lane.dueMs();
      }
    }
    this.#arm(state, nowMs, dueMs);
  }

  #dispatch(state: LaneState, caller: Caller, batch: LaneBatch<Delivery>): void {
    const { topicId, partition, lane } = state;
    const request = { topicId, partition, batchClass: batch.batchClass };
    caller.call(produce, request, { payload: [batch.bytes], deadlineMs: attemptMs }).then(
      ({ message }) => {
        const nowMs = this.#runtime.clock.monotonicMs();
        if (!lane.acknowledged(batch, nowMs)) return;
        store(batch, message);
        this.#touch(state);
      },
      (error) => {
        const problem = isTaskdError(error) ? error : unexpected(error);
        if (problem.code === ErrorCode.NOT_FOUND) this.#topics.forget(topicId);
        else if (leaderMayBeElsewhere(problem)) this.#topics.stale(topicId);
        fail(lane.refused(batch, problem, this.#runtime.clock.monotonicMs()));
        this.#touch(state);
      },
    );
  }

  /** Gives the lane a producer id that it did not have before; false while that must be asked for. */
  #identify(state: LaneState): boolean {
    if (this.#producerId === 0 || this.#producerId === state.usedId) {
      void this.#askId();
      return false;
    }
    state.usedId = this.#producerId;
    state.lane.identify(this.#producerId, 0);
    return true;
  }

  async #askId(): Promise<void> {
    if (this.#isAskingId) return;
    this.#isAskingId = true;
    try {
      const { producerId } = await this.#topics.ask(initProducer, {});
      this.#producerId = producerId;
      this.#idProblem = undefined;
      this.#isAskingId = false;
      this.#touchAll();
    } catch (error) {
      this.#idProblem = isTaskdError(error) ? error : unexpected(error);
      this.#runtime.logger.warn({ error }, 'no broker gave a producer id; asking again');
      this.#timers.after(idRetryMs, () => {
        this.#isAskingId = false;
        this.#touchAll();
      });
    }
  }

  /** A timer that is early does no harm, so one is set anew only when it would be late. */
  #arm(state: LaneState, nowMs: number, dueMs: number | undefined): void {
    if (dueMs === undefined || dueMs >= state.wakeMs) return;
    state.wakeMs = dueMs;
    this.#timers.after(dueMs - nowMs, () => {
      if (state.wakeMs === dueMs) state.wakeMs = Number.POSITIVE_INFINITY;
      this.#touch(state);
    });
  }
}

function store(batch: LaneBatch<Delivery>, answer: taskd.ProduceResponse): void {
  const { baseOffset, appendTimestampMs } = answer;
  if (!Object.hasOwn(answer, 'baseOffset')) {
    fail([{ batch, error: placeForgotten() }]);
    return;
  }
  let offset = baseOffset ?? 0;
  for (const { owner, from, count } of batch.parts) {
    owner.stored(from, count, offset, appendTimestampMs);
    offset += count;
  }
}

function fail(failures: readonly Failure<Delivery>[]): void {
  for (const { batch, error } of failures) {
    for (const { owner, count } of batch.parts) owner.failed(count, error);
  }
}

function leaderMayBeElsewhere(error: TaskdError): boolean {
  return (
    error.retry === Retry.OTHER ||
    isTaskdError(error, ErrorCode.NOT_LEADER, ErrorCode.NOT_SENT, ErrorCode.CONNECTION_LOST, ErrorCode.WRONG_NODE)
  );
}

function unexpected(cause: unknown): TaskdError {
  return new TaskdError(ErrorCode.INTERNAL, 'the request could not be made', { retry: Retry.SAME, cause });
}

function placeForgotten(): TaskdError {
  const message = 'the records are stored, by an earlier attempt so long ago that the broker no longer knows where';
  return new TaskdError(ErrorCode.OUTCOME_UNKNOWN, message);
}

function noRoom(timeoutMs: number): TaskdError {
  const message = `the records waited ${timeoutMs} ms for room in the producer and were not sent`;
  return new TaskdError(ErrorCode.DEADLINE, message, { retry: Retry.SAME });
}
