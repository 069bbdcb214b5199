/**
 * A consumer's process of the cold fetch bench: PORT TOPICID BYTESMAX. Says when it is ready, and told anything, reads the partition once, from its start to its
 * end, every CRC checked, and says how much that was and how long it took.
 */
import { silentLogger } from '../../src/base/logger.js';
import { Fetcher } from '../../src/client/fetcher.js';
import { fixedBrokers, TopicDirectory } from '../../src/client/topic-directory.js';
import { Connections } from '../../src/rpc/connections.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';

const [port, topicId, bytesMax] = process.argv.slice(2).map(Number) as [number, number, number];
const runtime = nodeRuntime(silentLogger);
const connections = new Connections(runtime, { clientId: 'bench', kind: 'client' });
const topics = new TopicDirectory(runtime, connections, fixedBrokers({ host: '127.0.0.1', port }));
await topics.named('bench');
let bytes = 0;
let beganMs = 0;
const events = {
  batch: (_header: unknown, batch: Uint8Array) => {
    bytes += batch.length;
  },
  caughtUp: () => {
    fetcher.close();
    process.send!({ bytes, seconds: (performance.now() - beganMs) / 1e3 }, () => process.exit(0));
  },
};
const place = { topicId, partition: 0, offset: 0 };
let fetcher: Fetcher;
process.once('message', () => {
  beganMs = performance.now();
  fetcher = new Fetcher(runtime, connections, topics, place, events, { bytesMax });
});
process.send!({ ready: true });
