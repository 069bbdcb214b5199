/**
 * Where topics are: name → id, partitions, leaders. Kept for what was asked for once, asked anew when someone found a
 * leader gone, never by the clock. Questions are gathered: one request at a time, for all that is missing.
 */
import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import type { Caller } from '../rpc/caller.js';
import type { Lane } from '../rpc/connections.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import type { taskd } from '../wire/generated/messages.js';
import { createTopic, describeTopics, type Method } from '../wire/methods.js';

/** Makes callers for addresses; `Connections` does. */
export interface CallerSource {
  to(address: Address, lane?: Lane): Caller;
}

/** Who knows where the brokers are: discovery, or a fixed list. */
export interface BrokerSource {
  /** Those that are worth asking, the best first; empty when none is known now. */
  brokers(): Promise<readonly Address[]>;
  /** One of them has answered, or what became of the question. */
  told?(broker: Address, error?: unknown): void;
}

export interface TopicPlace {
  readonly topicId: number;
  readonly name: string;
  readonly partitions: number;
  readonly replicas: number;
  readonly internal: boolean;
  /** By partition; undefined where there is none now. */
  readonly leaders: readonly (Address | undefined)[];
}

const pauseFirstMs = 20;
const pauseMaxMs = 1_000;
const lookupDeadlineMs = 15_000;
/** Topics in one question; a broker takes as many. */
const topicsMax = 1_000;
/** What brokers said of a topic so long ago or less is the answer to whether a partition exists. */
const freshMs = 1_000;

export class TopicDirectory {
  readonly #runtime: Runtime;
  readonly #callers: CallerSource;
  readonly #source: BrokerSource;
  readonly #byId = new Map<number, TopicPlace>();
  readonly #byName = new Map<string, TopicPlace>();
  /** Topics whose leaders must be asked for. */
  readonly #missing = new Set<number>();
  /** When brokers last told of a topic that somebody wanted, by its id; whether it exists or not. */
  readonly #toldMs = new Map<number, number>();
  readonly #listeners = new Set<() => void>();
  #isAsking = false;
  #pauseMs = pauseFirstMs;
  #isClosed = false;

  constructor(runtime: Runtime, callers: CallerSource, source: BrokerSource) {
    this.#runtime = runtime;
    this.#callers = callers;
    this.#source = source;
  }

  /** The topic of that name. Rejects with NOT_FOUND when brokers say that there is none. */
  async named(name: string, deadlineMs: number = lookupDeadlineMs): Promise<TopicPlace> {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const { topics } = await this.ask(describeTopics, { names: [name], mayCreate: true }, deadlineMs);
    const [place] = this.#learn(topics);
    if (place === undefined) throw notFound(name);
    return place;
  }

  /** The topic of that name, if brokers have one now; unlike `named`, this makes none. */
  async find(name: string): Promise<TopicPlace | undefined> {
    const { topics } = await this.ask(describeTopics, { names: [name] });
    return this.#learn(topics)[0];
  }

  /** Creates a topic; with `ifAbsent` one with as many partitions is fine. */
  async create(name: string, partitions: number, ifAbsent: boolean): Promise<TopicPlace> {
    const { topic } = await this.ask(createTopic, { name, partitions, replicas: 1, ifAbsent });
    return this.#learn([topic ?? {}])[0]!;
  }

  known(topicId: number): TopicPlace | undefined {
    return this.#byId.get(topicId);
  }

  /** The leader of a partition, if it is known now; if not, it is being asked for, and `onChange` tells the outcome. */
  leader(topicId: number, partition: number): Address | undefined {
    const leader = this.#byId.get(topicId)?.leaders[partition];
    if (leader === undefined) this.#want(topicId);
    return leader;
  }

  /** As `leader`, but NOT_FOUND when brokers have just said that there is no such topic or partition. */
  locate(topicId: number, partition: number): Address | TaskdError | undefined {
    const place = this.#byId.get(topicId);
    if (place === undefined || partition >= place.partitions) {
      const toldMs = this.#toldMs.get(topicId);
      if (toldMs !== undefined && this.#runtime.clock.monotonicMs() - toldMs < freshMs) {
        return noSuch(topicId, partition, place);
      }
    }
    return this.leader(topicId, partition);
  }

