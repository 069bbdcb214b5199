import { cpSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { BatchClass, headerBytes } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import { Fetcher } from '../../src/client/fetcher.js';
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

  const logger = new MemoryLogger();
  node = await BrokerNode.start({ ...runtime, logger }, folder);
  const errors = logger.lines.filter(({ level }) => level === 'error');
  t.match(errors, [{ fields: { topicId, partition: 0, problem: /move it away/ } }]);
  t.equal(errors.length, 1, 'said once');
  const trouble = await new Promise((resolve) => {
    const unexpected = (): void => void t.fail('there is nothing to read');
    const reader = { batch: unexpected, caughtUp: unexpected, lost: unexpected, trouble: resolve };
    const subscription = node.broker.taskLog(topicId, 0).read(0, reader);
    t.teardown(() => subscription.close());
  });
  t.match(trouble, { code: ErrorCode.STORAGE_FAILED, message: /restore the data folder/ }, 'and to readers in process');
  client = new ClientKit(runtime, node.address);
  const sent = client.producer().send(topicId, 0, record, BatchClass.CLIENT);
  await t.rejects(sent, { code: ErrorCode.STORAGE_FAILED, message: /restore the data folder/ });
  await client.close();
  await node.stop();
});

t.test('a damaged partition is read around what is gone, and takes nothing', async (t) => {
  const live = temporaryFolder(t);
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  let node = await BrokerNode.start(runtime, live);
  let client = new ClientKit(runtime, node.address);
  const { topicId } = await client.topics.create('words', 1, false);
  const producer = client.producer();
  for (const value of ['one', 'two', 'three']) {
    await producer.send(topicId, 0, { value: Buffer.from(value) }, BatchClass.CLIENT);
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
  const read = (offset: number): Promise<(string | undefined)[]> =>
    new Promise((resolve) => {
      const found: (string | undefined)[] = [];
      const events = {
        batch: (header: { baseOffset: number; recordCount: number }, batch: Uint8Array) =>
          void readRecords(batch.subarray(headerBytes), header.baseOffset, header.recordCount, ({ value }) => {
            found.push(Buffer.from(value!).toString());
          }),
        caughtUp: () => {
          fetcher.close();
          resolve(found);
        },
        lost: (_start: number, error: Error & { hint?: string }) => resolve([...found, error.hint]),
      };
      const place = { topicId, partition: 0, offset };
      const fetcher = new Fetcher(runtime, client.connections, client.topics, place, events);
    });
  const [first, gap] = await read(0);
  t.equal(first, 'one');
  t.match(gap, /^2-3$/);
  t.same(await read(Number(gap!.split('-')[1])), ['three']);
  const sent = client.producer().send(topicId, 0, { value: Buffer.from('four') }, BatchClass.CLIENT);
  await t.rejects(sent, { code: ErrorCode.STORAGE_FAILED, message: /a later write group .* proves that it had been/ });
  await client.close();
  await node.stop();
});
