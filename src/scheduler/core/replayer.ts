import { ErrorCode } from '../../base/errors.js';
import { nameLengthMax } from '../../base/limits.js';
import { BatchClass } from '../../batch/header.js';
import type { StoredRecord } from '../../batch/record.js';
import type { CommittedBatch } from '../../coordinator/task-log.js';
import { taskd } from '../../wire/generated/messages.js';
import { noBytes } from './hot-records.js';
import { JobMachine } from './job-machine.js';
import type { Job } from './job-table.js';
import { RunMachine } from './run-machine.js';
import type { ShardState } from './shard-state.js';

const { RecordType } = taskd;
const byClient = 1 << BatchClass.CLIENT;
const byWorker = 1 << BatchClass.WORKER;
const byOwner = 1 << BatchClass.OWNER;

/** Which classes of batches may hold a record type; a type that isn't here is void. */
const writers: Uint8Array = new Uint8Array(64);
for (const type of [
  RecordType.JOB_PUT,
  RecordType.JOB_PAUSE,
  RecordType.JOB_RESUME,
  RecordType.JOB_DELETE,
  RecordType.RUN_SUBMIT,
  RecordType.RUN_CANCEL,
  RecordType.RUN_REPLAY,
]) {
  writers[type] = byClient;
}
writers[RecordType.RUN_REPORT] = byWorker | byOwner;
writers[RecordType.WORKER_ALIVE] = byWorker;
for (const type of [
  RecordType.ACQUIRE,
  RecordType.RELEASE,
  RecordType.JOB_PLANNED,
  RecordType.JOB_REFUSED,
  RecordType.RUN_SCHEDULED,
  RecordType.FIRE_SKIPPED,
  RecordType.RUN_REFUSED,
  RecordType.RUN_LEASED,
  RecordType.LEASE_RETURNED,
  RecordType.LEASE_LOST,
  RecordType.ATTEMPT_TIMED_OUT,
]) {
  writers[type] = byOwner;
}

/** What the owner wants to know of a record beyond its verdict: filled by `apply`. */
export interface Applied {
  /** The run that an owner's decision of the current epoch names, or -1. */
  decidedRun: number;
  /** The job that such a decision names. */
  decidedJob: Job | undefined;
}

/**
 * Turns records into changes of the state: the only caller of the machines' mutators. Deterministic; reads the record,
 * its batch's class and append time. Bytes that are no such record are void, never an error.
 */
export class Replayer {
  readonly #state: ShardState;
  readonly runs: RunMachine;
  readonly #jobs: JobMachine;
  readonly applied: Applied = { decidedRun: -1, decidedJob: undefined };

  constructor(state: ShardState) {
    this.#state = state;
    this.runs = new RunMachine(state);
    this.#jobs = new JobMachine(state, this.runs);
  }

  /** True when the record counted. */
  apply(record: StoredRecord, batch: CommittedBatch): boolean {
    this.applied.decidedRun = -1;
    this.applied.decidedJob = undefined;
    let counted = false;
    if (((writers[record.type] ?? 0) & (1 << batch.batchClass)) === 0) {
      this.#state.forbiddenRecords++;
    } else {
      counted = this.#apply(record, batch.appendTimestampMs);
    }
    if (!counted) this.#state.voidRecords++;
    this.#state.nextOffset = record.offset + 1;
    return counted;
  }

