/**
 * Three name servers as processes: how many registrations a second, how soon every watcher sees one, how many sessions a
 * node holds, how soon all agree after a cut.
 *   --seconds S      of each phase, default 5
 *   --rate N         registrations a second while it is measured when they are seen, default 10,000
 *   --sessions N     on one node, default 15,000; 0: not measured
 *   --cuts S,S,…     seconds of each cut of one node from the others, default 3,8,25,8,3; 0: not measured
 *   --peer etcd      three members of Debian's etcd, put with a lease and a watch of the prefix, in the same run
 *
 * 10,000 instances of 100 services are registered over 100 connections; 30 connections, 10 a node, watch all of them.
 * Send times are scheduled: a registration is late from when it was due, and seen when the last of the 30 decoded it.
 */
import { spawnSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NameServers } from '../name-servers.js';
import type { BenchArguments, BenchResult } from './bench.js';
import { LoadProcess } from './load-process.js';
import { healTimes } from './registry-heal.js';
import { measure, type RegistryFigures, RegistryProcesses } from './registry-measure.js';
import { holdSessions } from './registry-sessions.js';
import type { RegistryShape } from './registry-shape.js';

const here = dirname(fileURLToPath(import.meta.url));
const peers = join(here, '..', '..', '..', 'scripts', 'peers');
const servers = 3;

type Shape = Omit<RegistryShape, 'servers'>;

async function ours(shape: Shape, seconds: number, rate: number): Promise<RegistryFigures> {
  const names = await NameServers.start(servers);
  try {
    const script = join(here, 'registry-client.js');
    const processes = await RegistryProcesses.start(script, { ...shape, servers: names.listens });
    try {
      return await measure(processes, names.pids, seconds, () => rate);
    } finally {
      processes.stop();
    }
  } finally {
    await names.close();
  }
}

/** What the process of the peer's servers tells. */
type PeerServers =
  | { readonly servers: string[]; readonly pids: number[]; readonly server: string; readonly durability: string }
  | { readonly unavailable: string };

/** Timed at no more than half of what it reaches: otherwise nothing but its queue would be measured. */
async function etcd(shape: Shape, seconds: number, rate: number): Promise<[string, RegistryFigures?]> {
  spawnSync(process.execPath, [join(peers, 'ensure-peers.cjs')], { stdio: 'inherit' });
  const script = join(peers, 'etcd.mjs');
  const serving = new LoadProcess(script, ['server']);
  try {
    const told = await serving.message<PeerServers>();
    if ('unavailable' in told) return [`unavailable: ${told.unavailable}`];
    const processes = await RegistryProcesses.start(script, { ...shape, servers: told.servers });
    try {
      const figures = await measure(processes, told.pids, seconds, (reached) =>
        Math.min(rate, Math.floor(reached / 2)),
      );
      return [`${told.server}: ${told.durability}`, figures];
    } finally {
      processes.stop();
    }
  } finally {
    serving.stop();
  }
}

export async function run(args: BenchArguments): Promise<BenchResult> {
  const seconds = Number(args['seconds'] ?? 5);
  const rate = Number(args['rate'] ?? 10_000);
  const sessions = Number(args['sessions'] ?? 15_000);
  const cuts = String(args['cuts'] ?? '3,8,25,8,3')
    .split(',')
    .map(Number);
  const shape = { connections: 100, instances: 10_000, services: 100, watchers: 30 };
  const config: Record<string, number | string> = { servers, ...shape, seconds };
  const peer = args['peer'];
  if (peer !== undefined && peer !== 'etcd') throw new Error(`bench registry: --peer takes etcd, not ${peer}`);
  const figures = await ours(shape, seconds, rate);
  const metrics: Record<string, number> = { ...figures };
  if (peer === 'etcd') {
    const [what, theirs] = await etcd(shape, seconds, rate);
    config['peers.etcd'] = what;
    config['durability'] = 'none: clients register again';
    for (const [name, value] of Object.entries(theirs ?? {})) metrics[`etcd.${name}`] = value;
    if (theirs !== undefined) metrics['ratio'] = figures.registrationsPerSec / theirs.registrationsPerSec;
  }
  if (sessions > 0) Object.assign(metrics, await holdSessions(sessions));
  if (cuts[0]! > 0) {
    const times = await healTimes(shape, cuts);
    config['cutSeconds'] = cuts.join(' ');
    config['healMs'] = times.map(Math.round).join(' ');
    metrics['healMs'] = Math.max(...times);
  }
  config['loadAverage'] = loadavg()[0]!.toFixed(1);
  return { name: 'registry', metrics, config };
}
