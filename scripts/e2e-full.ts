/**
 * `npm run e2e:full`: a disk of 512 MB that gets full under load, and the account. Needs root, to mount a tmpfs: where it
 * may not, it says so and ends with 2.
 *
 * 1. Producers fill the disk until their records are refused; runs of jobs go on, in the room that is kept for them.
 * 2. Another program takes the rest. Everything is refused now, and says why; what is there is read.
 * 3. `kill -9`, and a start on the full disk: what is there is read.
 * 4. The other program's file goes. Producers and jobs go on by themselves.
 * 5. Every acknowledged record is read, once; every acknowledged run succeeded.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TaskdClient, TaskdError } from '../src/client/client.js';
import { Program, root, startTaskd } from './programs.js';

const diskMb = 512;
/** What another program has on it from the start, and takes away in the end. */
const otherBytes = 128 * 2 ** 20;
const partitions = 4;
const recordBytes = 32 * 1024;
const lanesEach = 4;
const topic = 'full';
const say = (text: string): void => void process.stdout.write(`${text}\n`);

if (process.getuid?.() !== 0) {
  process.stderr.write('e2e:full: only root can mount the small disk (tmpfs) that this needs; run it with sudo\n');
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'taskd-full-'));
const disk = join(folder, 'disk');
mkdirSync(disk);
execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskMb}m`, 'tmpfs', disk]);
const free = (): number => {
  const { bavail, bsize } = statfsSync(disk);
  return bavail * bsize;
};

/** Another program's file grows until `leave` bytes are free. */
function takeAllBut(leave: number): void {
  const file = openSync(join(disk, 'other'), 'a');
  const chunk = Buffer.alloc(256 * 1024);
  try {
    while (free() > leave) writeSync(file, chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}

/** Records and runs that were acknowledged, and what the others were refused with. */
class Load {
  readonly records = new Map<string, number>();
  readonly runs: string[] = [];
  readonly refusals = new Map<string, string>();
  isOver = false;
  readonly #client: TaskdClient;
  readonly #lanes: Promise<void>[] = [];
  #number = 0;

  constructor(listen: string) {
    this.#client = new TaskdClient({ servers: [listen], deliveryTimeoutMs: 5_000 });
  }

  async start(): Promise<void> {
    await this.#client.topics.create(topic, { partitions, retentionMs: 0 });
    const producer = this.#client.producer({ deliveryTimeoutMs: 5_000 });
    for (let i = 0; i < partitions * lanesEach; i++) {
      this.#lanes.push(
        this.#again('produce', async () => {
          const number = ++this.#number;
          const value = Buffer.alloc(recordBytes);
          value.writeUInt32BE(number, 0);
          const partition = i % partitions;
          const { offset } = await producer.send(topic, { value, partition });
          if (offset !== undefined) this.records.set(`${partition}:${offset}`, number);
        }),
      );
    }
    this.#lanes.push(
      this.#again('submit', async () => {
        this.runs.push((await this.#client.runs.submit('demo', { processor: 'echo', arguments: 'x' })).id);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }),
    );
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.#lanes);
    await this.#client.close();
  }

  async #again(what: string, act: () => Promise<void>): Promise<void> {
    while (!this.isOver) {
      try {
        await act();
      } catch (error) {
        this.refusals.set(what, error instanceof TaskdError ? `${error.codeName}: ${error.message}` : String(error));
      }
    }
  }
}

async function until(what: string, isSo: () => boolean, secondsMax = 120): Promise<void> {
  for (const endMs = Date.now() + secondsMax * 1_000; !isSo(); ) {
    if (Date.now() > endMs) throw new Error(`${what}: not within ${secondsMax} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  say(`${what}; ${Math.floor(free() / 2 ** 20)} MiB free`);
}

/** All records of the topic: `partition:offset` to number. */
async function readAll(listen: string): Promise<Map<string, number>> {
  const client = new TaskdClient({ servers: [listen] });
  const found = new Map<string, number>();
  let twice = '';
  await client.consumer({ topics: [topic], from: 'earliest', stopAtEnd: true }).run(({ partition, offset, value }) => {
    const key = `${partition}:${offset}`;
    if (found.has(key)) twice = key;
    found.set(key, Buffer.from(value ?? new Uint8Array(4)).readUInt32BE(0));
  });
  if (twice !== '') throw new Error(`${twice} was read twice`);
  await client.close();
  return found;
}

takeAllBut(diskMb * 2 ** 20 - otherBytes);
const argv = ['standalone', '--data', join(disk, 'data'), '--admin-port', '0', '--shards', '2', '--log-format', 'json'];
let server = await startTaskd([...argv, '--listen', '127.0.0.1:0']);
const { listen } = server;
const worker = new Program('w1', join(root, 'build', 'scripts', 'demo', 'worker.js'), [
  'w1',
  listen,
  folder,
  join(folder, 'starts'),
]);
const load = new Load(listen);
try {
  await worker.waitFor('it worked', (line) => line === 'working' || undefined);
  await load.start();
  await until('records are refused', () => load.refusals.has('produce'));
  say(`  ${load.refusals.get('produce')}`);
  const before = load.runs.length;
  await until('runs are taken all the same', () => load.runs.length > before + 50);
  await until('nothing is taken any more', () => {
    // The reserve that taskd gives up is taken as well.
    takeAllBut(0);
    return load.refusals.has('submit');
  });
  say(`  ${load.refusals.get('submit')}`);
  await server.program.stop('SIGKILL');
  server = await startTaskd([...argv, '--listen', listen]);
  const inBetween = await readAll(listen);
  say(`after kill -9 and a start on the full disk ${inBetween.size} records are read`);
  const [records, runs] = [load.records.size, load.runs.length];
  rmSync(join(disk, 'other'));
  await until('runs are taken again', () => load.runs.length > runs + 50);
  await until('records are taken again', () => load.records.size > records + 100);
  await load.stop();
  const found = await readAll(listen);
  const lost = [...load.records].filter(([key, number]) => found.get(key) !== number);
  const client = new TaskdClient({ servers: [listen] });
  const bad: string[] = [];
  for (const id of load.runs) if ((await client.runs.result(id, 60_000)).state !== 'SUCCEEDED') bad.push(id);
  await client.close();
  await worker.stop();
  await server.program.stop();
  say(
    `${load.records.size} records acknowledged, ${lost.length} lost; ${load.runs.length} runs, ${bad.length} not done`,
  );
  process.exitCode = lost.length + bad.length === 0 ? 0 : 1;
} finally {
  for (const program of [server.program, worker]) if (program.isRunning) program.process.kill('SIGKILL');
  await server.program.exited;
  execFileSync('umount', [disk]);
  rmSync(folder, { recursive: true, force: true });
}
