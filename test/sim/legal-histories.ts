/**
 * Checker: *each run's history is a legal path.* It reads the shards' logs by itself, by the rules of the record types
 * as written in scheduler-records.proto and none of the scheduler's code, and compares: what the scheduler tells of a
 * run that is over, and the leases under which processors were called.
 */
import { BatchClass } from '../../src/batch/header.js';
import type { StoredRecord } from '../../src/batch/record.js';
import type { Run } from '../../src/client/run.js';
import type { CommittedBatch } from '../../src/coordinator/task-log.js';
import { taskd } from '../../src/wire/generated/messages.js';

const { Outcome, RecordType } = taskd;
const attemptsDefault = 14;
const lostMax = 5;

type State = 'WAITING' | 'RUNNING' | 'CANCELLING' | 'STOPPING' | 'SUCCEEDED' | 'CANCELLED' | 'DEAD';

/** CANCELLING: a caller wants it. STOPPING: its time is over. */
interface History {
  state: State;
  lease: number;
  attempts: number;
  lost: number;
  isReplayed: boolean;
  readonly attemptsMax: number;
}

const over: ReadonlySet<State> = new Set<State>(['SUCCEEDED', 'CANCELLED', 'DEAD']);
const leased: ReadonlySet<State> = new Set<State>(['RUNNING', 'CANCELLING', 'STOPPING']);

export class LegalHistories {
  readonly #shards = new Map<number, ShardHistory>();
  readonly #fail: (error: Error) => void;

  constructor(fail: (error: Error) => void) {
    this.#fail = fail;
  }

  /** Batches of a shard come in order, from the log's beginning. */
  apply(shard: number, batch: CommittedBatch): void {
    const history = this.#shards.get(shard) ?? new ShardHistory();
    this.#shards.set(shard, history);
    for (const record of batch.records) history.apply(record, batch.batchClass);
  }

  /** Ids of submitted and replayed runs that are over by the log. */
  over(): string[] {
    const ids: string[] = [];
    for (const [shard, { runs }] of this.#shards) {
      for (const [run, { state }] of runs) if (over.has(state)) ids.push(`${shard}:${run}`);
    }
    return ids;
  }

  /** What the scheduler tells of a run that is over by the log. */
  checkEnd(run: Run): void {
    const expected = this.#find(run.id);
    if (expected === undefined) return;
    const { state, attempts, lost } = expected;
    if (run.state !== state || run.attempt !== attempts || run.lost !== lost) {
      const told = `${run.state}, attempt ${run.attempt}, lost ${run.lost}`;
      this.#fail(new Error(`run ${run.id} is told as ${told}; by the log ${state}, attempt ${attempts}, lost ${lost}`));
    }
  }

  /** A processor was called under this lease, some time before the log was read. */
  checkStart(id: string, leaseToken: number): void {
    const [shard, run] = id.split(':').map(Number);
    const leasedRun = this.#shards.get(shard!)?.leases.get(leaseToken);
    if (leasedRun !== run)
      this.#fail(new Error(`run ${id} was started under lease ${leaseToken}, which the log lacks`));
  }

  #find(id: string): History | undefined {
    const [shard, run] = id.split(':').map(Number);
    return this.#shards.get(shard!)?.runs.get(run!);
  }
}

class ShardHistory {
  readonly runs = new Map<number, History>();
  /** Every lease that counted: its offset and the run. */
  readonly leases = new Map<number, number>();
  readonly #jobRuns = new Set<number>();
  #epoch = -1;
  #generation = 0;

  apply(record: StoredRecord, writer: BatchClass): void {
    const value = record.value ?? new Uint8Array(0);
    if (writer === BatchClass.CLIENT) this.#byClient(record, value);
    else if (record.type === RecordType.RUN_REPORT) this.#report(taskd.RunReport.decode(value));
    else if (writer === BatchClass.OWNER) this.#byOwner(record, value);
  }

