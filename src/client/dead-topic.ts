import { ErrorCode, TaskdError } from '../base/errors.js';
import type { ConsumerRecord } from './consumer/consumer-record.js';
import { readTopic } from './consumer/read-topic.js';
import { type Mark, Marks, markHeader, markOffsetsMax, writeMark } from './dead-mark.js';
import { type DeadRecord, deadRecordOf } from './dead-record.js';
import type { QueueNetwork, TopicProducer } from './topic-producer.js';

/** Which dead letters of a group are meant; all conditions hold together. */
export interface DeadFilter {
  /** Where they were first stored. */
  readonly topic?: string;
  /** These ones. */
  readonly ids?: readonly string[];
  /** A part of the last error's text. */
  readonly error?: string;
  /** The last try failed at or after, and before, these instants. */
  readonly sinceMs?: number;
  readonly beforeMs?: number;
}

/** One dead-letter topic as it is now: first its marks are read, then its letters. */
export class DeadTopic {
  readonly name: string;
  readonly #network: QueueNetwork;
  readonly #group: string;
  readonly #marks = new Map<number, Marks>();

  constructor(network: QueueNetwork, group: string, name: string) {
    this.#network = network;
    this.#group = group;
    this.name = name;
  }

  marks(partition: number): Marks {
    let marks = this.#marks.get(partition);
    if (marks === undefined) this.#marks.set(partition, (marks = new Marks()));
    return marks;
  }

  /** Calls `visit`, and waits for it, with each letter that waits, in the order of its partition. */
  async waiting(filter: DeadFilter, visit: (dead: DeadRecord, place: ConsumerRecord) => unknown): Promise<void> {
    await readTopic(this.#network, this.name, {}, (record) => this.marks(record.partition).apply(record));
    const ids = filter.ids === undefined ? undefined : new Set(filter.ids);
    await readTopic(this.#network, this.name, {}, (record) => {
      if (this.marks(record.partition).gone.has(record.offset)) return undefined;
      const dead = deadRecordOf(record);
      if (dead === undefined || dead.group !== this.#group || !isMeant(dead, filter, ids)) return undefined;
      return visit(dead, record);
    });
  }

  /** Takes in the marks that came to a partition since, up to and with `offset`. */
  async refresh(partition: number, offset: number): Promise<Marks> {
    const marks = this.marks(partition);
    const range = { from: { offset: marks.readTo }, partitions: [partition] };
    await readTopic(this.#network, this.name, range, (record) => {
      if (record.offset > offset) return false;
      marks.apply(record);
      return undefined;
    });
    return marks;
  }

  /** Durable when it resolves, with its place and time. */
  async mark(
    producer: TopicProducer,
    partition: number,
    mark: Mark,
  ): Promise<{ readonly offset: number; readonly appendTimestampMs: number }> {
    if (mark.offsets.length > markOffsetsMax) throw new TaskdError(ErrorCode.INTERNAL, 'too many offsets in a mark');
    return producer.send(this.name, { partition, headers: { [markHeader]: writeMark(mark) } });
  }
}

function isMeant(dead: DeadRecord, filter: DeadFilter, ids: ReadonlySet<string> | undefined): boolean {
  const { topic, error, sinceMs = 0, beforeMs = Number.POSITIVE_INFINITY } = filter;
  if (ids !== undefined && !ids.has(dead.id)) return false;
  if (topic !== undefined && dead.topic !== topic) return false;
  if (error !== undefined && !dead.lastError.includes(error)) return false;
  return dead.lastFailedAtMs >= sinceMs && dead.lastFailedAtMs < beforeMs;
}
