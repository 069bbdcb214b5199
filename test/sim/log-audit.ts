import { Producer } from '../../src/client/producer.js';
import { TopicDirectory } from '../../src/client/topic-directory.js';
import type { CommittedBatch, TaskLog } from '../../src/coordinator/task-log.js';
import { brokerService } from '../../src/discovery/instance.js';
import { Registry } from '../../src/discovery/registry.js';
import { Connections } from '../../src/rpc/connections.js';
import type { Address } from '../../src/runtime/net.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { RemoteLogs } from '../../src/scheduler/remote-logs.js';
import { jobsTopicName } from '../../src/scheduler/scheduler.js';

/** What someone who reads all shards' logs is told. */
export interface AuditReader {
  batch(shard: number, batch: CommittedBatch): void;
  /** Everything committed when the look began was told. */
  caughtUp(shard: number, end: number): void;
  lost(shard: number, logStart: number): void;
}

/** Reads every shard's log over the wire from its beginning, and goes on reading. */
export async function auditLogs(runtime: Runtime, server: Address, shards: number, reader: AuditReader): Promise<void> {
  const self = { clientId: 'audit', kind: 'audit' };
  const callers = new Connections(runtime, self);
  const registry = new Registry(runtime, callers, [server], self);
  const brokers = async (): Promise<readonly Address[]> =>
    (await registry.list(brokerService)).flatMap((instance) => instance.addresses.slice(0, 1));
  const topics = new TopicDirectory(runtime, callers, { brokers });
  const logs = new RemoteLogs(runtime, { callers, topics, producer: new Producer(runtime, callers, topics) });
  const { topicId } = await logs.ensureTopic(jobsTopicName, shards);
  for (let shard = 0; shard < shards; shard++) {
    const log: TaskLog = logs.taskLog(topicId, shard);
    log.read(0, {
      batch: (batch) => reader.batch(shard, batch),
      caughtUp: (nextOffset) => reader.caughtUp(shard, nextOffset),
      lost: (logStart) => reader.lost(shard, logStart),
    });
  }
}
