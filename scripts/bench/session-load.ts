/**
 * Clients that hold a session each: `session-load.js SERVER COUNT PART`. Every one has a connection of its own, one
 * instance, and beats as clients do. Tells its parent { open } once all are there, and answers anything with { open }
 * again.
 */
import { silentLogger } from '../../src/base/logger.js';
import { Connections } from '../../src/rpc/connections.js';
import { parseAddress } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { beat, register } from '../../src/wire/methods.js';
import { metadataOf } from './registry-shape.js';

const beatMs = 3_000;
const lanes = 50;
const [server, countText, part] = process.argv.slice(2) as [string, string, string];
const count = Number(countText);
const connections = new Connections(nodeRuntime(silentLogger), { clientId: `sessions-${part}`, kind: 'client' });
let begun = 0;
let open = 0;

async function session(i: number): Promise<void> {
  const connection = await connections.dial(parseAddress(server)!, 30_000);
  connection.onClose(() => open--);
  const instance = {
    namespace: 'bench',
    service: `service-${i % 100}`,
    instanceId: `${part}-${i}`,
    addresses: [{ host: '10.0.0.1', port: 1 + i }],
    metadata: metadataOf(0),
    version: { incarnation: Date.now(), counter: 1 },
  };
  await connection.call(register, { instance }, { deadlineMs: 30_000 });
  open++;
  setTimeout(() => setInterval(() => void connection.call(beat, {}).catch(() => {}), beatMs), (i * beatMs) / count);
}

async function lane(): Promise<void> {
  while (begun < count) await session(begun++);
}

await Promise.all(Array.from({ length: lanes }, lane));
process.on('message', () => process.send!({ open }));
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
process.send!({ open });
