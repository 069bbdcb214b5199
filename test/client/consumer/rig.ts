import { Consumer } from '../../../src/client/consumer/consumer.js';
import type { ConsumerOptions } from '../../../src/client/consumer/consumer-options.js';
import { DeadRecords } from '../../../src/client/dead-records.js';
import { Groups } from '../../../src/client/groups.js';
import type { OutgoingRecord } from '../../../src/client/outgoing-record.js';
import { fixedBrokers, TopicDirectory } from '../../../src/client/topic-directory.js';
import { TopicProducer } from '../../../src/client/topic-producer.js';
import { Connections } from '../../../src/rpc/connections.js';
import { leaveGroup } from '../../../src/wire/methods.js';
import { type BrokerNode, brokerAndClient, type ClientKit } from '../../support/broker-node.js';
import type { MemoryLogger } from '../../support/rpc-pair.js';

interface Teardown {
  teardown(callback: () => unknown): void;
}

/** A broker, a topic, and consumers each with connections of their own. */
export class ConsumerRig {
  readonly node: BrokerNode;
  readonly client: ClientKit;
  readonly log: MemoryLogger;
  readonly folder: string;
  readonly producer: TopicProducer;
  readonly groups: Groups;
  readonly dead: DeadRecords;
  readonly topic: string;
  readonly #consumers: Consumer[] = [];
  readonly #ends: (() => Promise<void>)[] = [];
  #changed: (() => void)[] = [];

  private constructor(node: BrokerNode, client: ClientKit, log: MemoryLogger, folder: string, topic: string) {
    this.node = node;
    this.client = client;
    this.log = log;
    this.folder = folder;
    this.topic = topic;
    const network = { runtime: client.runtime, callers: client.connections, topics: client.topics };
    this.producer = new TopicProducer(network);
    this.groups = new Groups(network);
    this.dead = new DeadRecords(network);
  }

  static async start(t: Teardown, partitions = 1, topic = 'orders'): Promise<ConsumerRig> {
    const { node, client, log, folder } = await brokerAndClient(t);
    await client.topics.create(topic, partitions, false);
    const rig = new ConsumerRig(node, client, log, folder, topic);
    t.teardown(() => rig.close());
    return rig;
  }

  /** A consumer of the topic that shares no connection with others. */
  consumer(options: Partial<ConsumerOptions> = {}, Topics: typeof TopicDirectory = TopicDirectory): Consumer {
    const { runtime } = this.client;
    const connections = new Connections(runtime, { clientId: `consumer-${this.#consumers.length}`, kind: 'client' });
    const topics = new Topics(runtime, connections, fixedBrokers(this.node.address));
    const consumer = new Consumer({ runtime, callers: connections, topics }, { topics: [this.topic], ...options });
    this.#consumers.push(consumer);
    this.#ends.push(async () => {
      topics.close();
      await connections.close();
    });
    return consumer;
  }

  async send(...records: (OutgoingRecord | string)[]): Promise<void> {
    const outgoing = records.map((each) => (typeof each === 'string' ? { value: each, partition: 0 } : each));
    await this.producer.sendAll(this.topic, outgoing);
  }

  /** To be called by handlers and callbacks, so that `until` looks again. */
  changed(): void {
    for (const wake of this.#changed.splice(0)) wake();
  }

  /** Resolves once it is true; looks after each `changed`. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        this.#changed.push(resolve);
      });
    }
  }

  /** Says that a member leaves, in its name. */
  async leave(group: string, memberId: string): Promise<void> {
    await this.client.connections.to(this.node.address).call(leaveGroup, { group, memberId });
  }

  /** What the group has committed, by partition. */
  async committed(group: string): Promise<Record<string, number>> {
    const { partitions } = await this.groups.describe(group);
    const entries = partitions.filter(({ committed }) => committed !== undefined);
    return Object.fromEntries(entries.map(({ topic, partition, committed }) => [`${topic}/${partition}`, committed!]));
  }

  async close(): Promise<void> {
    await Promise.all(this.#consumers.map((each) => each.close()));
    await this.producer.close();
    this.groups.close();
    for (const end of this.#ends) await end();
  }
}
