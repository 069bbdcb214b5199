/**
 * Appends to one log, or several, with fdatasync. `node build/scripts/bench/log.js [--json] [--dir DIR] [--seconds N]`
 *
 * `inFlight` batches are kept waiting for their sync; each is replaced when it is durable. Latency is from append to
 * the callback after the sync.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/logger.js';
import { BatchBuilder } from '../../src/batch/builder.js';
import { BatchClass } from '../../src/batch/header.js';
import { LogStore } from '../../src/log/log-store.js';
import type { PartitionLog } from '../../src/log/partition-log.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';

interface Case {
  readonly name: string;
  readonly recordsPerBatch: number;
  readonly inFlight: number;
  readonly partitions: number;
  readonly recordBytes: number;
}

interface Result extends Case {
  readonly recordsPerSecond: number;
  readonly batchesPerSecond: number;
  readonly syncsPerSecond: number;
  readonly megabytesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const cases: readonly Case[] = [
  { name: '200 x 100 B', recordsPerBatch: 200, inFlight: 32, partitions: 1, recordBytes: 100 },
  { name: '200 x 100 B, one in flight', recordsPerBatch: 200, inFlight: 1, partitions: 1, recordBytes: 100 },
  { name: '1 x 100 B', recordsPerBatch: 1, inFlight: 256, partitions: 1, recordBytes: 100 },
  { name: '1 x 100 B, one in flight', recordsPerBatch: 1, inFlight: 1, partitions: 1, recordBytes: 100 },
  { name: '1 x 100 B, 8 partitions', recordsPerBatch: 1, inFlight: 64, partitions: 8, recordBytes: 100 },
  { name: '64 x 1 KiB', recordsPerBatch: 64, inFlight: 32, partitions: 1, recordBytes: 1024 },
];

function makeBatch(records: number, recordBytes: number): Uint8Array {
  const builder = new BatchBuilder();
  for (let i = 0; i < records; i++) builder.append({ value: Buffer.alloc(recordBytes, i) });
  return builder.finish({ baseTimestamp: Date.now(), batchClass: BatchClass.CLIENT });
}

/** Keeps `each.inFlight` batches waiting in `log` until `untilMs`; calls `sample` with each batch's latency. */
function drive(log: PartitionLog, each: Case, untilMs: number, sample: (latencyMs: number) => void): Promise<number> {
  const batch = makeBatch(each.recordsPerBatch, each.recordBytes);
  const waiting: { end: number; sinceMs: number }[] = [];
  let syncs = 0;
  const fill = (): void => {
    while (waiting.length < each.inFlight) {
      const sinceMs = performance.now();
      log.append(batch);
      waiting.push({ end: log.logEnd, sinceMs });
    }
  };
  return new Promise((resolve, reject) => {
    log.onFailed = reject;
    log.onSynced = (syncedEnd) => {
      syncs++;
      const nowMs = performance.now();
      let done = 0;
      while (done < waiting.length && waiting[done]!.end <= syncedEnd) sample(nowMs - waiting[done++]!.sinceMs);
      waiting.splice(0, done);
      if (nowMs < untilMs) fill();
      else if (waiting.length === 0) resolve(syncs);
    };
    fill();
  });
}

async function run(each: Case, folder: string, seconds: number): Promise<Result> {
  const store = await LogStore.open(nodeRuntime(silentLogger), folder);
  const logs: PartitionLog[] = [];
  for (let i = 0; i < each.partitions; i++) {
    const log = await store.create(1, i);
    await log.raiseTerm();
    logs.push(log);
  }
  const latencies: number[] = [];
  const beganMs = performance.now();
  const untilMs = beganMs + seconds * 1000;
  const syncs = await Promise.all(logs.map((log) => drive(log, each, untilMs, (ms) => latencies.push(ms))));
  const took = (performance.now() - beganMs) / 1000;
  await store.close();
  latencies.sort((a, b) => a - b);
  const batches = latencies.length;
  return {
    ...each,
    recordsPerSecond: Math.round((batches * each.recordsPerBatch) / took),
    batchesPerSecond: Math.round(batches / took),
    syncsPerSecond: Math.round(syncs.reduce((sum, n) => sum + n, 0) / took),
    megabytesPerSecond: Math.round((batches * each.recordsPerBatch * each.recordBytes) / took / 1e6),
    p50Ms: latencies[Math.floor(batches * 0.5)] ?? 0,
    p99Ms: latencies[Math.floor(batches * 0.99)] ?? 0,
  };
}

const option = (name: string): string | undefined => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};
const seconds = Number(option('--seconds') ?? 2);
const results: Result[] = [];
for (const each of cases) {
  const folder = mkdtempSync(join(option('--dir') ?? tmpdir(), 'taskd-bench-log-'));
  try {
    results.push(await run(each, folder, seconds));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
if (process.argv.includes('--json')) console.log(JSON.stringify({ bench: 'log', results }));
else {
  for (const r of results) {
    const rate = `${r.recordsPerSecond} records/s, ${r.batchesPerSecond} batches/s, ${r.syncsPerSecond} syncs/s`;
    console.log(
      `${r.name}: ${rate}, ${r.megabytesPerSecond} MB/s, p50 ${r.p50Ms.toFixed(3)} ms, p99 ${r.p99Ms.toFixed(3)} ms`,
    );
  }
}
