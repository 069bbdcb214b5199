/** The producer's process of the produce bench: PORT SERVER_PID SIZE BATCH INFLIGHT PARTITIONS SECONDS. */
import { silentLogger } from '../../src/base/logger.js';
import { BatchClass } from '../../src/batch/header.js';
import { Producer } from '../../src/client/producer.js';
import { fixedBrokers, TopicDirectory } from '../../src/client/topic-directory.js';
import { Connections } from '../../src/rpc/connections.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { produceLoad } from './produce-load.js';

const numbers = process.argv.slice(2).map(Number) as [number, number, number, number, number, number, number];
const [port, serverPid, size, batch, inFlight, partitions, seconds] = numbers;
const runtime = nodeRuntime(silentLogger);
const connections = new Connections(runtime, { clientId: 'bench', kind: 'client' });
const topics = new TopicDirectory(runtime, connections, fixedBrokers({ host: '127.0.0.1', port }));
const producer = new Producer(runtime, connections, topics);
const { topicId } = await topics.create('bench', partitions, false);
const records = Array.from({ length: batch }, (_, i) => ({ value: Buffer.alloc(size, i) }));
let next = 0;
const figures = await produceLoad(inFlight, seconds, serverPid, () =>
  producer.sendAll(topicId, next++ % partitions, records, BatchClass.CLIENT),
);
process.send!(figures, () => process.exit(0));
