/** The server's process of the rpc bench: answers one small method. */
import { silentLogger } from '../../src/base/logger.js';
import { RpcServer } from '../../src/rpc/server.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { resolveApp } from '../../src/wire/methods.js';

const server = new RpcServer(nodeRuntime(silentLogger), { nodeId: 'bench', incarnation: 1, roles: [], clusterId: '' });
server.onCall(resolveApp, (request, call) => call.reply({ appId: request.app.length, shard: 3 }));
const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
process.send!({ port });
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
