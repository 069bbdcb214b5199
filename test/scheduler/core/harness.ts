import { ErrorCode, TaskdError } from '../../../src/base/errors.js';
import { BatchClass } from '../../../src/batch/header.js';
import type { NewRecord, StoredRecord } from '../../../src/batch/record.js';
import type { CommittedBatch } from '../../../src/coordinator/task-log.js';
import type { DispatchEffect, Effect } from '../../../src/scheduler/core/effects.js';
import type { Planner } from '../../../src/scheduler/core/job-planner.js';
import type { SessionInfo } from '../../../src/scheduler/core/session.js';
import { ShardCore, type ShardCoreOptions } from '../../../src/scheduler/core/shard-core.js';
import { taskd } from '../../../src/wire/generated/messages.js';

const { RecordType } = taskd;
export const RunState: typeof taskd.RunState = taskd.RunState;
export const Outcome: typeof taskd.Outcome = taskd.Outcome;
export const appId = 7;

/** `every N`: multiples of N ms; anything else is refused. */
export const everyPlanner: Planner = (cron) => {
  const every = Number(/^every (\d+)$/.exec(cron)?.[1]);
  if (!(every > 0)) throw new TaskdError(ErrorCode.INVALID, `${cron} is no cron expression`);
  return { next: (afterMs) => (Math.floor(afterMs / every) + 1) * every };
};

export function stored(record: NewRecord, offset: number): StoredRecord {
  return {
    offset,
    key: undefined,
    value: record.value,
    headers: [],
    timestampDelta: 0,
    type: record.type ?? 0,
    deliverAtMs: 0,
    targetTopicId: 0,
    targetPartition: 0,
    origin: 0,
  };
}

export const encode = {
  submit: (fields: taskd.IRunSubmit): NewRecord => ({
    type: RecordType.RUN_SUBMIT,
    value: taskd.RunSubmit.encode({ appId, processor: 'p', ...fields }).finish(),
  }),
  put: (fields: taskd.IJobPut): NewRecord => ({
    type: RecordType.JOB_PUT,
    value: taskd.JobPut.encode({ appId, name: 'j', processor: 'p', ...fields }).finish(),
  }),
  pause: (name = 'j'): NewRecord => ({
    type: RecordType.JOB_PAUSE,
    value: taskd.JobPause.encode({ appId, name }).finish(),
  }),
  resume: (name = 'j'): NewRecord => ({
    type: RecordType.JOB_RESUME,
    value: taskd.JobResume.encode({ appId, name }).finish(),
  }),
  remove: (name = 'j'): NewRecord => ({
    type: RecordType.JOB_DELETE,
    value: taskd.JobDelete.encode({ appId, name }).finish(),
  }),
  cancel: (run: number): NewRecord => ({
    type: RecordType.RUN_CANCEL,
    value: taskd.RunCancel.encode({ run }).finish(),
  }),
  replay: (run: number): NewRecord => ({
    type: RecordType.RUN_REPLAY,
    value: taskd.RunReplay.encode({ run }).finish(),
  }),
  report: (fields: taskd.IRunReport): NewRecord => ({
    type: RecordType.RUN_REPORT,
    value: taskd.RunReport.encode(fields).finish(),
  }),
  alive: (workerId: string, incarnation: number, running: number[]): NewRecord => ({
    type: RecordType.WORKER_ALIVE,
    value: taskd.WorkerAlive.encode({ workerId, incarnation, running }).finish(),
  }),
};

/** A core with a log of its own that commits at once, and a clock that moves by hand. */
export class Harness {
  readonly core: ShardCore;
  readonly log: CommittedBatch[] = [];
  readonly effects: Effect[] = [];
  nowMs = 1_000_000;
  nextOffset = 1;
  #nonce = 0;
  #sessions = 0;

  constructor(options: Partial<ShardCoreOptions> = {}) {
    this.core = new ShardCore(this.nowMs, { planner: everyPlanner, ...options });
  }

