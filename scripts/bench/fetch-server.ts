/**
 * The broker's process of the fetch bench: FOLDER GIGABYTES RECORDBYTES. It fills one partition, then listens on two
 * ports: on one, files leave by the kernel, on the other they are read and written. Told which of them consumers shall
 * be sent to, it says how much processor time it has used, and how late its loop was.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { silentLogger } from '../../src/base/logger.js';
import { BatchClass } from '../../src/batch/header.js';
import { Broker } from '../../src/broker/broker.js';
import { RpcServer } from '../../src/rpc/server.js';
import type { ServiceRegistry } from '../../src/rpc/service.js';
import type { Address } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { tryZeroCopy } from '../../src/runtime/node/zero-copy.js';

const [folder, gigabytes, recordBytes] = process.argv.slice(2) as [string, string, string];
const copying = nodeRuntime(silentLogger);
const identity = { nodeId: 'bench', incarnation: 1, roles: ['broker'], clusterId: '' };
const servers = [new RpcServer(copying, identity)];
let zeroCopy = '';
const sending = nodeRuntime(silentLogger);
await tryZeroCopy(silentLogger).then(
  (kernel) => {
    sending.net.useKernel(kernel);
    copying.files.useKernel(kernel);
  },
  (error: Error) => {
    zeroCopy = error.message;
  },
);
servers.push(new RpcServer(sending, identity));

/** The same handlers on both servers. */
const services: ServiceRegistry = {
  onCall: (method, handler) => {
    for (const server of servers) server.onCall(method, handler);
  },
  onStream: (method, handler) => {
    for (const server of servers) server.onStream(method, handler);
  },
  onSend: (method, handler) => {
    for (const server of servers) server.onSend(method, handler);
  },
};
const addresses: Address[] = [];
let named = 0;
const broker = await Broker.start(copying, services, identity, () => addresses[named]!, {
  dataFolder: folder,
  autoCreateTopics: false,
});
const topicId = await broker.ensureTopic('bench', 1);
const log = broker.taskLog(topicId, 0);
const size = Number(recordBytes);
const records = Array.from({ length: Math.ceil((64 * 1024) / size) }, (_, i) => ({ value: Buffer.alloc(size, i) }));
const callsAtOnce = 16;
for (let bytes = 0; bytes < Number(gigabytes) * 1e9; bytes += callsAtOnce * records.length * size) {
  await Promise.all(Array.from({ length: callsAtOnce }, () => log.append(records, BatchClass.CLIENT)));
}
for (const server of servers) addresses.push(await server.listen({ host: '127.0.0.1', port: 0 }));
const liveTopicId = await broker.ensureTopic('live', 1);
process.send!({ topicId, liveTopicId, copyingPort: addresses[0]!.port, sendingPort: addresses[1]!.port, zeroCopy });

const loop = monitorEventLoopDelay({ resolution: 1 });
loop.enable();
process.on('message', (way) => {
  named = way === 'copying' ? 0 : 1;
  const { user, system } = process.cpuUsage();
  const { zeroCopyBytes, copiedBytes, coldReads } = sending.net.regions;
  const loopP99ms = loop.percentile(99) / 1e6;
  loop.reset();
  process.send!({ cpuSec: (user + system) / 1e6, zeroCopyBytes, copiedBytes, coldReads, loopP99ms });
});
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
