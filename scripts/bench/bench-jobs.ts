/**
 * `jobs`: durable runs from submit over dispatch to the processor's end, and the wait from submit to start.
 *   --concurrency N   runs outstanding, default 512, the same on both sides
 *   --seconds S       length of the saturated phase, default 5
 *   --peer bullmq     the same of BullMQ on Redis with appendonly, appendfsync always and everysec, in this run
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, isListening, Program, root, startTaskd } from '../programs.js';
import type { BenchArguments, BenchResult } from './bench.js';

interface Figures {
  readonly runsPerSec: number;
  readonly startP50ms: number;
  readonly startP99ms: number;
}

const lightSeconds = 3;

/** Runs a load process to its end and parses the JSON line that it prints. */
async function load(name: string, script: string, argv: readonly (string | number)[]): Promise<Figures> {
  const program = new Program(name, script, argv.map(String));
  const figures = await program.waitFor('it printed its figures', (line) =>
    line.startsWith('{"runsPerSec"') ? (JSON.parse(line) as Figures) : undefined,
  );
  // It leaves in good order, for which the server must still be there.
  await program.exited;
  return figures;
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'taskd-bench-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function ours(concurrency: number, seconds: number): Promise<Figures> {
  return inFolder(async (folder) => {
    const taskd = await startTaskd(['standalone', '--data', folder, '--port', '0', '--admin-port', '0']);
    try {
      const script = join(root, 'build', 'scripts', 'bench', 'jobs-load.js');
      return await load('jobs-load', script, [taskd.listen, concurrency, seconds, lightSeconds]);
    } finally {
      await taskd.program.stop();
    }
  });
}

/** `fsync`: Redis's appendfsync; `always` syncs before it answers, as taskd does, `everysec` may lose a second. */
function bullmq(fsync: 'always' | 'everysec', concurrency: number, seconds: number): Promise<Figures> {
  return inFolder(async (folder) => {
    const port = await freePort();
    const flags = { port, bind: '127.0.0.1', dir: folder, appendonly: 'yes', appendfsync: fsync, save: '' };
    const argv = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const redis = spawn('redis-server', argv, { stdio: 'ignore' });
    const failed = new Promise<never>((_, reject) => {
      redis.once('error', () => reject(new Error('no redis-server here: apt-get install redis-server')));
    });
    try {
      await Promise.race([failed, reachable(port)]);
      return await load('bullmq', join(root, 'scripts', 'peers', 'bullmq.mjs'), [
        port,
        concurrency,
        seconds,
        lightSeconds,
      ]);
    } finally {
      redis.kill();
    }
  });
}

async function reachable(port: number): Promise<void> {
  while (!(await isListening(port))) {
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
}

export async function run(args: BenchArguments): Promise<BenchResult> {
  const concurrency = Number(args['concurrency'] ?? 512);
  const seconds = Number(args['seconds'] ?? 5);
  const mine = await ours(concurrency, seconds);
  const metrics: Record<string, number> = { ...mine };
  if (args['peer'] === 'bullmq') {
    await new Program('ensure-peers', join(root, 'scripts', 'peers', 'ensure-peers.cjs'), []).exited;
    for (const fsync of ['always', 'everysec'] as const) {
      const peer = await bullmq(fsync, concurrency, seconds);
      metrics[`bullmq.${fsync}.runsPerSec`] = peer.runsPerSec;
      metrics[`bullmq.${fsync}.startP50ms`] = peer.startP50ms;
      metrics[`bullmq.${fsync}.startP99ms`] = peer.startP99ms;
      metrics[`ratios.bullmq.${fsync}`] = mine.runsPerSec / peer.runsPerSec;
    }
    metrics['ratio'] =
      mine.runsPerSec / Math.max(metrics['bullmq.always.runsPerSec']!, metrics['bullmq.everysec.runsPerSec']!);
  }
  return {
    name: 'jobs',
    metrics,
    config: { concurrency, seconds, durability: 'fdatasync before every ack', peer: String(args['peer'] ?? 'none') },
  };
}
