/**
 * The load process of `npm run bench -- jobs` on taskd's side: one client and one worker in one process, as the peers'
 * load processes are. A closed loop keeps `concurrency` runs outstanding, from submit to the end of the processor.
 *   jobs-load.js SERVER CONCURRENCY SECONDS LIGHT_SECONDS
 * Prints one line of JSON: { runsPerSec, startP50ms, startP99ms, completed }.
 */
import { TaskdClient } from '../../src/client/client.js';
import { Worker } from '../../src/worker/worker.js';

const [server, ...numbers] = process.argv.slice(2);
const [concurrency, seconds, lightSeconds] = numbers.map(Number) as [number, number, number];

const app = 'bench';
let onEnd: (args: { at?: number }) => void = () => {};
const client = new TaskdClient({ servers: [server!] });
const worker = new Worker({
  servers: [server!],
  app,
  slots: concurrency,
  processors: { noop: async (args) => onEnd(args as { at?: number }) },
});
await worker.start();

const wait = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

/** Runs completed a second while `concurrency` of them are always outstanding; the first second only warms up. */
async function saturated(): Promise<{ rate: number; completed: number }> {
  let outstanding = 0;
  let completed = 0;
  let isOver = false;
  let failure: unknown;
  let over: () => void = () => {};
  const drained = new Promise<void>((resolve) => {
    over = resolve;
  });
  const submit = (): void => {
    outstanding++;
    client.runs.submit(app, { processor: 'noop', arguments: { n: 1 } }).catch((error: unknown) => {
      failure = error;
      over();
    });
  };
  onEnd = () => {
    completed++;
    outstanding--;
    if (!isOver) submit();
    else if (outstanding === 0) over();
  };
  for (let i = 0; i < concurrency; i++) submit();
  await wait(1_000);
  const from = performance.now();
  const before = completed;
  await wait(seconds * 1_000);
  const rate = ((completed - before) * 1_000) / (performance.now() - from);
  isOver = true;
  await drained;
  if (failure !== undefined) throw failure;
  return { rate, completed };
}

/** Milliseconds from submit to start at 200 runs a second, sent on schedule whatever happened to the ones before. */
async function light(): Promise<{ startP50ms: number; startP99ms: number }> {
  const lateness: number[] = [];
  onEnd = (args) => lateness.push(performance.now() - args.at!);
  const from = performance.now();
  const count = lightSeconds * 200;
  for (let i = 0; i < count; i++) {
    const ahead = from + i * 5 - performance.now();
    if (ahead > 0) await wait(ahead);
    void client.runs.submit(app, { processor: 'noop', arguments: { at: performance.now() } });
  }
  while (lateness.length < count) await wait(20);
  lateness.sort((a, b) => a - b);
  return { startP50ms: lateness[count >> 1]!, startP99ms: lateness[Math.floor(count * 0.99)]! };
}

const { rate, completed } = await saturated();
const latencies = await light();
process.stdout.write(`${JSON.stringify({ runsPerSec: rate, ...latencies, completed })}\n`);
await worker.drain();
await client.close();
process.exit(0);
