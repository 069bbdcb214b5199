/**
 * `npm run e2e:registry`: three name servers as processes, and what must hold whatever becomes of them. A line for each
 * point; ends with 1 when something is wrong.
 *
 * 1. Rolling restart of all three under 10,000 instances and 100 watchers.
 * 2. SIGSTOP of one for 30 s, then SIGCONT; after it kill -9 of one.
 * 3. kill -9 of all of them: a broker, a scheduler and a worker go on with what they know, and a client that starts now
 *    finds them by its cache file.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { TaskdClient } from '../src/client/client.js';
import { sleep } from './bench/closed-loop.js';
import { Fleet, type Seen, wrongs } from './fleet/fleet.js';
import { NameServers } from './name-servers.js';
import { Program, root, startTaskd, type Taskd } from './programs.js';

const stopMs = 30_000;
/** After a change, until whatever it could lead to has happened: an instance would be gone within 15 s. */
const settleMs = 20_000;
const reRegisteredMs = 3_000;
/** How long jobs run without any name server. */
const aloneMs = 30_000;
let isGood = true;

function point(what: string, isRight: boolean, figures: string): void {
  isGood &&= isRight;
  const load = loadavg()[0]!.toFixed(1);
  process.stdout.write(`${isRight ? 'good ' : 'WRONG'}  ${what}: ${figures} (load average ${load})\n`);
}

function pointOf(what: string, { lists, lookUps, ...seen }: Seen): void {
  const { emptyLists, missing, failedLookUps, missingInLookUps, trouble } = seen;
  const lists_ = `${lists} lists told, ${emptyLists} empty, ${missing} instances missing`;
  const lookUps_ = `${lookUps} look-ups, ${failedLookUps} failed, ${missingInLookUps} instances missing`;
  point(
    what,
    wrongs({ lists, lookUps, ...seen }) === 0,
    `${lists_}; ${lookUps_}${trouble === '' ? '' : `; ${trouble}`}`,
  );
}

async function rollingRestart(names: NameServers, fleet: Fleet): Promise<void> {
  for (let i = 0; i < names.listens.length; i++) {
    await names.stop(i);
    await names.run(i);
    await names.ready(i);
  }
  await sleep(settleMs);
  pointOf('rolling restart of three name servers', await fleet.seen());
}

async function pause(names: NameServers, fleet: Fleet): Promise<void> {
  names.signal(0, 'SIGSTOP');
  await sleep(stopMs);
  names.signal(0, 'SIGCONT');
  await names.ready(0);
  await sleep(settleMs);
  pointOf(`SIGSTOP of one for ${stopMs / 1_000} s, then SIGCONT`, await fleet.seen());
}

async function kill(names: NameServers, fleet: Fleet): Promise<void> {
  names.signal(1, 'SIGKILL');
  const { victims, gapMs } = await fleet.moved(names.listens[1]!);
  const figures = `${victims} instances registered elsewhere after ${Math.round(gapMs)} ms`;
  point('kill -9 of one', gapMs <= reRegisteredMs, figures);
  await names.stop(1);
  await sleep(settleMs);
  pointOf('after kill -9 of one', await fleet.seen());
}

async function withFleet(): Promise<void> {
  const names = await NameServers.start(3);
  try {
    const fleet = await Fleet.start(names.listens);
    try {
      await rollingRestart(names, fleet);
      await pause(names, fleet);
      await kill(names, fleet);
    } finally {
      fleet.stop();
    }
  } finally {
    await names.close();
  }
}

/** Submits a run every 50 ms and waits for its end. */
class Jobs {
  succeeded = 0;
  readonly failures: string[] = [];
  readonly #client: TaskdClient;
  readonly #running: Promise<void>[] = [];
  readonly #ticking: NodeJS.Timeout;

  constructor(client: TaskdClient) {
    this.#client = client;
    this.#ticking = setInterval(() => this.#running.push(this.#one()), 50);
  }

  async stop(): Promise<void> {
    clearInterval(this.#ticking);
    await Promise.all(this.#running);
  }

  async #one(): Promise<void> {
    try {
      const { id } = await this.#client.runs.submit('demo', { processor: 'echo', arguments: 'x' });
      const { state } = await this.#client.runs.result(id, 30_000);
      if (state === 'SUCCEEDED') this.succeeded++;
      else this.failures.push(`run ${id} is ${state}`);
    } catch (error) {
      this.failures.push((error as Error).message);
    }
  }
}

async function withoutNameServers(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-registry-'));
  const names = await NameServers.start(3);
  const started: Taskd[] = [];
  let worker: Program | undefined;
  const servers = names.listens;
  const discoveryCache = join(folder, 'cache');
  try {
    const common = ['--name-servers', servers.join(','), '--admin-port', '0', '--log-format', 'json'];
    const listen = ['--listen', '127.0.0.1:0'];
    for (const role of ['broker', 'scheduler']) {
      started.push(await startTaskd([`--role=${role}`, '--data', join(folder, role), ...listen, ...common]));
    }
    const script = join(root, 'build', 'scripts', 'demo', 'worker.js');
    worker = new Program('w1', script, ['w1', servers.join(','), folder, join(folder, 'starts')]);
    await worker.waitFor('it worked', (line) => line === 'working' || undefined);
    const client = new TaskdClient({ servers, discoveryCache });
    const jobs = new Jobs(client);
    await sleep(5_000);
    const before = jobs.succeeded;
    for (let i = 0; i < servers.length; i++) await names.stop(i, 'SIGKILL');
    await sleep(aloneMs);
    await jobs.stop();
    await client.close();
    const after = jobs.succeeded - before;
    const failures = `${jobs.failures.length} failed${jobs.failures[0] === undefined ? '' : `: ${jobs.failures[0]}`}`;
    const figures = `${before} runs succeeded before, ${after} in ${aloneMs / 1_000} s without, ${failures}`;
    point('all name servers dead, jobs go on', before > 0 && after > before && jobs.failures.length === 0, figures);
    const cold = new TaskdClient({ servers, discoveryCache });
    const began = performance.now();
    const { id } = await cold.runs.submit('demo', { processor: 'echo', arguments: 'cold' });
    const { state } = await cold.runs.result(id, 30_000);
    const tookMs = Math.round(performance.now() - began);
    point(
      'a client that starts with all name servers dead',
      state === 'SUCCEEDED',
      `its run was ${state} after ${tookMs} ms`,
    );
    await cold.close();
  } catch (error) {
    point('all name servers dead', false, (error as Error).message);
  } finally {
    for (const { process, exited } of [worker, ...started.map(({ program }) => program)].filter((each) => !!each)) {
      process.kill('SIGKILL');
      await exited;
    }
    await names.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

await withFleet();
await withoutNameServers();
process.exit(isGood ? 0 : 1);
