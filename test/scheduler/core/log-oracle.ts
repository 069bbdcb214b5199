/**
 * What a shard's log says, told a second time and in the plainest way: the rules of leases, reports and epochs straight
 * from their definition, with no table, wheel or cache. The simulation judges by it, so that a rule which is missing in
 * the core isn't missing in the judge as well. Jobs are told only as far as runs need it: which fires made a run.
 */

import type { NewRecord } from '../../../src/batch/record.js';
import { taskd } from '../../../src/wire/generated/messages.js';

const { Outcome, RecordType } = taskd;
/** A run that lost more leases is dead. */
const lostMax = 5;

export type Phase = 'waiting' | 'leased' | 'cancelling' | 'succeeded' | 'cancelled' | 'dead' | 'refused';

export interface OracleRun {
  phase: Phase;
  /** Attempts that ended by a report. */
  attempts: number;
  lost: number;
  /** Of the present lease, or of the last one while it waits. */
  token: number;
  isTimedOut: boolean;
  isReplayed: boolean;
  readonly attemptsMax: number;
  readonly job: number | undefined;
}

export class LogOracle {
  readonly runs: Map<number, OracleRun> = new Map();
  /** Offset of the Acquire or Release in force. */
  epoch = -1;
  generation = 0;
  /** Runs that the latest record may have changed. */
  touched: number[] = [];
  readonly #attemptsMaxOf: (offset: number) => number;

  /** `attemptsMaxOf` tells the tries of a run that a job's fire made. */
  constructor(attemptsMaxOf: (offset: number) => number) {
    this.#attemptsMaxOf = attemptsMaxOf;
  }

  /** Whether the record counts. `isCounted` is believed for jobs' records of the present epoch only. */
  apply(record: NewRecord, offset: number, isCounted: boolean): boolean {
    const value = record.value ?? new Uint8Array(0);
    this.touched = [];
    switch (record.type) {
      case RecordType.RUN_SUBMIT:
        this.#create(offset, taskd.RunSubmit.decode(value).retry?.attemptsMax ?? 1, undefined);
        return true;
      case RecordType.RUN_REPLAY:
        return this.#replayed(taskd.RunReplay.decode(value).run, offset);
      case RecordType.RUN_CANCEL:
        return this.#cancelled(this.#touch(taskd.RunCancel.decode(value).run));
      case RecordType.RUN_REPORT:
        return this.#reported(taskd.RunReport.decode(value));
      case RecordType.ACQUIRE: {
        const { generation } = taskd.Acquire.decode(value);
        if (generation <= this.generation) return false;
        this.generation = generation;
        this.epoch = offset;
        return true;
      }
      case RecordType.RELEASE:
        if (taskd.Release.decode(value).epoch !== this.epoch) return false;
        this.epoch = offset;
        return true;
      case RecordType.RUN_LEASED:
        return this.#leased(taskd.RunLeased.decode(value), offset);
      case RecordType.LEASE_RETURNED:
      case RecordType.LEASE_LOST:
      case RecordType.ATTEMPT_TIMED_OUT:
        return this.#leaseEnds(record.type, taskd.LeaseLost.decode(value));
      case RecordType.JOB_PLANNED:
        return this.#ofJob(taskd.JobPlanned.decode(value).epoch, isCounted);
      case RecordType.JOB_REFUSED:
        return this.#ofJob(taskd.JobRefused.decode(value).epoch, isCounted);
      case RecordType.FIRE_SKIPPED:
        return this.#ofJob(taskd.FireSkipped.decode(value).epoch, isCounted);
      case RecordType.RUN_SCHEDULED: {
        const { epoch, job } = taskd.RunScheduled.decode(value);
        const counts = this.#ofJob(epoch, isCounted);
        if (counts) this.#create(offset, this.#attemptsMaxOf(offset), job);
        return counts;
      }
      case RecordType.JOB_DELETE:
        if (isCounted) this.#jobDeleted();
        return isCounted;
      default:
        return isCounted;
    }
  }

  /** Whether a decision on a run would count as the next record. */
  wouldCount(record: NewRecord, run: number): boolean {
    const present = this.runs.get(run);
    if (present === undefined) return false;
    const before = { ...present };
    const counts = this.apply(record, -1, false);
    Object.assign(present, before);
    return counts;
  }

