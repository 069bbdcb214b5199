import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BatchClass } from '../../src/batch/header.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { BrokerNode, ClientKit, temporaryFolder } from './broker-node.js';
import { copyFolder } from './copy-folder.js';
import { MemoryLogger } from './rpc-pair.js';

export interface DamagedBroker {
  readonly node: BrokerNode;
  readonly client: ClientKit;
  readonly runtime: Runtime;
  /** Of the broker, from its second start on. */
  readonly log: MemoryLogger;
  readonly topicId: number;
  /** Where the values were stored. */
  readonly offsets: readonly number[];
}

/**
 * A broker that was started again after `damage` was done to the log of partition 0 of the topic `words`, in which
 * `values` lie, one a batch. It had no time to end cleanly, unless `isCleanEnd`. What `damage` returns is waited for.
 */
export async function damagedBroker(
  t: { teardown(callback: () => unknown): void },
  values: readonly string[],
  damage: (path: string) => unknown,
  isCleanEnd = false,
): Promise<DamagedBroker> {
  const live = temporaryFolder(t);
  const copy = temporaryFolder(t);
  const runtime = nodeRuntime(new MemoryLogger());
  let node = await BrokerNode.start(runtime, live);
  let client = new ClientKit(runtime, node.address);
  const { topicId } = await client.topics.create('words', 1, false);
  const producer = client.producer();
  const offsets: number[] = [];
  for (const value of values) {
    offsets.push((await producer.send(topicId, 0, { value: Buffer.from(value) }, BatchClass.CLIENT)).offset);
  }
  if (!isCleanEnd) copyFolder(live, copy);
  await client.close();
  await node.stop();
  const folder = isCleanEnd ? live : copy;
  const topicFolder = join(folder, 'data', `${topicId}`);
  const logFolder = join(topicFolder, readdirSync(topicFolder)[0]!);
  await damage(join(logFolder, readdirSync(logFolder).find((name) => name.endsWith('.log'))!));

  const log = new MemoryLogger();
  node = await BrokerNode.start({ ...runtime, logger: log }, folder);
  client = new ClientKit(runtime, node.address);
  t.teardown(async () => {
    await client.close();
    await node.stop();
  });
  return { node, client, runtime, log, topicId, offsets };
}

/** Damage to the first place where a text lies. */
export function spoil(text: string): (path: string) => void {
  return (path) => {
    const bytes = readFileSync(path);
    bytes[bytes.indexOf(text)]! ^= 1;
    writeFileSync(path, bytes);
  };
}
