/**
 * Small calls over one connection between two processes: `--inflight N` (64), `--seconds S` (5), `--peer grpc` for the
 * same with grpc-js in the same run. `cpuUsPerCall` is the client's processor time, which a busy machine changes less
 * than the rate.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchArguments, BenchResult } from './bench.js';
import type { LoopResult } from './closed-loop.js';
import { LoadProcess } from './load-process.js';

const here = dirname(fileURLToPath(import.meta.url));
const peers = join(here, '..', '..', '..', 'scripts', 'peers');

async function measure(
  server: [string, ...string[]],
  client: [string, ...string[]],
  load: string[],
): Promise<LoopResult> {
  const serving = new LoadProcess(server[0], server.slice(1));
  try {
    const { port } = await serving.message<{ port: number }>();
    const calling = new LoadProcess(client[0], [...client.slice(1), String(port), ...load]);
    return await calling.message<LoopResult>();
  } finally {
    serving.stop();
  }
}

export async function run(args: BenchArguments): Promise<BenchResult> {
  const inFlight = Number(args['inflight'] ?? 64);
  const seconds = Number(args['seconds'] ?? 5);
  const load = [String(inFlight), String(seconds)];
  const ours = await measure([join(here, 'rpc-server.js')], [join(here, 'rpc-client.js')], load);
  const config = { inFlight, seconds, peer: String(args['peer'] ?? 'none') };
  if (args['peer'] !== 'grpc') return { name: 'rpc', metrics: { ...ours }, config };
  spawnSync(process.execPath, [join(peers, 'ensure-peers.cjs')], { stdio: 'inherit' });
  const grpc = join(peers, 'grpc.mjs');
  const theirs = await measure([grpc, 'server'], [grpc, 'client'], load);
  return {
    name: 'rpc',
    metrics: {
      ...ours,
      grpcCallsPerSec: theirs.callsPerSec,
      grpcP50us: theirs.p50us,
      grpcP99us: theirs.p99us,
      grpcCpuUsPerCall: theirs.cpuUsPerCall,
      ratio: ours.callsPerSec / theirs.callsPerSec,
      cpuRatio: theirs.cpuUsPerCall / ours.cpuUsPerCall,
    },
    config,
  };
}
