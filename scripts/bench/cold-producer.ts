/**
 * The producer's process of the cold fetch bench: PORT TOPICID RECORDSPERSEC. Sends records of 100 bytes at an even rate,
 * 50 a batch, each batch durable before it is answered. Told what is the case from now on, `alone`, `beside` or `neither`,
 * it says how long batches took up to now that were sent in each.
 */
import { silentLogger } from '../../src/base/logger.js';
import { BatchClass } from '../../src/batch/header.js';
import { Producer } from '../../src/client/producer.js';
import { fixedBrokers, TopicDirectory } from '../../src/client/topic-directory.js';
import { Connections } from '../../src/rpc/connections.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { Histogram } from './histogram.js';

const [port, topicId, recordsPerSec] = process.argv.slice(2).map(Number) as [number, number, number];
const batchRecords = 50;
const runtime = nodeRuntime(silentLogger);
const connections = new Connections(runtime, { clientId: 'bench', kind: 'client' });
const topics = new TopicDirectory(runtime, connections, fixedBrokers({ host: '127.0.0.1', port }));
await topics.named('live');
const producer = new Producer(runtime, connections, topics);
const records = Array.from({ length: batchRecords }, (_, i) => ({ value: Buffer.alloc(100, i) }));
const latencies = { alone: new Histogram(), beside: new Histogram(), neither: new Histogram() };
let now: keyof typeof latencies = 'neither';
let sent = 0;
const beganMs = performance.now();

/** Sends what is due by now; what is late is measured from when it was due. */
function sendDue(): void {
  const nowMs = performance.now();
  while (beganMs + (sent * batchRecords * 1_000) / recordsPerSec <= nowMs) {
    const dueMs = beganMs + (sent++ * batchRecords * 1_000) / recordsPerSec;
    const histogram = latencies[now];
    void producer.sendAll(topicId, 0, records, BatchClass.CLIENT).then(() => {
      histogram.record((performance.now() - dueMs) * 1_000);
    });
  }
}
setInterval(sendDue, 1);
const summary = (histogram: Histogram) => ({
  batches: histogram.total,
  p50us: histogram.percentile(50),
  p99us: histogram.percentile(99),
  p999us: histogram.percentile(99.9),
});
process.on('message', (next: keyof typeof latencies) => {
  now = next;
  process.send!({ alone: summary(latencies.alone), beside: summary(latencies.beside) });
});
process.on('disconnect', () => process.exit(0));
process.send!({ began: true });
