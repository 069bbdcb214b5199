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
import { loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NameServers } from '../name-servers.js';
import type { BenchArguments, BenchResult } from './bench.js';
import { healTimes } from './registry-heal.js';
import { measure, type RegistryFigures, RegistryProcesses } from './registry-measure.js';
import { holdSessions } from './registry-sessions.js';
import type { RegistryShape } from './registry-shape.js';

const here = dirname(fileURLToPath(import.meta.url));
const servers = 3;

async function ours(shape: Omit<RegistryShape, 'servers'>, seconds: number, rate: number): Promise<RegistryFigures> {
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

export async function run(args: BenchArguments): Promise<BenchResult> {
  const seconds = Number(args['seconds'] ?? 5);
  const rate = Number(args['rate'] ?? 10_000);
  const sessions = Number(args['sessions'] ?? 15_000);
  const cuts = String(args['cuts'] ?? '3,8,25,8,3')
    .split(',')
    .map(Number);
  const shape = { connections: 100, instances: 10_000, services: 100, watchers: 30 };
  const config: Record<string, number | string> = { servers, ...shape, seconds };
  const metrics: Record<string, number> = { ...(await ours(shape, seconds, rate)) };
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