  /** Commits records and replays them; returns the offset of the first. */
  append(records: readonly NewRecord[], batchClass: BatchClass): number {
    const baseOffset = this.nextOffset;
    if (records.length === 0) return baseOffset;
    this.nextOffset += records.length;
    const batch: CommittedBatch = {
      baseOffset,
      appendTimestampMs: this.nowMs,
      batchClass,
      records: records.map((record, i) => stored(record, baseOffset + i)),
    };
    this.log.push(batch);
    this.core.replay(batch, this.nowMs);
    this.drain();
    return baseOffset;
  }

  client(record: NewRecord): number {
    const offset = this.append([record], BatchClass.CLIENT);
    this.settle();
    return offset;
  }

  acquire(owner = 'me'): void {
    this.#nonce++;
    this.append([this.core.acquire(owner, 'host', 1, Uint8Array.of(this.#nonce))], BatchClass.OWNER);
  }

  /** Decides and appends until nothing more is to do. */
  settle(): void {
    for (let i = 0; i < 1_000; i++) {
      const records = this.core.decide(this.nowMs, this.nowMs);
      this.drain();
      if (records.length === 0 && this.core.nextWakeMs(this.nowMs, this.nowMs) !== 0) return;
      this.append(records, BatchClass.OWNER);
    }
    throw new Error('never settles');
  }

  /** Moves the clock in steps, with pings of all sessions answered. */
  pass(ms: number, pinging: readonly number[] = []): void {
    const end = this.nowMs + ms;
    while (this.nowMs < end) {
      const wake = this.core.nextWakeMs(this.nowMs, this.nowMs) ?? end;
      this.nowMs = Math.min(end, this.nowMs + Math.max(1, Math.min(wake, 1_000)));
      for (const sessionId of pinging) this.core.ping(sessionId, this.nowMs, this.nowMs);
      this.look();
    }
  }

  look(): void {
    this.core.caughtUp(this.nextOffset, this.nowMs, this.nowMs);
    this.drain();
    this.settle();
  }

  drain(): void {
    this.core.drain((effect) => this.effects.push(effect));
  }

  /** A worker that is ready for leases. */
  worker(workerId = 'w', fields: Partial<SessionInfo> = {}, running: readonly number[] = []): number {
    const sessionId = ++this.#sessions;
    const session = {
      sessionId,
      appId,
      workerId,
      incarnation: 1,
      processors: ['p'],
      capacity: 4,
      weight: 100,
      ...fields,
    };
    this.core.attach(session);
    this.core.claim(
      sessionId,
      { incarnation: session.incarnation, running, unreported: [], acknowledgedOffset: undefined },
      this.nowMs,
    );
    this.core.ping(sessionId, this.nowMs, this.nowMs);
    this.look();
    return sessionId;
  }

  report(sessionId: number, fields: taskd.IRunReport): void {
    this.append(this.core.report(sessionId, [fields]), BatchClass.OWNER);
    this.settle();
  }

  /** Takes the effects of a kind out. */
  take<K extends Effect['kind']>(kind: K): Extract<Effect, { kind: K }>[] {
    const found = this.effects.filter((effect) => effect.kind === kind) as Extract<Effect, { kind: K }>[];
    for (const effect of found) this.effects.splice(this.effects.indexOf(effect), 1);
    return found;
  }

  dispatch(): DispatchEffect {
    const [dispatch, ...more] = this.take('dispatch');
    if (dispatch === undefined || more.length > 0) throw new Error(`${more.length + 1} dispatches`);
    return dispatch;
  }

  state(run: number): taskd.RunState | undefined {
    return this.core.run(run)?.state;
  }

  /** A core that has replayed the same log from its start. */
  replica(options: Partial<ShardCoreOptions> = {}): ShardCore {
    const core = new ShardCore(this.nowMs, { planner: everyPlanner, ...options });
    for (const batch of this.log) core.replay(batch, this.nowMs);
    return core;
  }
}
