import { silentLogger } from '../../../src/base/logger.js';
import { nodeRuntime } from '../../../src/runtime/node/node-runtime.js';

/**
 * A process for tests to lose. `lock FOLDER` holds a folder; `echo` listens and sends back what it gets, prints its
 * port first; `stop` exits with 3 at a request to stop. Each prints a line when it is ready.
 */
const [what, argument] = process.argv.slice(2);
const runtime = nodeRuntime(silentLogger);

if (what === 'lock') {
  await runtime.files.lock(argument!);
  console.log('locked');
} else if (what === 'echo') {
  const listener = await runtime.net.listen({ host: '127.0.0.1', port: 0 }, (connection) =>
    connection.start({
      data: (chunk) => connection.write([chunk.slice()]),
      end: () => connection.end(),
      drained() {},
      closed() {},
    }),
  );
  console.log(listener.address.port);
} else if (what === 'stop') {
  runtime.process.onStop((signal) => {
    console.log(signal);
    runtime.process.exit(3);
  });
  console.log('ready');
}
// Lives until it is killed.
setInterval(() => {}, 1000);
