/**
 * Records into one topic, each call durable (fdatasync) before it is answered: `--size B` (100) bytes a record,
 * `--batch N` (200) records a call, `--inflight N` (32) calls at once, `--partitions N` (1), `--seconds S` (5).
 * Broker and producer are two processes on loopback. `--replicas 1` is all there is yet.
 *
 * `--peer redis,nats,kafka`: the same load on others, in the same run; their durability is printed. Each is started by a
 * script of scripts/peers/; one that can't be had on this machine is reported, with what to do.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchArguments, BenchResult } from './bench.js';
import { LoadProcess } from './load-process.js';
import type { LoadFigures } from './produce-load.js';

const here = dirname(fileURLToPath(import.meta.url));
const peerNames = ['redis', 'nats', 'kafka'];
const durability = 'fdatasync of the write group before each answer';

/** What the process of a peer tells. */
type PeerMessage = (LoadFigures & { server: string; durability: string }) | { readonly unavailable: string };

interface Load {
  readonly size: number;
  readonly batch: number;
  readonly inFlight: number;
  readonly seconds: number;
}

async function ours({ size, batch, inFlight, seconds }: Load, partitions: number): Promise<LoadFigures> {
  const serving = new LoadProcess(join(here, 'produce-server.js'), []);
  try {
    const { port, pid } = await serving.message<{ port: number; pid: number }>();
    const load = [port, pid, size, batch, inFlight, partitions, seconds].map(String);
    const producing = new LoadProcess(join(here, 'produce-client.js'), load);
    return await producing.message<LoadFigures>();
  } finally {
    serving.stop();
  }
}

async function theirs(name: string, { size, batch, inFlight, seconds }: Load): Promise<PeerMessage> {
  const script = join(here, '..', '..', '..', 'scripts', 'peers', `${name}.mjs`);
  try {
    return await new LoadProcess(script, [size, batch, inFlight, seconds].map(String)).message<PeerMessage>();
  } catch (error) {
    return { unavailable: (error as Error).message };
  }
}

function metricsOf({ callsPerSec, p50us, p99us, serverCpuUs }: LoadFigures, load: Load): Record<string, number> {
  const recordsPerSec = callsPerSec * load.batch;
  const bytesPerCall = load.batch * load.size;
  return {
    recordsPerSec,
    mbPerSec: (callsPerSec * bytesPerCall) / 1e6,
    p50ms: p50us / 1e3,
    p99ms: p99us / 1e3,
    serverCpuSecPerGb: (serverCpuUs / bytesPerCall) * 1e3,
  };
}

/** A row for people. */
function row(name: string, metrics: Record<string, number>, how: string): string {
  const whole = (value: number): string => Math.round(value).toLocaleString('en').padStart(11);
  const ms = (value: number): string => value.toFixed(2).padStart(8);
  const { recordsPerSec, mbPerSec, p50ms, p99ms } = metrics as Record<string, number>;
  return `${name.padEnd(24)}${whole(recordsPerSec!)}${whole(mbPerSec!)}${ms(p50ms!)}${ms(p99ms!)}  ${how}\n`;
}

export async function run(args: BenchArguments): Promise<BenchResult> {
  const number = (name: string, otherwise: number): number => Number(args[name] ?? otherwise);
  const replicas = number('replicas', 1);
  if (replicas !== 1) throw new Error('bench produce: --replicas 1 is all there is yet');
  const seconds = number('seconds', 5);
  const load = { size: number('size', 100), batch: number('batch', 200), inFlight: number('inflight', 32), seconds };
  const partitions = number('partitions', 1);
  const peers = typeof args['peer'] === 'string' ? args['peer'].split(',') : [];
  for (const name of peers) {
    if (!peerNames.includes(name)) throw new Error(`bench produce: --peer takes ${peerNames.join(', ')}, not ${name}`);
  }
  // As bin/taskd.cjs does; the broker's process inherits it.
  process.env['UV_THREADPOOL_SIZE'] ??= '32';
  const metrics: Record<string, number> = metricsOf(await ours(load, partitions), load);
  const config: Record<string, number | string> = { replicas, ...load, partitions, durability };
  const { recordsPerSec } = metrics as { recordsPerSec: number };
  const heads = ['records/s', 'MB/s'].map((head) => head.padStart(11)).join('');
  const times = ['p50 ms', 'p99 ms'].map((head) => head.padStart(8)).join('');
  process.stdout.write(`${''.padEnd(24)}${heads}${times}  durability\n${row('taskd', metrics, durability)}`);
  let fastest = 0;
  for (const name of peers) {
    const message = await theirs(name, load);
    if ('unavailable' in message) {
      config[`peers.${name}`] = `unavailable: ${message.unavailable}`;
      process.stdout.write(`${name.padEnd(24)}unavailable: ${message.unavailable}\n`);
      continue;
    }
    const peer = metricsOf(message, load);
    process.stdout.write(row(message.server, peer, message.durability));
    for (const [metric, value] of Object.entries(peer)) metrics[`${name}.${metric}`] = value;
    metrics[`ratios.${name}`] = recordsPerSec / peer['recordsPerSec']!;
    config[`peers.${name}`] = `${message.server}: ${message.durability}`;
    fastest = Math.max(fastest, peer['recordsPerSec']!);
  }
  if (fastest > 0) metrics['ratio'] = recordsPerSec / fastest;
  return { name: 'produce', metrics, config };
}
