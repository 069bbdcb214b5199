/**
 * What the peers of the produce bench share. A peer is a process that gets SIZE BATCH INFLIGHT SECONDS, starts its
 * server on a free port of 127.0.0.1 with a folder of its own, puts the load on it, sends its parent one message, and
 * leaves nothing behind:
 *   { server, durability, callsPerSec, p50us, p99us, serverCpuUs, clientCpuUs }   or   { unavailable: what to do }
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why a peer can't take part, for people. */
export class Unavailable extends Error {}

export const [size, batch, inFlight, seconds] = process.argv.slice(2).map(Number);

/** A port that was free a moment ago. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts a program; `lines` holds what it said last. Throws `Unavailable` with `remedy` when it is not there. */
export async function start(command, argv, remedy, options = {}) {
  const child = spawn(command, argv, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  child.lines = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      child.lines.push(...text.split('\n').filter((line) => line !== ''));
      child.lines.splice(0, child.lines.length - 20);
    });
  }
  try {
    await once(child, 'spawn');
  } catch (error) {
    if (error.code === 'ENOENT') throw new Unavailable(`no ${command} here: ${remedy}`);
    throw error;
  }
  return child;
}

/** Runs a program to its end and gives what it printed. */
export async function output(command, argv, remedy) {
  const child = await start(command, argv, remedy);
  let text = '';
  child.stdout.on('data', (part) => {
    text += part;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${child.lines.join(' / ')}`);
  return text;
}

/** A connection to a server that is still starting. */
export async function dial(port, server) {
  for (let left = 1_200; ; left--) {
    if (server.exitCode !== null) throw new Error(`the server ended: ${server.lines.join(' / ')}`);
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

/**
 * Runs `work(folder, keep)`: `keep` notes a server, to be killed at the end, also when this process is told to go. What
 * `work` resolves with is sent to the parent.
 */
export async function peer(work) {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-bench-peer-'));
  const servers = [];
  const clean = async () => {
    for (const server of servers) {
      if (server.exitCode !== null || server.signalCode !== null) continue;
      server.kill('SIGKILL');
      await once(server, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  };
  for (const event of ['SIGTERM', 'SIGINT', 'disconnect']) {
    process.on(event, () => void clean().finally(() => process.exit(1)));
  }
  let message;
  try {
    message = await work(folder, (server) => {
      servers.push(server);
      return server;
    });
  } catch (error) {
    if (!(error instanceof Unavailable)) console.error(error);
    message = { unavailable: error.message };
  } finally {
    await clean();
  }
  await new Promise((resolve) => process.send(message, resolve));
  process.exit(0);
}
