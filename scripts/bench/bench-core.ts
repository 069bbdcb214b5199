/**
 * The scheduler's core alone, in this process, without log, disk or network: `--runs N` (1,000,000), `--workers N` (8),
 * `--credit N` (4,096), `--bytes B` of arguments (64).
 *
 * `runUs` is all that one run costs the core: replay of its three records, the decision, the report, the effects.
 * `replayPerSec`: records of the same log, read by a core that doesn't own the shard. `bytesPerPendingRun`: of runs that
 * wait for their time, with columns, index and wheel. Times are the process's own CPU time, garbage collection included,
 * so that neighbours on the machine don't count.
 */
import { BatchClass } from '../../src/batch/header.js';
import type { NewRecord, StoredRecord } from '../../src/batch/record.js';
import type { CommittedBatch } from '../../src/coordinator/task-log.js';
import { ShardCore } from '../../src/scheduler/core/shard-core.js';
import { planCron } from '../../src/timer/cron-plan.js';
import { taskd } from '../../src/wire/generated/messages.js';
import type { BenchArguments, BenchResult } from './bench.js';

const appId = 1;
const batchRecords = 500;
const epochMs = 1_700_000_000_000;

/** CPU time of this process so far, milliseconds. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** Commits what it is given at once, and keeps it. */
class Log {
  readonly batches: CommittedBatch[] = [];
  nextOffset = 0;

  commit(records: readonly NewRecord[], batchClass: BatchClass): CommittedBatch {
    const baseOffset = this.nextOffset;
    const stored: StoredRecord[] = records.map((record, i) => ({
      offset: baseOffset + i,
      key: undefined,
      value: record.value,
      headers: [],
      timestampDelta: 0,
      type: record.type ?? 0,
      deliverAtMs: 0,
      targetTopicId: 0,
      targetPartition: 0,
      origin: 0,
    }));
    this.nextOffset += records.length;
    const batch = { baseOffset, appendTimestampMs: epochMs, batchClass, records: stored };
    this.batches.push(batch);
    return batch;
  }
}

function submits(log: Log, runs: number, bytes: number, delayMs: number): CommittedBatch[] {
  const batches: CommittedBatch[] = [];
  const fields = { appId, processor: 'resize', arguments: new Uint8Array(bytes) };
  for (let made = 0; made < runs; made += batchRecords) {
    const records: NewRecord[] = [];
    for (let i = 0; i < Math.min(batchRecords, runs - made); i++) {
      const due = delayMs === 0 ? {} : { delayMs: delayMs + made + i };
      const value = taskd.RunSubmit.encode({ ...fields, ...due }).finish();
      records.push({ type: taskd.RecordType.RUN_SUBMIT, value });
    }
    batches.push(log.commit(records, BatchClass.CLIENT));
  }
  return batches;
}

function owner(log: Log, workers: number, credit: number): ShardCore {
  const core = new ShardCore(epochMs, { planner: planCron });
  core.replay(log.commit([core.acquire('bench', 'localhost', 1, Uint8Array.of(1))], BatchClass.OWNER), 0);
  const claim = { incarnation: 1, running: [], unreported: [], acknowledgedOffset: undefined };
  for (let i = 1; i <= workers; i++) {
    const processors = ['resize'];
    core.attach({ sessionId: i, appId, workerId: `w${i}`, incarnation: 1, processors, capacity: credit, weight: 0 });
    core.claim(i, claim, 0);
    core.ping(i, 0, 0);
  }
  core.caughtUp(log.nextOffset, 0, 0);
  core.drain(() => {});
  return core;
}

interface Reports {
  readonly sessionId: number;
  readonly reports: taskd.IRunReport[];
}

/** Takes `batches` of submits to their end; milliseconds of the core by step. */
function whole(log: Log, core: ShardCore, batches: readonly CommittedBatch[]): Record<string, number> {
  const ms = { submit: 0, decide: 0, lease: 0, report: 0, end: 0 };
  let waiting = new Map<number, Reports>();
  const timed = (step: keyof typeof ms, work: () => void): void => {
    const start = cpuMs();
    work();
    ms[step] += cpuMs() - start;
  };
  const drain = (): void =>
    core.drain((effect) => {
      if (effect.kind !== 'dispatch') return;
      let to = waiting.get(effect.sessionId);
      if (to === undefined) waiting.set(effect.sessionId, (to = { sessionId: effect.sessionId, reports: [] }));
      to.reports.push({ run: effect.run, token: effect.token, outcome: taskd.Outcome.OUTCOME_SUCCEEDED });
    });
  for (const batch of batches) {
    timed('submit', () => core.replay(batch, 0));
    let records: NewRecord[] = [];
    timed('decide', () => {
      records = core.decide(epochMs, 0);
    });
    const leases = log.commit(records, BatchClass.OWNER);
    timed('lease', () => {
      core.replay(leases, 0);
      drain();
    });
    const reported = waiting;
    waiting = new Map<number, Reports>();
    const reports: NewRecord[] = [];
    timed('report', () => {
      for (const { sessionId, reports: all } of reported.values()) reports.push(...core.report(sessionId, all));
    });
    const ends = log.commit(reports, BatchClass.OWNER);
    timed('end', () => {
      core.replay(ends, 0);
      drain();
    });
  }
  return ms;
}

export function run(args: BenchArguments): Promise<BenchResult> {
  const runs = Number(args['runs'] ?? 1_000_000);
  const workers = Number(args['workers'] ?? 8);
  const credit = Number(args['credit'] ?? 4_096);
  const bytes = Number(args['bytes'] ?? 64);

  const warm = new Log();
  whole(warm, owner(warm, workers, credit), submits(warm, 50_000, bytes, 0));

  const log = new Log();
  const core = owner(log, workers, credit);
  const ms = whole(log, core, submits(log, runs, bytes, 0));
  const succeeded = core.stats(appId).succeededTotal;

  const replica = new ShardCore(epochMs, { planner: planCron });
  let start = cpuMs();
  for (const batch of log.batches) replica.replay(batch, 0);
  const replayMs = cpuMs() - start;
  const records = log.nextOffset;
  log.batches.length = 0;

  const later = new Log();
  const delayed = submits(later, runs, bytes, 3_600_000);
  const pending = new ShardCore(epochMs, { planner: planCron, argumentsBytesMax: 1 });
  start = cpuMs();
  for (const batch of delayed) pending.replay(batch, 0);
  const pendingMs = cpuMs() - start;
  const perRun = (value: number): number => (value / runs) * 1_000;
  return Promise.resolve({
    name: 'core',
    metrics: {
      succeeded,
      runUs: perRun(Object.values(ms).reduce((a, b) => a + b, 0)),
      submitUs: perRun(ms['submit']!),
      decideUs: perRun(ms['decide']!),
      leaseUs: perRun(ms['lease']!),
      reportUs: perRun(ms['report']!),
      endUs: perRun(ms['end']!),
      replayPerSec: (records / replayMs) * 1_000,
      delayedSubmitUs: perRun(pendingMs),
      bytesPerPendingRun: pending.runBytes / runs,
    },
    config: { runs, workers, credit, bytes },
  });
}
