import type { Broker } from '../broker/broker.js';
import type { Registry } from '../discovery/registry.js';
import type { Connections } from '../rpc/connections.js';
import type { Runtime } from '../runtime/runtime.js';
import type { SchedulerDeps } from '../scheduler/scheduler.js';

/** How the scheduler of this process reaches its log. */
export interface SchedulerLogs extends SchedulerDeps {
  close(): Promise<void>;
}

/** The log of the broker in the same process. */
export function localLogs(broker: Broker): SchedulerLogs {
  return {
    async ensureTopic(name, partitions) {
      const topic = broker.topics.find((known) => known.name === name);
      if (topic !== undefined) return { topicId: topic.topicId, partitions: topic.partitions };
      return { topicId: await broker.ensureTopic(name, partitions), partitions };
    },
    taskLog: (topicId, partition) => broker.taskLog(topicId, partition),
    close: async () => {},
  };
}

/** The log of a broker elsewhere, over the wire. */
export function remoteLogs(_runtime: Runtime, _connections: Connections, _discovery: Promise<Registry>): SchedulerLogs {
  throw new Error('not built yet');
}
