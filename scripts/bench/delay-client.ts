/** The client's process of the delay bench: stores delayed records, and reads the topic in which they arrive. */
import { performance } from 'node:perf_hooks';
import { silentLogger } from '../../src/base/logger.js';
import { headerBytes } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import { Fetcher } from '../../src/client/fetcher.js';
import { Producer } from '../../src/client/producer.js';
import { fixedBrokers, TopicDirectory } from '../../src/client/topic-directory.js';
import { Connections } from '../../src/rpc/connections.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { DelayedSends } from '../../test/support/delayed-sends.js';
import { Histogram } from './histogram.js';

export interface DelayFigures {
  readonly pacedRecordsPerSec: number;
  readonly deliveredLateP50Ms: number;
  readonly deliveredLateP99Ms: number;
  readonly receivedLateP50Ms: number;
  readonly receivedLateP99Ms: number;
  readonly floodStoredPerSec: number;
  readonly floodDeliveredPerSec: number;
}

interface Load {
  readonly port: number;
  readonly seconds: number;
  readonly rate: number;
  readonly delay: number;
  readonly batch: number;
  readonly inflight: number;
  readonly size: number;
  readonly partitions: number;
}

const load: Load = JSON.parse(process.argv[2]!);
const runtime = nodeRuntime(silentLogger);
const callers = new Connections(runtime, { clientId: 'bench', kind: 'client' });
const topics = new TopicDirectory(runtime, callers, fixedBrokers({ host: '127.0.0.1', port: load.port }));
const producer = new Producer(runtime, callers, topics);
const sends = new DelayedSends({ runtime, callers, topics });
const { topicId } = await topics.create('bench', load.partitions, true);

const deliveredLate = new Histogram();
const receivedLate = new Histogram();
let arrived = 0;
let expected = Number.POSITIVE_INFINITY;
let allArrived = (): void => {};
let isPaced = true;

function received(dueMs: number, appendMs: number): void {
  arrived++;
  if (isPaced) {
    deliveredLate.record((appendMs - dueMs) * 1_000);
    receivedLate.record((Date.now() - dueMs) * 1_000);
  }
  if (arrived >= expected) allArrived();
}

for (let partition = 0; partition < load.partitions; partition++) {
  new Fetcher(
    runtime,
    callers,
    topics,
    { topicId, partition, offset: 0 },
    {
      batch: ({ baseOffset, recordCount, appendTimestamp }, bytes) => {
        readRecords(bytes.subarray(headerBytes), baseOffset, recordCount, ({ value }) => {
          received(Buffer.from(value!.buffer, value!.byteOffset).readDoubleLE(0), appendTimestamp);
        });
      },
    },
  );
}

function payload(dueMs: number): Buffer {
  const value = Buffer.alloc(Math.max(8, load.size));
  value.writeDoubleLE(dueMs, 0);
  return value;
}

let nextPartition = 0;
async function send(dueMs: number): Promise<void> {
  nextPartition = (nextPartition + 1) % load.partitions;
  await sends.send(producer, topicId, nextPartition, { value: payload(dueMs) }, dueMs);
}

const elapse = (ms: number): Promise<void> => new Promise((resolve) => void runtime.clock.timer(ms, resolve));
const arrival = (count: number): Promise<void> =>
  new Promise((resolve) => {
    expected = count;
    allArrived = resolve;
    if (arrived >= count) resolve();
  });

// Levels are made when they are first needed, which is not what is measured.
await Promise.all([send(Date.now() + 10), send(Date.now() + load.delay)]);
await arrival(2);

const paced: Promise<void>[] = [];
const pacedStartMs = performance.now();
for (let sent = 0; ; ) {
  const passedMs = performance.now() - pacedStartMs;
  if (passedMs >= load.seconds * 1_000) break;
  for (; sent < (passedMs / 1_000) * load.rate; sent++) paced.push(send(Date.now() + load.delay));
  await elapse(1);
}
await Promise.all(paced);
await arrival(2 + paced.length);
const pacedRecordsPerSec = paced.length / load.seconds;

isPaced = false;
const floodStartMs = performance.now();
const floodDueMs = Date.now() + load.seconds * 1_000 + load.delay;
let flooded = 0;
async function flood(): Promise<void> {
  while (performance.now() - floodStartMs < load.seconds * 1_000) {
    const calls: Promise<void>[] = [];
    for (let i = 0; i < load.batch; i++) calls.push(send(floodDueMs + (i % 1_000)));
    await Promise.all(calls);
    flooded += load.batch;
  }
}
await Promise.all(Array.from({ length: load.inflight }, flood));
const floodStoredPerSec = flooded / ((performance.now() - floodStartMs) / 1_000);
await arrival(2 + paced.length + flooded);
const floodDeliveredPerSec = flooded / ((Date.now() - floodDueMs) / 1_000);

const ms = (histogram: Histogram, percent: number): number => histogram.percentile(percent) / 1_000;
const figures: DelayFigures = {
  pacedRecordsPerSec,
  deliveredLateP50Ms: ms(deliveredLate, 50),
  deliveredLateP99Ms: ms(deliveredLate, 99),
  receivedLateP50Ms: ms(receivedLate, 50),
  receivedLateP99Ms: ms(receivedLate, 99),
  floodStoredPerSec,
  floodDeliveredPerSec,
};
process.send!(figures, () => process.exit(0));
