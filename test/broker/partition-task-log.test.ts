import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { BatchClass } from '../../src/batch/header.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { taskLogConformance } from '../conformance/task-log.js';
import { BrokerNode, temporaryFolder } from '../support/broker-node.js';
import { GatedFiles } from '../support/gated-files.js';
import { MemoryLogger } from '../support/rpc-pair.js';

taskLogConformance(t, 'a partition of this process', async () => {
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  const node = await BrokerNode.start(runtime, folder);
  const topicId = await node.broker.ensureTopic('taskd.test', 1);
  const log = node.broker.taskLog(topicId, 0);
  return { log, monotonicMs: () => runtime.clock.monotonicMs(), close: () => node.stop() };
});

t.test('a reader from the start of a long log is told all of it, from the file and from memory', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  let node = await BrokerNode.start(runtime, folder);
  const topicId = await node.broker.ensureTopic('taskd.test', 1);
  let log = node.broker.taskLog(topicId, 0);
  const value = new Uint8Array(50_000);
  for (let i = 0; i < 100; i++) await log.append([{ type: 1 + i, value }], BatchClass.OWNER);
  await node.stop();
  node = await BrokerNode.start(runtime, folder);
  t.teardown(() => node.stop());
  log = node.broker.taskLog(topicId, 0);
  const types: number[] = [];
  await log.append([{ type: 101 }], BatchClass.OWNER);
  await new Promise<void>((resolve) => {
    const subscription = log.read(0, {
      batch: ({ records }) => {
        for (const { type } of records) types.push(type);
      },
      caughtUp: () => {
        subscription.close();
        resolve();
      },
      lost: () => t.fail('lost'),
    });
  });
  t.same(
    types,
    Array.from({ length: 101 }, (_, i) => 1 + i),
  );
});

t.test('a read that fails in passing is tried again, and loses nobody', async (t) => {
  const folder = temporaryFolder(t);
  const real = nodeRuntime(new MemoryLogger());
  const files = new GatedFiles(real.files);
  const runtime = { ...real, files: files.proxy };
  let node = await BrokerNode.start(runtime, folder);
  const topicId = await node.broker.ensureTopic('taskd.test', 1);
  await node.broker.taskLog(topicId, 0).append([{ type: 7 }], BatchClass.OWNER);
  await node.stop();
  node = await BrokerNode.start(runtime, folder);
  t.teardown(() => node.stop());
  files.failures = 2;
  const types: number[] = [];
  await new Promise<void>((resolve, reject) => {
    const subscription = node.broker.taskLog(topicId, 0).read(0, {
      batch: ({ records }) => {
        for (const { type } of records) types.push(type);
      },
      caughtUp: () => {
        subscription.close();
        resolve();
      },
      lost: () => reject(new Error('lost')),
    });
  });
  t.same(types, [7]);
  t.equal(files.failures, 0);
});

t.test('a record that is too large is refused, and nothing is appended', async (t) => {
  const runtime = nodeRuntime(new MemoryLogger());
  const node = await BrokerNode.start(runtime, temporaryFolder(t));
  t.teardown(() => node.stop());
  const log = node.broker.taskLog(await node.broker.ensureTopic('taskd.test', 1), 0);
  await t.rejects(log.append([{ type: 1 }, { value: new Uint8Array(5_000_000) }], BatchClass.OWNER), {
    code: ErrorCode.TOO_LARGE,
  });
  t.same(await log.append([{ type: 2 }], BatchClass.OWNER), [1], 'after the no-op');
});
