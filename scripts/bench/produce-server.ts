/** The broker's process of the produce bench: a fresh folder, removed at the end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/logger.js';
import { Broker } from '../../src/broker/broker.js';
import { RpcServer } from '../../src/rpc/server.js';
import type { Address } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';

const folder = mkdtempSync(join(tmpdir(), 'taskd-bench-produce-'));
const runtime = nodeRuntime(silentLogger);
const identity = { nodeId: 'bench', incarnation: 1, roles: ['broker'], clusterId: '' };
const server = new RpcServer(runtime, identity);
let address: Address = { host: '127.0.0.1', port: 0 };
await Broker.start(runtime, server, identity, () => address, { dataFolder: folder, autoCreateTopics: false });
address = await server.listen(address);
process.send!({ port: address.port, pid: process.pid });

function end(): void {
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
}
process.on('SIGTERM', end);
process.on('disconnect', end);
