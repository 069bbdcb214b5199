/**
 *   node build/test/nameserver/core/cluster.test.js [--from S] [--seeds N] [--trace]
 */
import t from 'tap';
import { simulateCluster } from './cluster-sim.js';

function option(name: string, otherwise: number): number {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
}

const first = option('--from', 1);
const seeds = option('--seeds', 25);
if (process.argv.includes('--seeds')) t.setTimeout(0);
const trace = process.argv.includes('--trace') ? (line: string) => process.stdout.write(`${line}\n`) : undefined;

t.test(`${seeds} seeds from ${first}: what a cluster promises holds under all faults`, (t) => {
  const by = new Map<string, number>();
  let failed = 0;
  for (let seed = first; seed < first + seeds; seed++) {
    const failures = simulateCluster(seed, trace);
    if (failures.length === 0) continue;
    failed++;
    for (const kind of new Set(failures.map((each) => each.split(' ')[0]!))) by.set(kind, (by.get(kind) ?? 0) + 1);
    t.comment(`seed ${seed}: ${failures.slice(0, 3).join(' | ')}`);
  }
  t.equal(failed, 0, `failing seeds by check: ${JSON.stringify([...by])}`);
  t.end();
});
