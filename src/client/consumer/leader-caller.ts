import { ErrorCode, isTaskdError, Retry, TaskdError } from '../../base/errors.js';
import { groupPartition, groupsTopic } from '../../base/group-partition.js';
import { Backoff } from '../../rpc/backoff.js';
import type { Caller } from '../../rpc/caller.js';
import type { Clock } from '../../runtime/clock.js';
import type { Method } from '../../wire/methods.js';
import type { TopicPlace } from '../topic-directory.js';
import type { QueueNetwork } from '../topic-producer.js';

const lookMs = 1_000;
const looksMax = 10;
const retryFirstMs = 20;
const retryMaxMs = 1_000;

/** Finds leaders of partitions, and asks them until one answers. */
export class LeaderCaller {
  readonly #network: QueueNetwork;
  #isClosed = false;

  constructor(network: QueueNetwork) {
    this.#network = network;
  }

  /** Ends all waiting: what is asked rejects with CANCELLED. */
  close(): void {
    this.#isClosed = true;
  }

  /** The topic with that id, if brokers can tell of it now; asks them once, for up to a second. */
  async look(topicId: number): Promise<TopicPlace | undefined> {
    const { topics, runtime } = this.#network;
    const known = topics.known(topicId);
    if (known !== undefined || this.#isClosed) return known;
    topics.stale(topicId);
    await change(topics, runtime.clock);
    return topics.known(topicId);
  }

  /** The topic with that id, once it is known; rejects with NOT_FOUND when brokers don't know it within a while. */
  async topic(topicId: number): Promise<TopicPlace> {
    for (let looks = 0; looks < looksMax; looks++) {
      const known = await this.look(topicId);
      if (known !== undefined) return known;
      this.#throwIfClosed();
    }
    throw new TaskdError(ErrorCode.NOT_FOUND, `there is no topic with the id ${topicId}: was it removed?`);
  }

  /** The leader of a partition; waits until there is one, or rejects with NOT_READY at `untilMs`. */
  async leader(topicId: number, partition: number, untilMs: number): Promise<Caller> {
    const { topics, runtime, callers } = this.#network;
    for (;;) {
      const address = topics.leader(topicId, partition);
      if (address !== undefined) return callers.to(address);
      this.#throwIfClosed();
      if (runtime.clock.monotonicMs() >= untilMs) {
        const message = `partition ${partition} of topic ${topics.known(topicId)?.name ?? topicId} has no leader now`;
        throw new TaskdError(ErrorCode.NOT_READY, message, { retry: Retry.AFTER, retryAfterMs: retryMaxMs });
      }
      await change(topics, runtime.clock);
    }
  }

  /** The broker that coordinates a group. */
  async coordinator(group: string, untilMs: number): Promise<Caller> {
    const place = await this.groups();
    return this.leader(place.topicId, groupPartition(group, place.partitions), untilMs);
  }

  /** The coordinator that was found is none, or doesn't answer. */
  coordinatorIsStale(): void {
    void this.groups().then(
      ({ topicId }) => this.#network.topics.stale(topicId),
      () => {},
    );
  }

  /** Asks the group's coordinator, and again while that may help. Only for methods that may be repeated. */
  askCoordinator<Q, A, QIn, AIn>(
    group: string,
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
    deadlineMs: number,
  ): Promise<A> {
    const find = (untilMs: number): Promise<Caller> => this.coordinator(group, untilMs);
    return this.#ask(find, () => this.coordinatorIsStale(), method, request, deadlineMs);
  }

  /** As `askCoordinator`, for a partition's leader. */
  askLeader<Q, A, QIn, AIn>(
    place: { readonly topicId: number; readonly partition: number },
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
    deadlineMs: number,
  ): Promise<A> {
    const find = (untilMs: number): Promise<Caller> => this.leader(place.topicId, place.partition, untilMs);
    return this.#ask(find, () => this.#network.topics.stale(place.topicId), method, request, deadlineMs);
  }

  /** The topic that holds the groups, to ask each of its leaders. */
  groups(): Promise<TopicPlace> {
    return this.#network.topics.named(groupsTopic);
  }

  async #ask<Q, A, QIn, AIn>(
    find: (untilMs: number) => Promise<Caller>,
    stale: () => void,
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
    deadlineMs: number,
  ): Promise<A> {
    const { clock, random } = this.#network.runtime;
    const untilMs = clock.monotonicMs() + deadlineMs;
    const backoff = new Backoff(random, retryFirstMs, retryMaxMs);
    for (;;) {
      this.#throwIfClosed();
      try {
        const caller = await find(untilMs);
        const leftMs = Math.max(1, untilMs - clock.monotonicMs());
        return (await caller.call(method, request, { deadlineMs: Math.min(leftMs, method.deadlineMs) })).message;
      } catch (error) {
        if (!isTaskdError(error) || !mayRepeat(error)) throw error;
        stale();
        const waitMs = Math.max(error.retryAfterMs, backoff.failed());
        if (clock.monotonicMs() + waitMs >= untilMs) throw error;
        await elapse(clock, waitMs);
      }
    }
  }

  #throwIfClosed(): void {
    if (this.#isClosed) throw new TaskdError(ErrorCode.CANCELLED, 'the consumer was closed');
  }
}

export function elapse(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.timer(ms, resolve);
  });
}

/** True when the same call may go well later, or elsewhere. */
export function mayRepeat(error: TaskdError): boolean {
  if (error.retry !== Retry.NEVER) return true;
  return isTaskdError(error, ErrorCode.NOT_SENT, ErrorCode.CONNECTION_LOST, ErrorCode.DEADLINE);
}

/** Until something was learnt of topics, or a second is over. */
function change(topics: QueueNetwork['topics'], clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const stop = topics.onChange(done);
    const timer = clock.timer(lookMs, done);
    function done(): void {
      stop();
      timer.cancel();
      resolve();
    }
  });
}
