import { ErrorCode, TaskdError } from '../base/errors.js';
import {
  type FullTopicConfig,
  fullTopicConfig,
  type TopicConfig,
  type TopicSetting,
  topicConfigProblem,
} from '../base/topic-config.js';
import { formatAddress } from '../runtime/net.js';
import type { taskd } from '../wire/generated/messages.js';
import { alterTopic, createTopic, deleteTopic, describeTopics } from '../wire/methods.js';
import { readTopicConfig, wireSettings, writeTopicConfig } from '../wire/topic-config.js';
import type { TopicSource } from './client-network.js';
import { checkName } from './job-definition.js';

export interface TopicInfo {
  readonly topicId: number;
  readonly name: string;
  readonly partitions: number;
  readonly replicas: number;
  /** It belongs to taskd itself: clients can't change or delete it. */
  readonly internal: boolean;
  /** What holds, defaults included. */
  readonly config: FullTopicConfig;
  /** What was set for this topic; the rest are defaults. */
  readonly configured: TopicConfig;
}

export interface PartitionInfo {
  readonly partition: number;
  /** `host:port`; undefined when nobody leads it now. */
  readonly leader: string | undefined;
  readonly term: number;
  /** Offset of the first record that can be read. */
  readonly logStart: number;
  /** Offset that the next record gets. */
  readonly logEnd: number;
  /** Readers get what lies below. */
  readonly highWatermark: number;
  readonly bytes: number;
  /** Why it does not serve, or takes no records; undefined when all is well. */
  readonly problem: string | undefined;
}

export interface TopicDescription extends TopicInfo {
  readonly states: readonly PartitionInfo[];
}

export interface TopicOptions extends TopicConfig {
  readonly partitions: number;
  /** A topic of that name with as many partitions is fine. */
  readonly ifAbsent?: boolean;
}

/** Settings that are given are set; `null` gives a setting its default again. */
export type TopicChange = { readonly [S in TopicSetting]?: TopicConfig[S] | null } & {
  /** More than before; records stay where they are, so the same key may find another partition. */
  readonly partitions?: number;
};

/** The topics of the cluster. */
export class Topics {
  readonly #source: TopicSource;

  constructor(source: TopicSource) {
    this.#source = source;
  }

  async list(): Promise<readonly TopicInfo[]> {
    const { topics } = await this.#source.ask(describeTopics, { names: [] });
    return (topics as taskd.Topic[]).map(topicOf);
  }

  /** One topic with the state of its partitions. NOT_FOUND. */
  async describe(name: string): Promise<TopicDescription> {
    checkName(name, 'the topic');
    const { topics, partitions } = await this.#source.ask(describeTopics, { names: [name] });
    const [topic] = topics as taskd.Topic[];
    if (topic === undefined) throw new TaskdError(ErrorCode.NOT_FOUND, `there is no topic "${name}"`);
    return { ...topicOf(topic), states: (partitions as taskd.PartitionState[]).map((state) => stateOf(state, topic)) };
  }

  /** It serves when this resolves. Rejects with ALREADY_EXISTS, unless `ifAbsent` is set and it has as many partitions. */
  async create(name: string, options: TopicOptions): Promise<TopicInfo> {
    checkName(name, 'the topic');
    const { partitions, ifAbsent, ...config } = options;
    check(config, partitions);
    const request = { name, partitions, replicas: 1, ifAbsent: ifAbsent ?? false, config: writeTopicConfig(config) };
    const { topic } = await this.#source.ask(createTopic, request);
    return topicOf(topic as taskd.Topic);
  }

  /** Takes effect at once, also for the records that are there. NOT_FOUND, INVALID, FORBIDDEN for taskd's own topics. */
  async alter(name: string, change: TopicChange): Promise<TopicInfo> {
    checkName(name, 'the topic');
    const { partitions, ...settings } = change;
    const entries = Object.entries(settings) as [TopicSetting, TopicConfig[TopicSetting] | null][];
    const unset = entries.filter(([, value]) => value === null).map(([setting]) => wireSettings[setting]);
    const config = Object.fromEntries(entries.filter(([, value]) => value != null)) as TopicConfig;
    check(config, partitions);
    const request = { name, unset, partitions: partitions ?? 0, config: writeTopicConfig(config) };
    const { topic } = await this.#source.ask(alterTopic, request);
    this.#source.forgetNamed(name);
    return topicOf(topic as taskd.Topic);
  }

  /**
   * Deletes a topic with all its records. The name is free at once, and a topic made anew under it is another one. The
   * files leave the disk after a day, or sooner when it is short of space.
   */
  async remove(name: string): Promise<void> {
    checkName(name, 'the topic');
    await this.#source.ask(deleteTopic, { name });
    this.#source.forgetNamed(name);
  }
}

/** A number that messages can't carry would be rounded or cut before the broker could refuse it. */
function check(config: TopicConfig, partitions: number | undefined): void {
  if (partitions !== undefined && !(Number.isSafeInteger(partitions) && partitions >= 1 && partitions < 2 ** 32)) {
    throw new TaskdError(ErrorCode.INVALID, `a topic has at least 1 partition, not ${partitions}`);
  }
  const problem = topicConfigProblem(config, 1);
  if (problem !== undefined) throw new TaskdError(ErrorCode.INVALID, problem);
}

function topicOf({ topicId, name, partitions, replicas, internal, config }: taskd.Topic): TopicInfo {
  const configured = readTopicConfig(config);
  return { topicId, name, partitions, replicas, internal, config: fullTopicConfig(configured, internal), configured };
}

function stateOf(state: taskd.PartitionState, topic: taskd.Topic): PartitionInfo {
  const { partition, term, logStart, logEnd, highWatermark, bytes, problem } = state;
  const leader = topic.leaders?.[partition];
  return {
    partition,
    leader: leader?.host ? formatAddress({ host: leader.host, port: leader.port ?? 0 }) : undefined,
    term,
    logStart,
    logEnd,
    highWatermark,
    bytes,
    problem: problem || undefined,
  };
}
