import t from 'tap';
import { silentLogger } from '../../src/base/logger.js';
import { BatchClass } from '../../src/batch/header.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { RemoteLogs } from '../../src/scheduler/remote-logs.js';
import { RemoteTaskLog } from '../../src/scheduler/remote-task-log.js';
import { taskLogConformance } from '../conformance/task-log.js';
import { BrokerNode, brokerAndClient, ClientKit, temporaryFolder } from '../support/broker-node.js';

taskLogConformance(t, 'over the wire', async () => {
  const cleanups: (() => unknown)[] = [];
  const folder = temporaryFolder({ teardown: (callback) => cleanups.push(callback) });
  const runtime = nodeRuntime(silentLogger);
  const node = await BrokerNode.start(runtime, folder);
  const client = new ClientKit(runtime, node.address);
  const topicId = await node.broker.ensureTopic('shard', 1);
  const clients = { callers: client.connections, topics: client.topics, producer: client.producer() };
  return {
    log: new RemoteTaskLog(runtime, clients, topicId, 0),
    monotonicMs: () => runtime.clock.monotonicMs(),
    close: async () => {
      await client.close();
      await node.stop();
      for (const cleanup of cleanups) await cleanup();
    },
  };
});

t.test('topics are made once, and keep the number of partitions that they have', async (t) => {
  const { client, runtime } = await brokerAndClient(t);
  const logs = new RemoteLogs(runtime, {
    callers: client.connections,
    topics: client.topics,
    producer: client.producer(),
  });
  const first = await logs.ensureTopic('taskd.jobs', 3);
  t.equal(first.partitions, 3);
  t.match(await logs.ensureTopic('taskd.jobs', 5), { topicId: first.topicId, partitions: 3 });
  const log = logs.taskLog(first.topicId, 2);
  const [offset] = await log.append([{ type: 20, value: Buffer.from('a') }], BatchClass.OWNER);
  t.equal(Buffer.from((await log.recordAt(offset!))!.value!).toString(), 'a');
  t.equal(await log.recordAt(offset! + 100), undefined);
  logs.close();
});
