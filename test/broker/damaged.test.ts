import { readdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { BatchClass } from '../../src/batch/header.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { BrokerNode, ClientKit, temporaryFolder } from '../support/broker-node.js';
import { MemoryLogger } from '../support/rpc-pair.js';

t.test('a producer is told at once what is wrong with a damaged partition', async (t) => {
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  const record = { value: Buffer.from('kept') };
  let node = await BrokerNode.start(runtime, folder);
  let client = new ClientKit(runtime, node.address);
  const { topicId } = await client.topics.create('words', 1, false);
  await client.producer().send(topicId, 0, record, BatchClass.CLIENT);
  await client.close();
  await node.stop();
  const topicFolder = join(folder, 'data', `${topicId}`);
  const logFolder = join(topicFolder, readdirSync(topicFolder)[0]!);
  truncateSync(join(logFolder, readdirSync(logFolder)[0]!), 100);

  node = await BrokerNode.start(runtime, folder);
  client = new ClientKit(runtime, node.address);
  const sent = client.producer().send(topicId, 0, record, BatchClass.CLIENT);
  await t.rejects(sent, { code: ErrorCode.STORAGE_FAILED, message: /restore the folder/ });
  await client.close();
  await node.stop();
});
