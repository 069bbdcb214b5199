/**
 * A consumer's process of the fetch bench: PORT TOPICID SECONDS BYTESMAX. Reads the partition from its start to its end, again
 * and again, with every CRC checked; records are not looked at. Says when the time begins and when it is over.
 */
import { silentLogger } from '../../src/base/logger.js';
import { Fetcher } from '../../src/client/fetcher.js';
import { fixedBrokers, TopicDirectory } from '../../src/client/topic-directory.js';
import { Connections } from '../../src/rpc/connections.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';

const [port, topicId, seconds, bytesMax] = process.argv.slice(2).map(Number) as [number, number, number, number];
const runtime = nodeRuntime(silentLogger);
const connections = new Connections(runtime, { clientId: 'bench', kind: 'client' });
const topics = new TopicDirectory(runtime, connections, fixedBrokers({ host: '127.0.0.1', port }));
await topics.named('bench');
let bytes = 0;

function readAll(): void {
  const events = {
    batch: (_header: unknown, batch: Uint8Array) => {
      bytes += batch.length;
    },
    caughtUp: () => {
      fetcher.close();
      readAll();
    },
  };
  const place = { topicId, partition: 0, offset: 0 };
  const fetcher = new Fetcher(runtime, connections, topics, place, events, { bytesMax });
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
readAll();
await sleep(1_000);
const before = bytes;
const cpu = process.cpuUsage();
const from = performance.now();
process.send!({ began: true });
await sleep(seconds * 1_000);
const { user, system } = process.cpuUsage(cpu);
const result = { bytes: bytes - before, seconds: (performance.now() - from) / 1e3, cpuSec: (user + system) / 1e6 };
process.send!(result, () => process.exit(0));
