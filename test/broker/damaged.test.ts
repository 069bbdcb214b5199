import { readdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { BatchClass, headerBytes } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import { Fetcher } from '../../src/client/fetcher.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { BrokerNode, temporaryFolder } from '../support/broker-node.js';
import { damagedBroker, spoil } from '../support/damaged-broker.js';
import { MemoryLogger } from '../support/rpc-pair.js';

t.test('a producer is told at once what is wrong with a damaged partition', async (t) => {
  const truncate = (path: string): void => truncateSync(path, 100);
  const { node, client, log, topicId } = await damagedBroker(t, ['kept'], truncate, true);
  const errors = log.lines.filter(({ level }) => level === 'error');
  t.match(errors, [{ fields: { topicId, partition: 0, problem: /move it away/ } }]);
  t.equal(errors.length, 1, 'said once');
  const trouble = await new Promise((resolve) => {
    const unexpected = (): void => void t.fail('there is nothing to read');
    const reader = { batch: unexpected, caughtUp: unexpected, lost: unexpected, trouble: resolve };
    const subscription = node.broker.taskLog(topicId, 0).read(0, reader);
    t.teardown(() => subscription.close());
  });
  t.match(trouble, { code: ErrorCode.STORAGE_FAILED, message: /restore the data folder/ }, 'and to readers in process');
  const sent = client.producer().send(topicId, 0, { value: Buffer.from('more') }, BatchClass.CLIENT);
  await t.rejects(sent, { code: ErrorCode.STORAGE_FAILED, message: /restore the data folder/ });
});

t.test("a damaged log of the cluster's own keeps the broker down, with what a person can do", async (t) => {
  const folder = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  const node = await BrokerNode.start(runtime, folder);
  for (const name of ['first', 'second']) await node.broker.ensureTopic(name, 1);
  await node.stop();
  const place = join(folder, 'data', '0', '0-1');
  spoil('first')(join(place, readdirSync(place).find((name) => name.endsWith('.log'))!));
  await t.rejects(BrokerNode.start(runtime, folder), {
    code: ErrorCode.DATA_LOSS,
    message: /__cluster, .* "taskctl log inspect" .* restore the whole folder .* start anew .*"taskctl log export"/,
  });
});

t.test('a damaged partition is read around what is gone, and takes nothing', async (t) => {
  const { client, runtime, topicId } = await damagedBroker(t, ['one', 'two', 'three'], spoil('two'));
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
});
