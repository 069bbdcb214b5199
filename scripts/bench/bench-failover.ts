/**
 * `kill -9` of one server of a cluster, again and again: `--role nameserver` is all there is yet.
 *   --kills N    default 10
 *
 * Three name servers, 10,000 instances of 200 clients, 100 watchers. `gapMs`: the worst time from a kill until the last
 * instance that was registered at the victim is registered elsewhere. `lost`: instances that lived and were missing in a
 * list that any watcher was told or in the answer of any look-up; a look-up that failed again and again counts as one.
 */
import { loadavg } from 'node:os';
import { Fleet, wrongs } from '../fleet/fleet.js';
import { NameServers } from '../name-servers.js';
import type { BenchArguments, BenchResult } from './bench.js';
import { sleep } from './closed-loop.js';

/** From when all is whole again to the next kill. Clients whose sessions end within 10 s take their time, by design. */
const restMs = 11_000;
/** After the last one: whatever could get lost is missed by then. */
const settleMs = 20_000;

export async function run(args: BenchArguments): Promise<BenchResult> {
  const role = args['role'];
  if (role !== 'nameserver') throw new Error('bench failover: --role nameserver is all there is yet');
  const kills = Number(args['kills'] ?? 10);
  const names = await NameServers.start(3);
  try {
    const fleet = await Fleet.start(names.listens);
    try {
      const gaps: number[] = [];
      let moved = 0;
      for (let kill = 0; kill < kills; kill++) {
        await sleep(restMs);
        const i = kill % names.listens.length;
        names.signal(i, 'SIGKILL');
        const { victims, gapMs } = await fleet.moved(names.listens[i]!);
        await names.stop(i);
        process.stdout.write(`kill ${kill + 1}: ${victims} instances were elsewhere after ${Math.round(gapMs)} ms\n`);
        gaps.push(gapMs);
        moved += victims;
        await names.run(i);
        await names.ready(i);
      }
      await sleep(settleMs);
      const seen = await fleet.seen();
      if (seen.trouble !== '') process.stdout.write(`${seen.trouble}\n`);
      const { lists, lookUps } = seen;
      const metrics = { gapMs: Math.max(...gaps), lost: wrongs(seen), moved, lists, lookUps };
      return { name: 'failover', metrics, config: { role, kills, loadAverage: loadavg()[0]!.toFixed(1) } };
    } finally {
      fleet.stop();
    }
  } finally {
    await names.close();
  }
}
