import type { taskd } from '../wire/generated/messages.js';
import { createTopic, describeTopics } from '../wire/methods.js';
import type { TopicSource } from './client-network.js';
import { checkName } from './job-definition.js';

export interface TopicInfo {
  readonly topicId: number;
  readonly name: string;
  readonly partitions: number;
  readonly replicas: number;
  readonly internal: boolean;
}

export class Topics {
  readonly #source: TopicSource;

  constructor(source: TopicSource) {
    this.#source = source;
  }

  async list(): Promise<readonly TopicInfo[]> {
    const { topics } = await this.#source.ask(describeTopics, { names: [] });
    return (topics as taskd.Topic[]).map(topicOf);
  }

  /** Rejects with ALREADY_EXISTS, unless `ifAbsent` is set and the topic has as many partitions. */
  async create(
    name: string,
    options: { readonly partitions: number; readonly ifAbsent?: boolean },
  ): Promise<TopicInfo> {
    checkName(name, 'the topic');
    const request = { name, partitions: options.partitions, replicas: 1, ifAbsent: options.ifAbsent ?? false };
    const { topic } = await this.#source.ask(createTopic, request);
    return topicOf(topic as taskd.Topic);
  }
}

function topicOf(topic: taskd.Topic): TopicInfo {
  const { topicId, name, partitions, replicas, internal } = topic;
  return { topicId, name, partitions, replicas, internal };
}
