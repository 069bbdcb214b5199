/** The client's process of the rpc bench: PORT INFLIGHT SECONDS. Keeps so many calls in flight on one connection. */
import { silentLogger } from '../../src/base/logger.js';
import { dial } from '../../src/rpc/connection.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { resolveApp } from '../../src/wire/methods.js';
import { closedLoop } from './closed-loop.js';

const [port, inFlight, seconds] = process.argv.slice(2).map(Number) as [number, number, number];
const address = { host: '127.0.0.1', port };
const connection = await dial(nodeRuntime(silentLogger), address, { clientId: 'bench', kind: 'client' });
const result = await closedLoop(inFlight, seconds, () => connection.call(resolveApp, { app: 'mail', create: false }));
process.send!(result, () => process.exit(0));
