/**
 * Records into one topic, each call durable (fdatasync) before it is answered: `--size B` (100) bytes a record,
 * `--batch N` (200) records a call, `--inflight N` (32) calls at once, `--partitions N` (1), `--seconds S` (5).
 * Broker and producer are two processes on loopback. `--replicas 1` is all there is yet. `--peer redis`: the same load
 * on Redis Streams with appendfsync always, in the same run.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchArguments, BenchResult } from './bench.js';
import type { LoopResult } from './closed-loop.js';
import { LoadProcess } from './load-process.js';

const here = dirname(fileURLToPath(import.meta.url));

export async function run(args: BenchArguments): Promise<BenchResult> {
  const number = (name: string, otherwise: number): number => Number(args[name] ?? otherwise);
  const replicas = number('replicas', 1);
  if (replicas !== 1) throw new Error('bench produce: --replicas 1 is all there is yet');
  const size = number('size', 100);
  const batch = number('batch', 200);
  const inFlight = number('inflight', 32);
  const partitions = number('partitions', 1);
  const seconds = number('seconds', 5);
  // As bin/taskd.cjs does; the broker's process inherits it.
  process.env['UV_THREADPOOL_SIZE'] ??= '32';
  const serving = new LoadProcess(join(here, 'produce-server.js'), []);
  try {
    const { port } = await serving.message<{ port: number }>();
    const load = [port, size, batch, inFlight, partitions, seconds].map(String);
    const producing = new LoadProcess(join(here, 'produce-client.js'), load);
    const { callsPerSec, p50us, p99us } = await producing.message<LoopResult>();
    const recordsPerSec = callsPerSec * batch;
    const ours = { recordsPerSec, mbPerSec: (recordsPerSec * size) / 1e6, p50ms: p50us / 1e3, p99ms: p99us / 1e3 };
    const config = { replicas, size, batch, inFlight, partitions, seconds, sync: 'fdatasync before each answer' };
    if (args['peer'] !== 'redis') return { name: 'produce', metrics: ours, config };
    const peer = new LoadProcess(join(here, 'redis-streams.js'), [size, batch, inFlight, seconds].map(String));
    const theirs = await peer.message<LoopResult>();
    const ratio = callsPerSec / theirs.callsPerSec;
    const redis = { redisRecordsPerSec: theirs.callsPerSec * batch, redisP50ms: theirs.p50us / 1e3, ratio };
    return {
      name: 'produce',
      metrics: { ...ours, ...redis },
      config: { ...config, peer: 'redis, appendfsync always' },
    };
  } finally {
    serving.stop();
  }
}
