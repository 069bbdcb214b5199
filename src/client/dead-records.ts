import { ErrorCode, TaskdError } from '../base/errors.js';
import { describeTopics } from '../wire/methods.js';
import { readTopic } from './consumer/read-topic.js';
import { deadTopicNames } from './consumer/retry-ladder.js';
import { markOffsetsMax } from './dead-mark.js';
import { type DeadRecord, deadRecordOf, parseDeadId } from './dead-record.js';
import { DeadReplay } from './dead-replay.js';
import { type DeadFilter, DeadTopic } from './dead-topic.js';
import { checkName } from './job-definition.js';
import { type QueueNetwork, TopicProducer } from './topic-producer.js';

export interface ReplayOptions {
  /** Copies a second at most. Default 100. */
  readonly perSecond?: number;
  /** Only says what would be done. */
  readonly dryRun?: boolean;
}

export interface Replayed {
  /** Ids of the dead letters that went back to the group. */
  readonly replayed: readonly string[];
  /** Those that did not, and why. */
  readonly skipped: readonly { readonly id: string; readonly why: string }[];
}

const listedMax = 10_000;
const perSecondMax = 100_000;

/**
 * Records that the consumers of a group could not process, however often they tried. They lie in topics of the group's
 * own, `dlq.GROUP.TOPIC`, for 30 days.
 */
export class DeadRecords {
  readonly #network: QueueNetwork;

  constructor(network: QueueNetwork) {
    this.#network = network;
  }

  /** In the order in which they came; the newest `limit` of those that wait, by default 1,000 and at most 10,000. */
  async list(group: string, filter: DeadFilter = {}, limit = 1_000): Promise<readonly DeadRecord[]> {
    const most = Math.min(limit, listedMax);
    let found: DeadRecord[] = [];
    for (const topic of await this.#topics(group, filter)) {
      await topic.waiting(filter, (dead) => {
        found.push(dead);
        if (found.length >= most * 2) found = newest(found, most);
      });
    }
    return newest(found, most);
  }

  /** Also one that was replayed or purged, as long as it is there. NOT_FOUND, INVALID for a text that is no id. */
  async get(id: string): Promise<DeadRecord> {
    const { topic, partition, offset } = parseDeadId(id);
    let found: DeadRecord | undefined;
    const [existing] = await this.#existing([topic]);
    if (existing !== undefined && partition < existing.partitions) {
      await readTopic(this.#network, topic, { from: { offset }, partitions: [partition] }, (record) => {
        if (record.offset === offset) found = deadRecordOf(record);
        return false;
      });
    }
    if (found !== undefined) return found;
    throw new TaskdError(ErrorCode.NOT_FOUND, `there is no dead letter ${id}: see "taskctl dlq ls --group"`);
  }

  /**
   * Gives dead letters back to their group, whose consumers begin with them anew. Each one goes once, also when this is
   * called again, or was cut short: what was replayed is marked so, and no longer listed.
   */
  async replay(group: string, filter: DeadFilter = {}, options: ReplayOptions = {}): Promise<Replayed> {
    const { perSecond = 100, dryRun = false } = options;
    if (!(perSecond >= 1 && perSecond <= perSecondMax)) {
      const message = `perSecond is ${perSecond}: give 1 to ${perSecondMax}`;
      throw new TaskdError(ErrorCode.INVALID, message);
    }
    const replayed: string[] = [];
    const skipped: { readonly id: string; readonly why: string }[] = [];
    for (const topic of await this.#topics(group, filter)) {
      if (dryRun) {
        await topic.waiting(filter, ({ id }) => void replayed.push(id));
        continue;
      }
      const replay = new DeadReplay(this.#network, group, topic, perSecond);
      try {
        await topic.waiting(filter, (dead, { partition, offset }) => replay.add({ dead, partition, offset }));
        await replay.flush();
      } finally {
        await replay.close();
      }
      replayed.push(...replay.replayed);
      skipped.push(...replay.skipped);
    }
    return { replayed, skipped };
  }

  /**
   * Gives dead letters up: they are no longer listed or replayed. Their bytes leave the disk by the retention of their
   * topic. Returns their ids.
   */
  async purge(
    group: string,
    filter: DeadFilter = {},
    { dryRun = false }: { readonly dryRun?: boolean } = {},
  ): Promise<readonly string[]> {
    const purged: string[] = [];
    const producer = new TopicProducer(this.#network);
    try {
      for (const topic of await this.#topics(group, filter)) {
        const offsets = new Map<number, number[]>();
        await topic.waiting(filter, async ({ id }, { partition, offset }) => {
          purged.push(id);
          if (dryRun) return;
          const some = offsets.get(partition) ?? [];
          offsets.set(partition, some);
          some.push(offset);
          if (some.length < markOffsetsMax) return;
          offsets.delete(partition);
          await topic.mark(producer, partition, { kind: 'purged', offsets: some });
        });
        for (const [partition, some] of offsets) {
          await topic.mark(producer, partition, { kind: 'purged', offsets: some });
        }
      }
    } finally {
      await producer.close();
    }
    return purged;
  }

  /** The dead-letter topics of a group that the filter leaves. */
  async #topics(group: string, { topic, ids }: DeadFilter): Promise<DeadTopic[]> {
    checkName(group, 'the group');
    const prefixes = deadTopicNames(group, '');
    const isOurs = (name: string): boolean => prefixes.some((prefix) => name.startsWith(prefix));
    let names: string[];
    if (ids !== undefined) {
      names = [...new Set(ids.map((id) => parseDeadId(id).topic))];
      const other = names.find((name) => !isOurs(name));
      if (other !== undefined) {
        throw new TaskdError(ErrorCode.INVALID, `${other} holds no dead letters of group "${group}"`);
      }
    } else if (topic !== undefined) names = [...deadTopicNames(group, topic)];
    else {
      const { topics } = await this.#network.topics.ask(describeTopics, { names: [] });
      names = topics.map(({ name }) => name ?? '').filter(isOurs);
    }
    const existing = await this.#existing(names);
    return existing.map(({ name }) => new DeadTopic(this.#network, group, name));
  }

  /** Asking for a name must not make a topic. */
  async #existing(names: readonly string[]): Promise<{ readonly name: string; readonly partitions: number }[]> {
    if (names.length === 0) return [];
    const { topics } = await this.#network.topics.ask(describeTopics, { names: [...names] });
    return topics.map(({ name, partitions }) => ({ name: name ?? '', partitions: partitions ?? 0 }));
  }
}

function newest(found: readonly DeadRecord[], most: number): DeadRecord[] {
  return [...found].sort((a, b) => a.deadAtMs - b.deadAtMs).slice(-most);
}
