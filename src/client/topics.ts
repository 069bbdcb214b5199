import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import type { Caller } from '../rpc/caller.js';
import type { Address } from '../runtime/net.js';
import type { taskd } from '../wire/generated/messages.js';
import { createTopic, describeTopics, type Method } from '../wire/methods.js';
import { checkName } from './job-definition.js';

export interface TopicInfo {
  readonly topicId: number;
  readonly name: string;
  readonly partitions: number;
  readonly replicas: number;
  readonly internal: boolean;
}

/** How to reach the brokers. */
export interface BrokerNetwork {
  brokers(): Promise<readonly Address[]>;
  callerTo(address: Address): Caller;
}

export class Topics {
  readonly #network: BrokerNetwork;

  constructor(network: BrokerNetwork) {
    this.#network = network;
  }

  async list(): Promise<readonly TopicInfo[]> {
    const { topics } = await this.#ask(describeTopics, { names: [] });
    return (topics as taskd.Topic[]).map(topicOf);
  }

  /** Rejects with ALREADY_EXISTS, unless `ifAbsent` is set and the topic has as many partitions. */
  async create(
    name: string,
    options: { readonly partitions: number; readonly ifAbsent?: boolean },
  ): Promise<TopicInfo> {
    checkName(name, 'the topic');
    const request = { name, partitions: options.partitions, replicas: 1, ifAbsent: options.ifAbsent ?? false };
    const { topic } = await this.#ask(createTopic, request);
    return topicOf(topic as taskd.Topic);
  }

  async #ask<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, request: QIn): Promise<A> {
    let problem: unknown;
    for (const address of await this.#network.brokers()) {
      try {
        const { message } = await this.#network.callerTo(address).call(method, request);
        return message;
      } catch (error) {
        problem = error;
        const mayAskAnother = isTaskdError(error) && error.retry !== Retry.NEVER;
        if (!mayAskAnother && !isTaskdError(error, ErrorCode.NOT_SENT)) throw error;
      }
    }
    throw problem ?? new TaskdError(ErrorCode.NOT_READY, 'no broker is registered with these servers: start one');
  }
}

function topicOf(topic: taskd.Topic): TopicInfo {
  const { topicId, name, partitions, replicas, internal } = topic;
  return { topicId, name, partitions, replicas, internal };
}