  #apply(record: StoredRecord, appendMs: number): boolean {
    switch (record.type) {
      case RecordType.RUN_SUBMIT:
        return this.runs.submitted(record, appendMs);
      case RecordType.RUN_LEASED:
        return this.#leased(record, appendMs);
      case RecordType.RUN_REPORT:
        return this.runs.reported(record, appendMs);
      default:
        return this.#applyRare(record, record.value ?? noBytes, appendMs);
    }
  }

  #leased(record: StoredRecord, appendMs: number): boolean {
    const value = record.value ?? noBytes;
    const fields = this.runs.readLeased(value);
    if (fields === undefined || fields.epoch !== this.#state.ownership.epoch) return false;
    this.applied.decidedRun = fields.run;
    return this.runs.leased(value, fields, record.offset, appendMs);
  }

  #applyRare(record: StoredRecord, value: Uint8Array, appendMs: number): boolean {
    const { offset } = record;
    switch (record.type) {
      case RecordType.RUN_CANCEL: {
        const message = decode(taskd.RunCancel, value);
        return message !== undefined && this.runs.cancelled(message.run, offset, appendMs);
      }
      case RecordType.RUN_REPLAY: {
        const message = decode(taskd.RunReplay, value);
        return message !== undefined && this.runs.replayed(offset, message.run, appendMs);
      }
      case RecordType.JOB_PUT: {
        const put = decode(taskd.JobPut, value);
        if (put === undefined) return this.#malformed(offset);
        if (!isJobName(put.name)) return this.#misnamed(offset, put.name);
        // The batch must not stay in memory for as long as the job does.
        put.arguments = put.arguments.slice();
        return this.#jobs.proposed(put.appId, put.name, { offset, kind: 'put', put });
      }
      case RecordType.JOB_PAUSE:
      case RecordType.JOB_RESUME: {
        const kind = record.type === RecordType.JOB_PAUSE ? 'pause' : 'resume';
        const message = decode(taskd.JobPause, value);
        if (message === undefined) return this.#malformed(offset);
        if (!isJobName(message.name)) return this.#misnamed(offset, message.name);
        return this.#jobs.proposed(message.appId, message.name, { offset, kind, put: undefined });
      }
      case RecordType.JOB_DELETE: {
        const message = decode(taskd.JobDelete, value);
        if (message === undefined) return this.#malformed(offset);
        if (!isJobName(message.name)) return this.#misnamed(offset, message.name);
        return this.#jobs.deleted(message.appId, message.name, offset, appendMs);
      }
      case RecordType.WORKER_ALIVE:
        return true;
      case RecordType.ACQUIRE:
        return this.#acquired(decode(taskd.Acquire, value), offset);
      case RecordType.RELEASE:
        return this.#released(decode(taskd.Release, value), offset);
      case RecordType.JOB_PLANNED:
      case RecordType.JOB_REFUSED:
      case RecordType.RUN_SCHEDULED:
      case RecordType.FIRE_SKIPPED:
        return this.#decisionOnJob(record.type, value, offset, appendMs);
      default:
        return this.#decisionOnRun(record.type, value, offset, appendMs);
    }
  }

  #decisionOnRun(type: number, value: Uint8Array, offset: number, appendMs: number): boolean {
    if (type === RecordType.RUN_REFUSED) {
      const refused = decode(taskd.RunRefused, value);
      if (refused === undefined || !this.#isPresent(refused.epoch)) return false;
      this.applied.decidedRun = refused.run;
      return this.runs.refused(refused.run, offset, appendMs);
    }
    // The other three have the same fields under the same numbers.
    const message = decode(taskd.LeaseReturned, value);
    if (message === undefined || !this.#isPresent(message.epoch)) return false;
    const { run, token } = message;
    this.applied.decidedRun = run;
    if (type === RecordType.LEASE_RETURNED) return this.runs.returned(run, token, offset, appendMs);
    if (type === RecordType.LEASE_LOST) return this.runs.lost(run, token, offset, appendMs);
    return type === RecordType.ATTEMPT_TIMED_OUT && this.runs.timedOut(run, token);
  }

  #decisionOnJob(type: number, value: Uint8Array, offset: number, appendMs: number): boolean {
    if (type === RecordType.JOB_PLANNED || type === RecordType.JOB_REFUSED) {
      const isPlan = type === RecordType.JOB_PLANNED;
      const message = isPlan ? decode(taskd.JobPlanned, value) : decode(taskd.JobRefused, value);
      if (message === undefined || !this.#isPresent(message.epoch)) return false;
      this.applied.decidedJob = this.#state.jobs.find(message.appId, message.name);
      return isPlan ? this.#jobs.planned(message as taskd.JobPlanned) : this.#jobs.refused(message as taskd.JobRefused);
    }
    const isFire = type === RecordType.RUN_SCHEDULED;
    const message = isFire ? decode(taskd.RunScheduled, value) : decode(taskd.FireSkipped, value);
    if (message === undefined || !this.#isPresent(message.epoch)) return false;
    this.applied.decidedJob = this.#state.jobs.byGeneration(message.job);
    return isFire ? this.#jobs.scheduled(message, offset, appendMs) : this.#jobs.skipped(message);
  }

  /** The fence: a decision of an epoch that is over has no effect. */
  #isPresent(epoch: number): boolean {
    return epoch === this.#state.ownership.epoch;
  }

  /**
   * The lock. Who has replayed to the end asks for the generation after the current one, so a late one of a past owner
   * is below that, and one above it is nobody's: it would use the numbers up, and no owner could follow.
   */
  #acquired(message: taskd.Acquire | undefined, offset: number): boolean {
    const { ownership } = this.#state;
    if (message === undefined || message.generation !== ownership.generation + 1) return false;
    ownership.epoch = offset;
    ownership.generation = message.generation;
    ownership.owner = message.owner;
    ownership.host = message.address?.host ?? '';
    ownership.port = message.address?.port ?? 0;
    return true;
  }

  /** A clean hand-over: nobody owns the shard until the next Acquire. */
  #released(message: taskd.Release | undefined, offset: number): boolean {
    if (message === undefined || !this.#isPresent(message.epoch)) return false;
    Object.assign(this.#state.ownership, { epoch: offset, owner: '', host: '', port: 0 });
    return true;
  }

  /** Someone waits for the verdict even on a proposal that can't be read. */
  #malformed(offset: number): boolean {
    return this.#refused(offset, ErrorCode.MALFORMED, 'the record is malformed');
  }

  /** No job can have such a name, so nothing waits for the owner, whose refusal would have to repeat it. */
  #misnamed(offset: number, name: string): boolean {
    const message = `a job's name has 1 to ${nameLengthMax} characters, not ${name.length}`;
    return this.#refused(offset, ErrorCode.INVALID, message);
  }

  #refused(offset: number, code: ErrorCode, message: string): boolean {
    this.#state.verdicts.set(offset, { accepted: false, code, message });
    this.#state.observer.decided(offset);
    return false;
  }
}

const isJobName = (name: string): boolean => name !== '' && name.length <= nameLengthMax;

/** The message in `value`, or undefined when the bytes are none. */
function decode<T>(codec: { decode(value: Uint8Array): T }, value: Uint8Array): T | undefined {
  try {
    return codec.decode(value);
  } catch {
    return undefined;
  }
}
