/**
 * `npm run demo [-- --roles]`: real work through the real parts. One run for each file under node_modules, while a
 * cron job fires every second, a worker and the servers are killed with -9, and a job fails to the dead letters and is
 * replayed. At the end everything is counted, and compared with what plain code finds without taskd.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TaskdClient } from '../../src/client/client.js';
import type { Run } from '../../src/client/run.js';
import { root } from '../programs.js';
import { Cluster, WorkerFleet } from './cluster.js';
import { type FileFacts, findFiles, inspectFile, type Totals, totalsOf } from './files.js';
import { percentile, Screen } from './screen.js';
import { readStarts, type Start } from './starts.js';

const app = 'demo';
const submitsInFlight = 1_000;
const questionsInFlight = 1_000;
const calmRuns = 200;

/** One thing that the demo shows. */
interface Proof {
  readonly what: string;
  readonly seen: string;
  readonly isRight: boolean;
}

class Demo {
  readonly #screen: Screen = new Screen();
  readonly #folder: string = mkdtempSync(join(tmpdir(), 'taskd-demo-'));
  readonly #files: string = join(root, 'node_modules');
  readonly #cluster: Cluster;
  readonly #proofs: Proof[] = [];
  #fleet: WorkerFleet | undefined;

  constructor(separate: boolean) {
    this.#cluster = new Cluster(this.#folder, separate);
  }

