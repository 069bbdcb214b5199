import type { Broker } from '../broker/broker.js';
import { Producer } from '../client/producer.js';
import { TopicDirectory } from '../client/topic-directory.js';
import { AskOrder } from '../discovery/ask-order.js';
import { brokerService } from '../discovery/instance.js';
import type { Registry } from '../discovery/registry.js';
import type { Connections } from '../rpc/connections.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { RemoteLogs } from '../scheduler/remote-logs.js';
import type { SchedulerDeps } from '../scheduler/scheduler.js';

/** How the scheduler of this process reaches its log. */
export interface SchedulerLogs extends SchedulerDeps {
  /** Sends what is queued, then stops. */
  close(): Promise<void>;
}

/** The log of the broker in the same process. */
export function localLogs(broker: Broker): SchedulerLogs {
  return {
    async ensureTopic(name, partitions) {
      const known = broker.topics.find((topic) => topic.name === name);
      const count = known?.partitions ?? partitions;
      // Also for a known one: a partition that could not be made before is made now, or says why not.
      return { topicId: await broker.ensureTopic(name, count), partitions: count };
    },
    taskLog: (topicId, partition) => broker.taskLog(topicId, partition),
    close: async () => {},
  };
}

/** The logs of brokers elsewhere, over the wire. `discovery` resolves once this process may look for them. */
export function remoteLogs(runtime: Runtime, connections: Connections, discovery: Promise<Registry>): SchedulerLogs {
  const order = new AskOrder(runtime.random, runtime.clock);
  const brokers = async (): Promise<readonly Address[]> => {
    const registry = await discovery;
    return order.of(await registry.known(brokerService));
  };
  const topics = new TopicDirectory(runtime, connections, {
    brokers,
    told: (broker, error) => order.told(broker, error),
  });
  const producer = new Producer(runtime, connections, topics);
  const logs = new RemoteLogs(runtime, { callers: connections, topics, producer });
  return {
    ensureTopic: (name, partitions) => logs.ensureTopic(name, partitions),
    taskLog: (topicId, partition) => logs.taskLog(topicId, partition),
    async close() {
      logs.close();
      await producer.flush();
      producer.close();
      topics.close();
    },
  };
}