  isFinal(run: OracleRun): boolean {
    return run.phase !== 'waiting' && run.phase !== 'leased' && run.phase !== 'cancelling';
  }

  #ofJob(epoch: number, isCounted: boolean): boolean {
    return epoch === this.epoch && isCounted;
  }

  #create(offset: number, attemptsMax: number, job: number | undefined): void {
    const run = { attempts: 0, lost: 0, token: -1, isTimedOut: false, isReplayed: false };
    this.runs.set(offset, { phase: 'waiting', attemptsMax, job, ...run });
    this.touched.push(offset);
  }

  #touch(id: number): OracleRun | undefined {
    this.touched.push(id);
    return this.runs.get(id);
  }

  #replayed(id: number, offset: number): boolean {
    const run = this.#touch(id);
    if (run?.phase !== 'dead' || run.isReplayed) return false;
    run.isReplayed = true;
    this.#create(offset, run.attemptsMax, run.job);
    return true;
  }

  #cancelled(run: OracleRun | undefined): boolean {
    if (run === undefined || this.isFinal(run)) return false;
    if (run.phase === 'cancelling' && !run.isTimedOut) return false;
    run.isTimedOut = false;
    run.phase = run.phase === 'waiting' ? 'cancelled' : 'cancelling';
    return true;
  }

  /** The simulation has one job at a time, so every waiting run of a job was its. */
  #jobDeleted(): void {
    for (const [id, run] of this.runs) {
      if (run.job === undefined || run.phase !== 'waiting') continue;
      run.phase = 'cancelled';
      this.touched.push(id);
    }
  }

  #leased(message: taskd.RunLeased, offset: number): boolean {
    const run = this.#touch(message.run);
    if (message.epoch !== this.epoch || run?.phase !== 'waiting') return false;
    if (message.attempt !== run.attempts + 1 || message.lost !== run.lost) return false;
    run.phase = 'leased';
    run.token = offset;
    return true;
  }

  #leaseEnds(type: number, { epoch, run: id, token }: taskd.LeaseLost): boolean {
    const run = this.#touch(id);
    if (run === undefined || epoch !== this.epoch || run.token !== token) return false;
    if (run.phase !== 'leased' && run.phase !== 'cancelling') return false;
    if (type === RecordType.ATTEMPT_TIMED_OUT) {
      if (run.phase === 'cancelling') return false;
      run.phase = 'cancelling';
      run.isTimedOut = true;
    } else if (type === RecordType.LEASE_LOST) {
      this.#lose(run);
    } else {
      run.phase = run.phase === 'cancelling' && !run.isTimedOut ? 'cancelled' : 'waiting';
      run.isTimedOut = false;
      run.token = -1;
    }
    return true;
  }

  #reported({ run: id, token, outcome, nonRetryable }: taskd.RunReport): boolean {
    const run = this.#touch(id);
    if (run === undefined || this.isFinal(run) || run.token !== token) return false;
    const isSuccess = outcome === Outcome.OUTCOME_SUCCEEDED;
    if (run.phase === 'waiting' && !isSuccess) return false;
    if (isSuccess) {
      run.attempts++;
      run.phase = 'succeeded';
    } else if (run.phase === 'cancelling' && !run.isTimedOut) {
      run.phase = 'cancelled';
    } else if (outcome === Outcome.OUTCOME_ABANDONED) {
      this.#lose(run);
    } else {
      this.#fail(run, nonRetryable);
    }
    return true;
  }

  #fail(run: OracleRun, isLast: boolean): void {
    run.attempts++;
    run.isTimedOut = false;
    run.phase = isLast || run.attempts >= run.attemptsMax ? 'dead' : 'waiting';
  }

  #lose(run: OracleRun): void {
    if (run.phase === 'cancelling' && !run.isTimedOut) {
      run.phase = 'cancelled';
    } else if (run.isTimedOut) {
      this.#fail(run, false);
    } else {
      run.lost++;
      run.phase = run.attemptsMax === 1 || run.lost > lostMax ? 'dead' : 'waiting';
    }
  }
}
