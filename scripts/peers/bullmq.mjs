/**
 * The load process of BullMQ for `npm run bench -- jobs --peer bullmq`: one queue and one worker in one process, as
 * the taskd side has one client and one worker in one. A closed loop keeps `concurrency` jobs outstanding.
 *   node bullmq.mjs REDIS_PORT CONCURRENCY SECONDS LIGHT_SECONDS
 * Prints one line of JSON: { runsPerSec, startP50ms, startP99ms }.
 */
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';

const [port, concurrency, seconds, lightSeconds] = process.argv.slice(2).map(Number);
const connect = () => new Redis({ host: '127.0.0.1', port, maxRetriesPerRequest: null });
const name = 'bench';
const options = { removeOnComplete: true, removeOnFail: true };

let onDone = () => {};
let onStart = () => {};
const queue = new Queue(name, { connection: connect() });
const worker = new Worker(
  name,
  async (job) => {
    onStart(job);
  },
  { connection: connect(), concurrency, autorun: true },
);
worker.on('completed', () => onDone());
await worker.waitUntilReady();
await queue.waitUntilReady();

/** Jobs completed a second while `concurrency` of them are always outstanding; the first second only warms up. */
async function saturated() {
  let outstanding = 0;
  let completed = 0;
  let failure;
  let isOver = false;
  let over;
  const drained = new Promise((resolve) => {
    over = resolve;
  });
  const submit = () => {
    outstanding++;
    queue.add('noop', { n: 1 }, options).catch((error) => {
      failure = error;
    });
  };
  onDone = () => {
    completed++;
    outstanding--;
    if (isOver) {
      if (outstanding === 0) over();
    } else submit();
  };
  for (let i = 0; i < concurrency; i++) submit();
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const from = performance.now();
  const before = completed;
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const rate = ((completed - before) * 1_000) / (performance.now() - from);
  isOver = true;
  await drained;
  if (failure) throw failure;
  return rate;
}

/** Milliseconds from submit to start at 200 jobs a second, sent on schedule whatever happened to the ones before. */
async function light() {
  const lateness = [];
  onDone = () => {};
  onStart = (job) => lateness.push(performance.now() - job.data.at);
  const from = performance.now();
  const count = lightSeconds * 200;
  for (let i = 0; i < count; i++) {
    const due = from + i * 5;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    void queue.add('noop', { at: performance.now() }, options);
  }
  while (lateness.length < count) await new Promise((resolve) => setTimeout(resolve, 20));
  lateness.sort((a, b) => a - b);
  return { startP50ms: lateness[count >> 1], startP99ms: lateness[Math.floor(count * 0.99)] };
}

const runsPerSec = await saturated();
const latencies = await light();
process.stdout.write(`${JSON.stringify({ runsPerSec, ...latencies })}\n`);
await worker.close();
await queue.close();
process.exit(0);
