/**
 * `bench fetch --cold`: 50,000 records/s of 100 bytes are produced into one partition, alone and then beside a consumer
 * that reads `--gb N` (10) of another partition of which nothing is in the page cache any more. What matters is the
 * producer's 99th percentile, alone for `--seconds S` (5) before and as long after. Nothing begins before the system has
 * written back what it has of before. With `--zero-copy off` files are read and written.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchResult } from './bench.js';
import { LoadProcess } from './load-process.js';

interface Used {
  readonly cpuSec: number;
  readonly zeroCopyBytes: number;
  readonly coldReads: number;
  readonly loopP99ms: number;
}

interface Latencies {
  readonly batches: number;
  readonly p50us: number;
  readonly p99us: number;
  readonly p999us: number;
}

interface Measured {
  readonly alone: Latencies;
  readonly beside: Latencies;
}

export interface ColdOptions {
  readonly here: string;
  readonly folder: string;
  readonly seconds: number;
  readonly gigabytes: number;
  readonly bytesMax: number;
  readonly way: 'sending' | 'copying';
}

const recordsPerSec = 50_000;
const settleSeconds = 3;
const writebackKibMax = 64 * 1024;
const writebackSecondsMax = 30;

/** Lets the system forget what it has of the segments; dd asks for it when it opens them (GNU). */
function forget(folder: string, topicId: number): number {
  const topic = join(folder, 'data', String(topicId));
  let files = 0;
  for (const partition of readdirSync(topic)) {
    for (const name of readdirSync(join(topic, partition))) {
      if (!name.endsWith('.log')) continue;
      execFileSync('dd', [`if=${join(topic, partition, name)}`, 'iflag=nocache', 'count=0', 'status=none']);
      files++;
    }
  }
  return files;
}

/** Waits until the system has little left to write back: what was prepared shall not be measured. */
async function settle(): Promise<void> {
  execFileSync('sync');
  for (let seconds = 0; seconds < writebackSecondsMax; seconds++) {
    const kib = [...readFileSync('/proc/meminfo', 'utf8').matchAll(/^(?:Dirty|Writeback): +(\d+) kB/gm)];
    if (kib.reduce((sum, [, each]) => sum + Number(each), 0) <= writebackKibMax) return;
    await sleep(1);
  }
}

const sleep = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1_000));

export async function runCold(
  broker: LoadProcess,
  serving: {
    readonly topicId: number;
    readonly liveTopicId: number;
    readonly sendingPort: number;
    readonly copyingPort: number;
  },
  { here, folder, seconds, gigabytes, bytesMax, way }: ColdOptions,
): Promise<BenchResult> {
  await settle();
  await broker.ask<Used>(way);
  const port = way === 'sending' ? serving.sendingPort : serving.copyingPort;
  const load = [port, serving.liveTopicId, recordsPerSec].map(String);
  const producer = new LoadProcess(join(here, 'cold-producer.js'), load);
  await producer.message();
  const reader = new LoadProcess(join(here, 'cold-reader.js'), [port, serving.topicId, bytesMax].map(String));
  await reader.message();
  await sleep(settleSeconds);
  await broker.ask<Used>(way);
  await producer.ask<Measured>('alone');
  await sleep(seconds);
  await producer.ask<Measured>('neither');
  const loopAlone = await broker.ask<Used>(way);
  forget(folder, serving.topicId);
  await sleep(settleSeconds);
  const before = await broker.ask<Used>(way);
  await producer.ask<Measured>('beside');
  const read = await reader.ask<{ bytes: number; seconds: number }>('begin');
  await producer.ask<Measured>('neither');
  const after = await broker.ask<Used>(way);
  await sleep(settleSeconds);
  await producer.ask<Measured>('alone');
  await sleep(seconds);
  const { alone, beside } = await producer.ask<Measured>('neither');
  producer.stop();
  const metrics = {
    aloneP50ms: alone.p50us / 1e3,
    aloneP99ms: alone.p99us / 1e3,
    besideP50ms: beside.p50us / 1e3,
    besideP99ms: beside.p99us / 1e3,
    besideP999ms: beside.p999us / 1e3,
    ratio: beside.p99us / alone.p99us,
    readMbPerSec: read.bytes / 1e6 / read.seconds,
    readSeconds: read.seconds,
    producedBesidePerSec: (beside.batches * 50) / read.seconds,
    zeroCopyShare: (after.zeroCopyBytes - before.zeroCopyBytes) / read.bytes,
    loopAloneP99ms: loopAlone.loopP99ms,
    loopBesideP99ms: after.loopP99ms,
    cpuSecPerSec: (after.cpuSec - before.cpuSec) / read.seconds,
    coldReads: after.coldReads - before.coldReads,
  };
  return { name: 'fetch --cold', metrics, config: { gigabytes, recordsPerSec, recordBytes: 100, bytesMax, way } };
}
