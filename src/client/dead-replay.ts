/**
 * Gives dead letters back to their group: copies in the group's retry topic, without a wait. Each goes once. For some
 * letters of one partition, in this order: the mark *replaying* is on disk; marks of others up to it are read, and
 * letters that another one is replaying are left to it; letters that an earlier replay was cut short over are looked
 * for in the retry topic; the rest is copied, durably; the mark *replayed* is on disk.
 */
import type { Clock } from '../runtime/clock.js';
import { type Failure, failureHeader, readFailure, writeFailure } from './consumer/failure.js';
import { elapse, LeaderCaller } from './consumer/leader-caller.js';
import { offsetOf } from './consumer/positions.js';
import { readTopic } from './consumer/read-topic.js';
import { retryTopicName } from './consumer/retry-ladder.js';
import { RetryTopics } from './consumer/retry-topics.js';
import { type Marks, replayMs } from './dead-mark.js';
import type { DeadRecord } from './dead-record.js';
import type { DeadTopic } from './dead-topic.js';
import { type QueueNetwork, TopicProducer } from './topic-producer.js';

/** A letter, and where it lies. */
export interface Letter {
  readonly dead: DeadRecord;
  readonly partition: number;
  readonly offset: number;
}

/** Letters that go together. */
const lettersMax = 100;
const askMs = 15_000;

export class DeadReplay {
  readonly replayed: string[] = [];
  readonly skipped: { readonly id: string; readonly why: string }[] = [];
  readonly #network: QueueNetwork;
  readonly #clock: Clock;
  readonly #topic: DeadTopic;
  readonly #perSecond: number;
  readonly #producer: TopicProducer;
  readonly #retries: RetryTopics;
  readonly #leaders: LeaderCaller;
  /** By partition. */
  readonly #waiting = new Map<number, Letter[]>();
  #freeMs = 0;

  constructor(network: QueueNetwork, group: string, topic: DeadTopic, perSecond: number) {
    this.#network = network;
    this.#clock = network.runtime.clock;
    this.#topic = topic;
    this.#perSecond = perSecond;
    // An attempt ends long before another replay may take its letters.
    this.#producer = new TopicProducer(network, { deliveryTimeoutMs: replayMs / 4 });
    this.#retries = new RetryTopics(network, this.#producer, group);
    this.#leaders = new LeaderCaller(network);
  }

  async add(letter: Letter): Promise<void> {
    if (letter.dead.isValueLeftOut) {
      const { topic, partition, offset } = letter.dead;
      const why = `it was too large to be stored again: its value is only in ${topic}/${partition} at ${offset}`;
      this.skipped.push({ id: letter.dead.id, why });
      return;
    }
    const waiting = this.#waiting.get(letter.partition);
    if (waiting === undefined) this.#waiting.set(letter.partition, [letter]);
    else waiting.push(letter);
    if ((waiting?.length ?? 1) >= Math.min(lettersMax, this.#perSecond)) await this.#replay(letter.partition);
  }

  /** Sends what still waits. */
  async flush(): Promise<void> {
    for (const partition of this.#waiting.keys()) await this.#replay(partition);
  }

  async close(): Promise<void> {
    this.#leaders.close();
    await this.#producer.close();
  }

  async #replay(partition: number): Promise<void> {
    const letters = this.#waiting.get(partition) ?? [];
    this.#waiting.delete(partition);
    if (letters.length === 0) return;
    await this.#pace(letters.length);
    const { group, topic: origin } = letters[0]!.dead;
    const retryTopic = retryTopicName(group, origin);
    const to = partition % (await this.#retries.partitionsOf(retryTopic, origin));
    const { topicId } = await this.#network.topics.named(retryTopic);
    const from = await offsetOf(this.#leaders, { topicId, partition: to }, 'latest', askMs);
    const offsets = letters.map(({ offset }) => offset);
    const own = await this.#topic.mark(this.#producer, partition, { kind: 'replaying', offsets, partition: to, from });
    const marks = await this.#topic.refresh(partition, own.offset);
    const mine: Letter[] = [];
    for (const letter of letters) {
      if (marks.gone.has(letter.offset)) this.skipped.push({ id: letter.dead.id, why: 'it was replayed meanwhile' });
      else if (marks.holder(letter.offset, own.appendTimestampMs) === own.offset) mine.push(letter);
      else
        this.skipped.push({ id: letter.dead.id, why: 'another replay is at it; if that was cut short, try in 2 min' });
    }
    const copied = await this.#copied(retryTopic, marks, mine, own.offset);
    await Promise.all(
      mine.filter(({ dead }) => !copied.has(dead.id)).map((letter) => this.#copy(retryTopic, to, letter.dead)),
    );
    if (mine.length > 0) {
      await this.#topic.mark(this.#producer, partition, { kind: 'replayed', offsets: mine.map((each) => each.offset) });
    }
    for (const { dead } of mine) this.replayed.push(dead.id);
  }

  #copy(retryTopic: string, partition: number, dead: DeadRecord): Promise<unknown> {
    const { group, topic, partition: from, offset, firstError, lastError, firstFailedAtMs, lastFailedAtMs } = dead;
    const errors = { firstError, lastError, firstFailedAtMs, lastFailedAtMs };
    const failure: Failure = { group, topic, partition: from, offset, attempts: 0, ...errors, replayOf: dead.id };
    return this.#producer.send(retryTopic, {
      ...(dead.key === undefined ? {} : { key: dead.key }),
      ...(dead.value === undefined ? {} : { value: dead.value }),
      headers: { ...dead.headers, [failureHeader]: writeFailure(failure) },
      partition,
    });
  }

  /** Ids of letters of which an earlier replay, which was cut short, has stored copies. */
  async #copied(retryTopic: string, marks: Marks, letters: readonly Letter[], own: number): Promise<Set<string>> {
    const copied = new Set<string>();
    const inDoubt = new Set<string>();
    const begins = new Map<number, number>();
    for (const { dead, offset } of letters) {
      const open = marks.open.get(offset);
      if (open === undefined || open.marks[0]!.offset === own) continue;
      inDoubt.add(dead.id);
      begins.set(open.partition, Math.min(open.from, begins.get(open.partition) ?? open.from));
    }
    for (const [partition, from] of begins) {
      await readTopic(this.#network, retryTopic, { from: { offset: from }, partitions: [partition] }, (record) => {
        const note = record.headers[failureHeader];
        const replayOf = note === undefined ? undefined : readFailure(note)?.replayOf;
        if (replayOf !== undefined && inDoubt.has(replayOf)) copied.add(replayOf);
      });
    }
    return copied;
  }

  /** Until `count` more may be sent. */
  async #pace(count: number): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const waitMs = this.#freeMs - nowMs;
    this.#freeMs = Math.max(nowMs, this.#freeMs) + (count * 1_000) / this.#perSecond;
    if (waitMs > 0) await elapse(this.#clock, waitMs);
  }
}