  /** Resolves with whether everything was right. */
  async run(): Promise<boolean> {
    const screen = this.#screen;
    await this.#cluster.start();
    screen.step(`taskd listens on ${this.#cluster.servers} (pid ${this.#cluster.pids}), data in ${this.#folder}`);
    const fleet = new WorkerFleet(this.#cluster.servers, this.#files, this.#folder);
    this.#fleet = fleet;
    await Promise.all(['worker-1', 'worker-2', 'worker-3'].map((name) => fleet.add(name)));
    const client = new TaskdClient({ servers: [this.#cluster.servers] });

    await client.jobs.put(app, 'every-second', { processor: 'tick', cron: '* * * * * *' });
    screen.step('a cron job fires every second from now on');
    const paths = findFiles(this.#files);
    const calm = await this.#calm(client);

    const mended = join(this.#folder, 'mended');
    const deadId = await this.#deadLetter(client, mended);
    const later = await client.runs.submit(app, { processor: 'echo', arguments: 'later', delayMs: 8_000 });
    const { runs, found, expected } = await this.#mainJob(client, paths);
    await this.#replay(client, mended, deadId);
    const totals = totalsOf(found);
    await this.#checkLater(client, later.id);
    await this.#checkCron(client);
    this.#checkStarts([...runs, ...calm.runs], fleet.startsFolder);

    await client.close();
    await fleet.stop();
    this.#prove('stop in good order (SIGTERM)', 'exit 0', await this.#cluster.stop());
    this.#report(totals, expected, calm);
    const isSame = totals.digest === expected.digest && totals.files === expected.files;
    return isSame && this.#proofs.every((proof) => proof.isRight);
  }

  /** Kills what still runs and removes the folder. */
  clean(): void {
    this.#fleet?.kill();
    this.#cluster.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #prove(what: string, seen: string, isRight: boolean): void {
    this.#proofs.push({ what, seen, isRight });
  }

  /** What the files are, found without taskd. */
  async #inspectByHand(paths: readonly string[]): Promise<Totals> {
    const facts = new Map<string, FileFacts>();
    await inParallel(paths, 4, async (path) => {
      facts.set(path, await inspectFile(join(this.#files, path)));
    });
    this.#screen.step(`${facts.size} files read without taskd, to have something to compare with`);
    return totalsOf(facts);
  }

  /** Single runs, one after another: how long it takes when there is nothing to wait for. */
  async #calm(client: TaskdClient): Promise<{ ackMs: number[]; resultMs: number[]; runs: Run[] }> {
    const ackMs: number[] = [];
    const resultMs: number[] = [];
    const runs: Run[] = [];
    for (let i = 0; i < calmRuns; i++) {
      const began = performance.now();
      const { id } = await client.runs.submit(app, { processor: 'echo', arguments: i });
      ackMs.push(performance.now() - began);
      const run = await client.runs.result(id, 10_000);
      resultMs.push(performance.now() - began);
      runs.push(run);
    }
    const good = runs.filter((run) => run.state === 'SUCCEEDED').length;
    this.#prove(`${calmRuns} single runs`, `${good} succeeded`, good === calmRuns);
    return { ackMs: ackMs.sort(ascending), resultMs: resultMs.sort(ascending), runs };
  }

  /** A run whose processor fails three times. Resolves with its id once it is dead. */
  async #deadLetter(client: TaskdClient, needs: string): Promise<string> {
    const { id } = await client.runs.submit(app, {
      processor: 'mend',
      arguments: { needs },
      retry: { attemptsMax: 3, delaysMs: [100, 200] },
    });
    const run = await client.runs.result(id, 20_000);
    const runs = await client.dead.list(app);
    const isListed = runs.some((dead) => dead.id === id);
    this.#screen.step(`a run that fails: ${run.state} after ${run.attempt} tries`);
    const isRight = run.state === 'DEAD' && run.attempt === 3 && isListed;
    this.#prove(
      'a failing run becomes a dead letter',
      `${run.state} after ${run.attempt} tries, retried 2 times`,
      isRight,
    );
    return id;
  }

  async #replay(client: TaskdClient, mended: string, deadId: string): Promise<void> {
    writeFileSync(mended, '');
    const { id } = await client.dead.replay(deadId);
    const run = await client.runs.result(id, 20_000);
    const runs = await client.dead.list(app);
    const isGone = !runs.some((dead) => dead.id === deadId);
    this.#screen.step(`the dead letter is replayed: ${run.state}`);
    this.#prove(
      'it survives the kill and is replayed',
      `${run.state}, dead letters left: ${runs.length}`,
      run.state === 'SUCCEEDED' && isGone,
    );
  }

  /**
   * One run a file. A worker is killed once a third is submitted, the servers once two thirds are, while submits are
   * under way. Resolves once all have ended; meanwhile the same files are read without taskd.
   */
  async #mainJob(
    client: TaskdClient,
    paths: readonly string[],
  ): Promise<{ runs: Run[]; found: Map<string, FileFacts>; expected: Totals }> {
    const screen = this.#screen;
    const ids = new Map<string, string>();
    const before = await client.apps.stats(app);
    let isOver = false;
    const show = async (): Promise<void> => {
      while (!isOver) {
        const stats = await client.apps.stats(app);
        const done = Math.max(0, stats.succeededTotal - before.succeededTotal);
        screen.bar(Math.min(done, paths.length), paths.length, `runs, ${ids.size} submitted`);
        await pause(200);
      }
    };
    const shown = show();
    const submit = async (path: string): Promise<void> => {
      ids.set(path, (await client.runs.submit(app, { processor: 'inspect', arguments: { path } })).id);
    };
    const third = Math.floor(paths.length / 3);
    const killed = inParallel(paths.slice(0, third), submitsInFlight, submit).then(() => this.#killWorker(client));
    await inParallel(paths.slice(third, 2 * third), submitsInFlight, submit);
    const held = await killed;

    const restarted = this.#cluster.killAndRestart();
    const began = performance.now();
    await Promise.all([restarted, inParallel(paths.slice(2 * third), submitsInFlight, submit)]);
    screen.step(`kill -9 of ${this.#cluster.names}, and up again (pid ${this.#cluster.pids})`);
    const acked = `${ids.size} of ${paths.length} submits acknowledged, ${Math.round(performance.now() - began)} ms for the rest`;
    this.#prove(`kill -9 and restart of ${this.#cluster.names}`, acked, ids.size === paths.length);

    const runs: Run[] = [];
    const found = new Map<string, FileFacts>();
    const collect = inParallel(paths, questionsInFlight, async (path) => {
      const run = await client.runs.result(ids.get(path)!, 45_000);
      runs.push(run);
      if (run.state === 'SUCCEEDED') found.set(path, run.value as FileFacts);
    });
    const [expected] = await Promise.all([this.#inspectByHand(paths), collect]);
    isOver = true;
    await shown;
    const after = await client.apps.stats(app);
    const lost = after.lostTotal - before.lostTotal;
    const again = runs.filter((run) => run.lost > 0).length;
    screen.step(`all runs have ended; ${again} were lost with the killed worker and done by another`);
    const isDone = found.size === paths.length;
    this.#prove(
      `a run for each of ${paths.length} files`,
      `${found.size} succeeded, ${again} of them by a second worker`,
      isDone,
    );
    this.#prove(
      'kill -9 of a worker',
      `it held ${held.leases} leases; ${lost} lost in all, and done by others`,
      lost >= 1 && lost <= held.capacity,
    );
    return { runs, found, expected };
  }

  /** Kills a worker that certainly has runs in hand; resolves with how many it had, and how many it may have. */
  async #killWorker(client: TaskdClient): Promise<{ leases: number; capacity: number }> {
    const victim = this.#fleet!.programs.get('worker-1')!;
    for (;;) {
      // Stopped, it can't finish what it has between the look and the kill.
      victim.process.kill('SIGSTOP');
      const { workers } = await client.apps.stats(app);
      const { leases = 0, capacity = 0 } = workers.find((worker) => worker.workerId === victim.name) ?? {};
      if (leases > 0) {
        await victim.stop('SIGKILL');
        this.#screen.step(`kill -9 of ${victim.name}, which holds ${leases} leases`);
        return { leases, capacity };
      }
      victim.process.kill('SIGCONT');
      await pause(20);
    }
  }

  async #checkLater(client: TaskdClient, id: string): Promise<void> {
    const run = await client.runs.result(id, 20_000);
    const lateMs = run.startedMs - run.dueMs;
    this.#prove(
      'a run for 8 s later, across the kill',
      `${run.state}, ${lateMs} ms after it was due`,
      run.state === 'SUCCEEDED' && lateMs >= 0,
    );
  }