  /** A broker does not know this topic: whoever wants its name looks it up again. */
  forget(topicId: number): void {
    const place = this.#byId.get(topicId);
    if (place === undefined) return;
    this.#byId.delete(topicId);
    if (this.#byName.get(place.name) === place) this.#byName.delete(place.name);
  }

  /** As `forget`, by name: for whoever has changed the topic. */
  forgetNamed(name: string): void {
    const place = this.#byName.get(name);
    if (place !== undefined) this.forget(place.topicId);
  }

  /** The leader that `leader` named does not lead, or is not there. */
  stale(topicId: number): void {
    this.#want(topicId);
  }

  /** Calls back whenever something new was learnt. Returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#isClosed = true;
    this.#listeners.clear();
    this.#toldMs.clear();
  }

  /**
   * Asks any broker, one after another, and again with a pause, until one answers or the deadline is over. Only for
   * methods that may be repeated. Rejects with an answer that another broker would give as well, else the last error.
   */
  async ask<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
    deadlineMs: number = lookupDeadlineMs,
  ): Promise<A> {
    const { clock } = this.#runtime;
    const endMs = clock.monotonicMs() + deadlineMs;
    let problem: TaskdError = noBroker();
    for (let pauseMs = pauseFirstMs; !this.#isClosed; pauseMs = Math.min(pauseMs * 2, pauseMaxMs)) {
      for (const address of await this.#source.brokers()) {
        const leftMs = endMs - clock.monotonicMs();
        if (leftMs <= 0) throw problem;
        try {
          const { message } = await this.#callers.to(address).call(method, request, { deadlineMs: leftMs });
          this.#source.told?.(address);
          return message;
        } catch (error) {
          this.#source.told?.(address, error);
          if (!isTaskdError(error) || !mayRepeat(error)) throw error;
          problem = error;
        }
      }
      if (clock.monotonicMs() + pauseMs > endMs) throw problem;
      await new Promise<void>((resolve) => clock.timer(pauseMs, resolve));
    }
    throw problem;
  }

  #want(topicId: number): void {
    this.#missing.add(topicId);
    if (this.#isAsking || this.#isClosed) return;
    this.#isAsking = true;
    void this.#refresh();
  }

  /**
   * Asks for what is missing, tells the listeners, and pauses when something was still without a leader: whoever still
   * needs it has asked again by then.
   */
  async #refresh(): Promise<void> {
    while (this.#missing.size > 0 && !this.#isClosed) {
      const topicIds = [...this.#missing].slice(0, topicsMax);
      let isComplete = false;
      try {
        const { topics } = await this.ask(describeTopics, { topicIds });
        const found = new Map(this.#learn(topics).map((place) => [place.topicId, place]));
        this.#told(topicIds);
        for (const id of topicIds) {
          this.#missing.delete(id);
          if (!found.has(id)) this.forget(id);
        }
        isComplete = topicIds.every((id) => found.get(id)?.leaders.includes(undefined) === false);
        for (const listener of [...this.#listeners]) listener();
      } catch (error) {
        // Those behind them come first the next time.
        for (const id of topicIds) if (this.#missing.delete(id)) this.#missing.add(id);
        this.#runtime.logger.debug({ error, topics: topicIds.length }, 'topics could not be asked for');
      }
      this.#pauseMs = isComplete ? pauseFirstMs : Math.min(this.#pauseMs * 2, pauseMaxMs);
      if (!isComplete) await new Promise<void>((resolve) => this.#runtime.clock.timer(this.#pauseMs, resolve));
    }
    this.#isAsking = false;
  }

  /** Remembers it as long as `locate` wants to know. */
  #told(topicIds: readonly number[]): void {
    const nowMs = this.#runtime.clock.monotonicMs();
    for (const [id, toldMs] of this.#toldMs) if (nowMs - toldMs >= freshMs) this.#toldMs.delete(id);
    for (const id of topicIds) this.#toldMs.set(id, nowMs);
  }

  #learn(topics: readonly taskd.ITopic[]): TopicPlace[] {
    return topics.map((topic) => {
      const partitions = topic.partitions ?? 0;
      const place: TopicPlace = {
        topicId: topic.topicId ?? 0,
        name: topic.name ?? '',
        partitions,
        replicas: topic.replicas ?? 1,
        internal: topic.internal ?? false,
        leaders: Array.from({ length: partitions }, (_, i) => {
          const leader = topic.leaders?.[i];
          return leader?.host ? { host: leader.host, port: leader.port ?? 0 } : undefined;
        }),
      };
      this.#byId.set(place.topicId, place);
      this.#byName.set(place.name, place);
      return place;
    });
  }
}

/** Always the same brokers; for tools, tests, and whoever knows them without discovery. */
export function fixedBrokers(...addresses: readonly Address[]): BrokerSource {
  return { brokers: () => Promise.resolve(addresses) };
}

function mayRepeat(error: TaskdError): boolean {
  if (error.retry !== Retry.NEVER) return true;
  return isTaskdError(error, ErrorCode.NOT_SENT, ErrorCode.CONNECTION_LOST, ErrorCode.DEADLINE);
}

function noBroker(): TaskdError {
  return new TaskdError(ErrorCode.NOT_READY, 'no broker is known: is one running, and registered?', {
    retry: Retry.AFTER,
    retryAfterMs: 500,
  });
}

function noSuch(topicId: number, partition: number, place: TopicPlace | undefined): TaskdError {
  const message =
    place === undefined
      ? `there is no topic with id ${topicId} any more; was it deleted?`
      : `topic "${place.name}" has ${place.partitions} partitions, and no partition ${partition}`;
  return new TaskdError(ErrorCode.NOT_FOUND, message);
}

function notFound(name: string): TaskdError {
  return new TaskdError(ErrorCode.NOT_FOUND, `there is no topic "${name}"; create it first`);
}
