/**
 * The load of `npm run soak`: submits `rate` runs a second for `seconds`, and runs them.
 *   soak-load.js SERVER RATE SECONDS
 * Prints a line each ten seconds, then one of JSON: { submitted, ran, rate }.
 */
import { TaskdClient } from '../src/client/client.js';
import { Worker } from '../src/worker/worker.js';

const [server, ...numbers] = process.argv.slice(2);
const [rate, seconds] = numbers.map(Number) as [number, number];
const tickMs = 10;
/** Submits that may be unacknowledged; with more, the machine does not give the rate and the load holds back. */
const outstandingMax = 20_000;

const client = new TaskdClient({ servers: [server!] });
let ran = 0;
const worker = new Worker({
  servers: [server!],
  app: 'soak',
  slots: 256,
  processors: {
    work: async () => {
      ran++;
    },
  },
});
await worker.start();

let submitted = 0;
let acknowledged = 0;
const from = performance.now();
const wait = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
let said = from;
for (;;) {
  const elapsed = performance.now() - from;
  if (elapsed >= seconds * 1_000) break;
  const wanted = Math.floor((elapsed * rate) / 1_000);
  while (submitted < wanted && submitted - acknowledged < outstandingMax && submitted - ran < outstandingMax) {
    submitted++;
    client.runs.submit('soak', { processor: 'work', arguments: { n: submitted } }).then(
      () => {
        acknowledged++;
      },
      (error: unknown) => {
        process.stderr.write(`${String(error)}\n`);
        process.exit(1);
      },
    );
  }
  if (performance.now() - said > 10_000) {
    said = performance.now();
    process.stdout.write(`${Math.round((ran * 1_000) / elapsed)} runs/s, ${submitted - ran} outstanding\n`);
  }
  await wait(tickMs);
}
const took = performance.now() - from;
while (ran < submitted) await wait(50);
process.stdout.write(`${JSON.stringify({ submitted, ran, rate: Math.round((ran * 1_000) / took) })}\n`);
await worker.drain();
await client.close();
process.exit(0);