  /** Every second from the first fire to the last has its run, and only one. */
  async #checkCron(client: TaskdClient): Promise<void> {
    const job = await client.jobs.pause(app, 'every-second');
    const runs = await client.runs.list(app, { job: job.name });
    const ended = await Promise.all(runs.map((run) => client.runs.result(run.id, 20_000)));
    const due = runs.map((run) => run.dueMs).sort(ascending);
    const seconds = (due.at(-1)! - due[0]!) / 1_000 + 1;
    const isOnce = new Set(due).size === due.length && due.length === job.fires;
    const good = ended.filter((run) => run.state === 'SUCCEEDED').length;
    const isWhole = due.length + job.skipped === seconds && good === due.length;
    const seen = `${seconds} s: ${due.length} fires, ${job.skipped} merged, none twice, ${good} succeeded`;
    this.#prove('a cron job every second', seen, isOnce && isWhole);
  }

  /** No run is started after it succeeded. */
  #checkStarts(runs: readonly Run[], folder: string): void {
    const starts = readStarts(folder);
    let total = 0;
    let wrong = 0;
    for (const run of runs) {
      const own: readonly Start[] = starts.get(run.id) ?? [];
      total += own.length;
      if (own.length === 0 || own.some((start) => start.wallMs > run.endedMs)) wrong++;
    }
    this.#prove('starts noted by the workers', `${total} starts of ${runs.length} runs, ${wrong} wrong`, wrong === 0);
  }

  #report(totals: Totals, expected: Totals, calm: { ackMs: number[]; resultMs: number[] }): void {
    const row = (what: string, a: string | number, b: string | number): string[] => [
      what,
      String(a),
      String(b),
      a === b ? 'same' : 'DIFFERENT',
    ];
    this.#screen.table('What was found', [
      ['', 'through taskd', 'without it', ''],
      row('files', totals.files, expected.files),
      row('bytes', totals.bytes, expected.bytes),
      row('lines', totals.lines, expected.lines),
      row('languages', describeLanguages(totals), describeLanguages(expected)),
      row('digest', totals.digest.slice(0, 16), expected.digest.slice(0, 16)),
    ]);
    const ms = (sorted: readonly number[], share: number): string => `${percentile(sorted, share).toFixed(1)} ms`;
    this.#screen.table(`Latencies of ${calmRuns} single runs`, [
      ['', 'p50', 'p99'],
      ['submit → on disk', ms(calm.ackMs, 0.5), ms(calm.ackMs, 0.99)],
      ['submit → result', ms(calm.resultMs, 0.5), ms(calm.resultMs, 0.99)],
    ]);
    this.#screen.table(
      'What it showed',
      this.#proofs.map(({ what, seen, isRight }) => [isRight ? 'ok' : 'WRONG', what, seen]),
    );
  }
}

function describeLanguages(totals: Totals): string {
  const largest = [...totals.languages].sort(([, a], [, b]) => b - a).slice(0, 3);
  return largest.map(([name, count]) => `${count} ${name}`).join(', ');
}

const ascending = (a: number, b: number): number => a - b;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** `work` on each item, at most `width` at once. */
async function inParallel<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
}

const flags = process.argv.slice(2);
if (flags.some((flag) => flag !== '--roles')) {
  process.stderr.write('usage: npm run demo [-- --roles]\n');
  process.exit(2);
}
const demo = new Demo(flags.includes('--roles'));
const interrupted = (): void => {
  demo.clean();
  process.exit(130);
};
process.on('SIGINT', interrupted);
process.on('SIGTERM', interrupted);
try {
  const isRight = await demo.run();
  process.stdout.write(isRight ? '\nEvery count is right.\n' : '\nSomething is WRONG: see above.\n');
  process.exitCode = isRight ? 0 : 1;
} catch (error) {
  process.stderr.write(`\nthe demo failed: ${error instanceof Error ? error.stack : error}\n`);
  process.exitCode = 1;
} finally {
  demo.clean();
}
