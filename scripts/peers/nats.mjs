/**
 * NATS JetStream for `npm run bench -- produce --peer nats`: Debian's nats-server with one stream in files, and a client
 * that speaks the protocol itself. A call is one write of BATCH publishes, made once beforehand; it is over when all of
 * them are acknowledged, which JetStream does in order.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { produceLoad } from '../../build/scripts/bench/produce-load.js';
import { batch, dial, freePort, inFlight, output, peer, seconds, size, start } from './peer.mjs';

const lineFeed = 10;
const remedy = 'apt-get install nats-server';

await peer(async (folder, keep) => {
  const [version, minor] = (await output('nats-server', ['--version'], remedy)).match(/\d+\.(\d+)\.\d+/);
  // The setting came with 2.10. Before, a stream's files are synced every two minutes, and acknowledged when written.
  const hasSync = Number(minor) >= 10;
  const port = await freePort();
  const config = join(folder, 'nats.conf');
  const jetStream = { store_dir: join(folder, 'store'), max_file_store: 64 * 2 ** 30 };
  if (hasSync) jetStream.sync_interval = 'always';
  writeFileSync(config, JSON.stringify({ host: '127.0.0.1', port, jetstream: jetStream }));
  const nats = keep(await start('nats-server', ['-c', config], remedy));
  const socket = await dial(port, nats);
  const stream = JSON.stringify({ name: 'bench', subjects: ['bench'], storage: 'file', num_replicas: 1 });
  socket.write('CONNECT {"verbose":false,"pedantic":false,"headers":false}\r\nSUB made 1\r\nSUB ack 2\r\n');
  socket.write(`PUB $JS.API.STREAM.CREATE.bench made ${stream.length}\r\n${stream}\r\n`);
  await isMade(socket);
  const publish = Buffer.from(`PUB bench ack ${size}\r\n${'x'.repeat(size)}\r\n`);
  const request = Buffer.concat(new Array(batch).fill(publish));
  /** Calls in the order of their writes; each acknowledgement has two lines. */
  const waiting = [];
  socket.on('data', (chunk) => {
    // {"error": …} in an acknowledgement, -ERR otherwise.
    if (chunk.includes('err')) throw new Error(chunk.toString('latin1', 0, 300));
    if (chunk.includes('PING\r\n')) {
      // Between two messages: its line is none of an acknowledgement's.
      socket.write('PONG\r\n');
      waiting[0].lines++;
    }
    for (let at = chunk.indexOf(lineFeed); at >= 0; at = chunk.indexOf(lineFeed, at + 1)) {
      if (--waiting[0].lines === 0) waiting.shift().done();
    }
  });
  const figures = await produceLoad(inFlight, seconds, nats.pid, () => {
    return new Promise((done) => {
      waiting.push({ lines: 2 * batch, done });
      socket.write(request);
    });
  });
  socket.destroy();
  const durability = hasSync
    ? 'file storage, sync_interval always: fsync before each answer'
    : 'file storage; this version has no sync_interval: answered when written, fsync every 2 minutes';
  return { server: `NATS JetStream ${version}`, durability, ...figures };
});

/** Resolves when the answer to the creation of the stream came. */
function isMade(socket) {
  return new Promise((resolve, reject) => {
    let text = '';
    const look = (chunk) => {
      text += chunk.toString('latin1');
      const answer = text.match(/MSG made 1 \d+\r\n(.*)\r\n/)?.[1];
      if (answer === undefined) return;
      socket.off('data', look);
      if (answer.includes('"error"')) reject(new Error(answer));
      else resolve();
    };
    socket.on('data', look);
  });
}