  #byClient({ type, offset }: StoredRecord, value: Uint8Array): void {
    if (type === RecordType.RUN_SUBMIT) {
      const { retry } = taskd.RunSubmit.decode(value);
      this.#create(offset, retry?.attemptsMax || attemptsDefault);
    } else if (type === RecordType.RUN_REPLAY) {
      const dead = this.runs.get(taskd.RunReplay.decode(value).run);
      if (dead?.state !== 'DEAD' || dead.isReplayed) return;
      dead.isReplayed = true;
      this.#create(offset, dead.attemptsMax);
    } else if (type === RecordType.RUN_CANCEL) {
      const run = this.runs.get(taskd.RunCancel.decode(value).run);
      if (run?.state === 'WAITING') run.state = 'CANCELLED';
      else if (run?.state === 'RUNNING' || run?.state === 'STOPPING') run.state = 'CANCELLING';
    }
  }

  #create(id: number, attemptsMax: number): void {
    this.runs.set(id, { state: 'WAITING', lease: -1, attempts: 0, lost: 0, isReplayed: false, attemptsMax });
  }

  #byOwner({ type, offset }: StoredRecord, value: Uint8Array): void {
    if (type === RecordType.ACQUIRE) {
      const { generation } = taskd.Acquire.decode(value);
      if (generation <= this.#generation) return;
      this.#generation = generation;
      this.#epoch = offset;
    } else if (type === RecordType.RELEASE) {
      if (taskd.Release.decode(value).epoch === this.#epoch) this.#epoch = offset;
    } else if (type === RecordType.RUN_SCHEDULED) {
      this.#jobRuns.add(offset);
    } else if (type === RecordType.RUN_LEASED) {
      this.#lease(offset, taskd.RunLeased.decode(value));
    } else if (
      type === RecordType.LEASE_RETURNED ||
      type === RecordType.LEASE_LOST ||
      type === RecordType.ATTEMPT_TIMED_OUT
    ) {
      this.#onLease(type, taskd.LeaseLost.decode(value));
    }
  }

  #lease(offset: number, { epoch, run: id, attempt, lost }: taskd.RunLeased): void {
    if (epoch !== this.#epoch) return;
    const run = this.runs.get(id);
    if (run === undefined) {
      // The runs of jobs are followed no further.
      if (this.#jobRuns.has(id)) this.leases.set(offset, id);
      return;
    }
    if (run.state !== 'WAITING' || run.attempts + 1 !== attempt || run.lost !== lost) return;
    run.state = 'RUNNING';
    run.lease = offset;
    this.leases.set(offset, id);
  }

  #onLease(type: number, { epoch, run: id, token }: taskd.LeaseLost): void {
    const run = this.runs.get(id);
    if (run === undefined || epoch !== this.#epoch || run.lease !== token || !leased.has(run.state)) return;
    if (type === RecordType.ATTEMPT_TIMED_OUT) {
      if (run.state === 'RUNNING') run.state = 'STOPPING';
    } else if (type === RecordType.LEASE_LOST) {
      lose(run);
    } else {
      run.state = run.state === 'CANCELLING' ? 'CANCELLED' : 'WAITING';
      run.lease = -1;
    }
  }

  #report({ run: id, token, outcome, nonRetryable }: taskd.RunReport): void {
    const run = this.runs.get(id);
    if (run === undefined || run.lease !== token || over.has(run.state)) return;
    if (outcome === Outcome.OUTCOME_SUCCEEDED) {
      run.attempts++;
      run.state = 'SUCCEEDED';
    } else if (run.state === 'WAITING') {
      // The lease was lost before; only a success still counts.
    } else if (run.state === 'CANCELLING') {
      run.state = 'CANCELLED';
    } else if (outcome === Outcome.OUTCOME_ABANDONED) {
      lose(run);
    } else {
      fail(run, nonRetryable);
    }
  }
}

function lose(run: History): void {
  if (run.state === 'CANCELLING') run.state = 'CANCELLED';
  else if (run.state === 'STOPPING') fail(run, false);
  else {
    run.lost++;
    run.state = run.attemptsMax === 1 || run.lost > lostMax ? 'DEAD' : 'WAITING';
  }
}

function fail(run: History, isFinal: boolean): void {
  run.attempts++;
  run.state = isFinal || run.attempts >= run.attemptsMax ? 'DEAD' : 'WAITING';
}
