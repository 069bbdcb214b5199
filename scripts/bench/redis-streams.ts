/**
 * The peer of the produce bench: Debian's redis-server with its append-only file synced before each answer
 * (appendfsync always), and a client that pipelines XADDs: SIZE BATCH INFLIGHT SECONDS. A call is one
 * write of BATCH commands, made once beforehand, so the client costs next to nothing.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closedLoop } from './closed-loop.js';

const [size, batch, inFlight, seconds] = process.argv.slice(2).map(Number) as [number, number, number, number];
const lineFeed = 10;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function dial(port: number): Promise<Socket> {
  for (let left = 100; ; left--) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return socket.setNoDelay();
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function commands(): Buffer {
  const add = Buffer.from(
    `*5\r\n$4\r\nXADD\r\n$5\r\nbench\r\n$1\r\n*\r\n$1\r\nv\r\n$${size}\r\n${'x'.repeat(size)}\r\n`,
  );
  return Buffer.concat(new Array<Buffer>(batch).fill(add));
}

const folder = mkdtempSync(join(tmpdir(), 'taskd-bench-redis-'));
const port = await freePort();
const settings = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes', '--appendfsync', 'always'];
const redis: ChildProcess = spawn('redis-server', ['--port', String(port), '--dir', folder, ...settings], {
  stdio: 'ignore',
});
redis.on('error', () => process.stderr.write('redis-server is not there: apt-get install redis-server\n'));
try {
  const socket = await dial(port);
  const request = commands();
  /** Calls in the order of their writes; an answer has two lines for each XADD. */
  const waiting: { lines: number; done: () => void }[] = [];
  socket.on('data', (chunk: Buffer) => {
    if (chunk.includes('-ERR')) throw new Error(chunk.toString('latin1', 0, 200));
    for (let at = chunk.indexOf(lineFeed); at >= 0; at = chunk.indexOf(lineFeed, at + 1)) {
      const first = waiting[0]!;
      if (--first.lines === 0) waiting.shift()!.done();
    }
  });
  const result = await closedLoop(inFlight, seconds, () => {
    return new Promise<void>((done) => {
      waiting.push({ lines: 2 * batch, done });
      socket.write(request);
    });
  });
  socket.destroy();
  await new Promise((resolve) => process.send!(result, resolve));
} finally {
  redis.kill('SIGKILL');
  await once(redis, 'exit');
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
