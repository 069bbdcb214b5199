/**
 * `npm run soak -- [--minutes M] [--rate R]`: steady load on a standalone server, and whether anything grows.
 *
 * One load process submits R runs a second (5,000) and runs them; the server's resident memory, handles and timers are
 * read from its admin port every ten seconds. After a minute of warm-up the memory must stay flat, and once the load
 * has stopped, open connections, timers and runs must be back where they were. Prints a line each ten seconds and a
 * verdict; exit code 1 when something grew.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort, Program, root, startTaskd } from './programs.js';

const { values } = parseArgs({ options: { minutes: { type: 'string' }, rate: { type: 'string' } } });
const minutes = Number(values.minutes ?? 10);
const rate = Number(values.rate ?? 5_000);
const sampleMs = 10_000;
/** Memory may differ by so much between the first and the last third after warm-up: the garbage collector's play. */
const growthMax = 0.15;

type Sample = Readonly<Record<string, number>>;

/** Must be back where they were once the load has stopped. */
const levels = {
  connections: 'taskd_rpc_connections',
  handles: 'nodejs_active_handles_total',
  timers: 'nodejs_active_resources{type="Timeout"}',
  files: 'process_open_fds',
  sessions: 'taskd_scheduler_sessions',
  'waiting fetches': 'taskd_broker_fetches_waiting',
};

/** The server's metrics by name and labels. */
async function sample(port: number): Promise<Sample> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const out: Record<string, number> = {};
  for (const line of text.split('\n')) {
    const match = /^(\w+(?:\{[^}]*\})?) (\S+)$/.exec(line);
    if (match !== null) out[match[1]!] = Number(match[2]);
  }
  return out;
}

const wait = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
const mean = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0) / numbers.length;
const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(0)} MiB`;

const folder = await mkdtemp(join(tmpdir(), 'taskd-soak-'));
const adminPort = await freePort();
const taskd = await startTaskd(['standalone', '--data', folder, '--port', '0', '--admin-port', String(adminPort)]);
const problems: string[] = [];
try {
  await sample(adminPort);
  const idle = await sample(adminPort);
  const script = join(root, 'build', 'scripts', 'soak-load.js');
  const load = new Program('soak-load', script, [taskd.listen, String(rate), String(minutes * 60)]);
  const finished = load.waitFor('it was done', (line) =>
    line.startsWith('{"submitted"') ? JSON.parse(line) : undefined,
  );
  const memory: number[] = [];
  const samples = Math.floor((minutes * 60_000) / sampleMs);
  for (let i = 0; i < samples; i++) {
    await wait(sampleMs);
    const now = await sample(adminPort);
    const resident = now['process_resident_memory_bytes']!;
    if ((i + 1) * sampleMs > 60_000) memory.push(resident);
    process.stdout.write(
      `${((i + 1) * sampleMs) / 1_000} s  resident ${mib(resident)}  ${load.lastLines.at(-1) ?? ''}\n`,
    );
  }
  const totals = (await finished) as { submitted: number; ran: number; rate: number };
  await load.exited;
  await wait(8_000);
  const after = await sample(adminPort);
  const third = Math.max(1, Math.floor(memory.length / 3));
  const growth = mean(memory.slice(-third)) / mean(memory.slice(0, third)) - 1;
  process.stdout.write(`load: ${JSON.stringify(totals)}\nmemory after warm-up: ${(growth * 100).toFixed(1)} %\n`);
  if (memory.length > 2 && growth > growthMax) problems.push(`resident memory grew by ${(growth * 100).toFixed(1)} %`);
  if (totals.ran !== totals.submitted) problems.push(`${totals.submitted} submitted, ${totals.ran} run`);
  for (const [what, name] of Object.entries(levels)) {
    // A level that nothing has used has no row.
    const [before, now] = [idle[name] ?? 0, after[name] ?? 0];
    process.stdout.write(`${what}: ${before} before, ${now} after\n`);
    if (now > before) problems.push(`${what} are not back to the start: ${before}, now ${now}`);
  }
} finally {
  await taskd.program.stop();
  await rm(folder, { recursive: true, force: true });
}
process.stdout.write(problems.length === 0 ? 'flat\n' : `NOT FLAT: ${problems.join('; ')}\n`);
process.exit(problems.length === 0 ? 0 : 1);
