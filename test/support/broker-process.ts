/** A broker as a process of its own, to be killed: prints its port, lives until then. */
import { silentLogger } from '../../src/base/logger.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { BrokerNode } from './broker-node.js';

const [folder, port] = process.argv.slice(2);
const node = await BrokerNode.start(nodeRuntime(silentLogger), folder!, { port: Number(port) });
process.stdout.write(`${node.address.port}\n`);
process.on('disconnect', () => process.exit(0));
