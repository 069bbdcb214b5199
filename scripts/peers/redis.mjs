/**
 * Redis Streams for `npm run bench -- produce --peer redis`: Debian's redis-server, its append-only file synced before
 * each answer, and a client that pipelines XADDs. A call is one write of BATCH commands, made once beforehand, so that
 * the client costs next to nothing.
 */
import { produceLoad } from '../../build/scripts/bench/produce-load.js';
import { batch, dial, freePort, inFlight, output, peer, seconds, size, start } from './peer.mjs';

const lineFeed = 10;
const remedy = 'apt-get install redis-server';

function commands() {
  const add = `*5\r\n$4\r\nXADD\r\n$5\r\nbench\r\n$1\r\n*\r\n$1\r\nv\r\n$${size}\r\n${'x'.repeat(size)}\r\n`;
  return Buffer.concat(new Array(batch).fill(Buffer.from(add)));
}

await peer(async (folder, keep) => {
  const version = (await output('redis-server', ['--version'], remedy)).match(/v=(\S+)/)?.[1];
  const port = await freePort();
  const settings = { appendonly: 'yes', appendfsync: 'always', save: '', bind: '127.0.0.1', port, dir: folder };
  const argv = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const redis = keep(await start('redis-server', argv, remedy));
  const socket = await dial(port, redis);
  const request = commands();
  /** Calls in the order of their writes; an answer has two lines for each XADD. */
  const waiting = [];
  socket.on('data', (chunk) => {
    if (chunk.includes('-ERR')) throw new Error(chunk.toString('latin1', 0, 200));
    for (let at = chunk.indexOf(lineFeed); at >= 0; at = chunk.indexOf(lineFeed, at + 1)) {
      if (--waiting[0].lines === 0) waiting.shift().done();
    }
  });
  const figures = await produceLoad(inFlight, seconds, redis.pid, () => {
    return new Promise((done) => {
      waiting.push({ lines: 2 * batch, done });
      socket.write(request);
    });
  });
  socket.destroy();
  return {
    server: `Redis ${version}`,
    durability: 'appendonly yes, appendfsync always: fsync before each answer',
    ...figures,
  };
});
