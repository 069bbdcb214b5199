import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import { BatchClass } from '../../../src/batch/header.js';
import { Consumer } from '../../../src/client/consumer/consumer.js';
import type { ConsumerOptions, LostData } from '../../../src/client/consumer/consumer-options.js';
import { nodeRuntime } from '../../../src/runtime/node/node-runtime.js';
import { BrokerNode, ClientKit, temporaryFolder } from '../../support/broker-node.js';
import { MemoryLogger } from '../../support/rpc-pair.js';

t.test('lost data stops the partition and says what to do, or is skipped as told', async (t) => {
  const live = temporaryFolder(t);
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  let node = await BrokerNode.start(runtime, live);
  let client = new ClientKit(runtime, node.address);
  const { topicId } = await client.topics.create('words', 1, false);
  const producer = client.producer();
  let lostOffset = 0;
  for (const value of ['one', 'two', 'three']) {
    const { offset } = await producer.send(topicId, 0, { value: Buffer.from(value) }, BatchClass.CLIENT);
    if (value === 'two') lostOffset = offset;
  }
  cpSync(live, folder, { recursive: true });
  await client.close();
  await node.stop();
  const topicFolder = join(folder, 'data', `${topicId}`);
  const logFolder = join(topicFolder, readdirSync(topicFolder)[0]!);
  const path = join(logFolder, readdirSync(logFolder).find((name) => name.endsWith('.log'))!);
  const bytes = readFileSync(path);
  bytes[bytes.indexOf('two')]! ^= 1;
  writeFileSync(path, bytes);

  node = await BrokerNode.start(runtime, folder);
  client = new ClientKit(runtime, node.address);
  t.teardown(async () => {
    await client.close();
    await node.stop();
  });
  const network = { runtime, callers: client.connections, topics: client.topics };
  const consume = async (options: Partial<ConsumerOptions>): Promise<string[]> => {
    const seen: string[] = [];
    const consumer = new Consumer(network, { topics: ['words'], stopAtEnd: true, ...options });
    await consumer.run((record) => void seen.push(record.text()));
    return seen;
  };
  await t.rejects(consume({}), { code: ErrorCode.DATA_LOSS, message: /words\/0 is not consumed.*taskctl log inspect/ });
  const told: LostData[] = [];
  const skip = (lost: LostData) => {
    told.push(lost);
    return 'skip' as const;
  };
  t.same(await consume({ onDataLoss: skip }), ['one', 'three']);
  t.match(told, [{ topic: 'words', partition: 0, from: lostOffset, to: lostOffset + 1 }]);
});
