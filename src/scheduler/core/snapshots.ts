import type { taskd } from '../../wire/generated/messages.js';

/** A run as a question is answered: plain values, a copy. */
export interface RunSnapshot {
  readonly run: number;
  readonly appId: number;
  /** The job's name, or empty. */
  readonly job: string;
  readonly processor: string;
  readonly state: taskd.RunState;
  /** The number of the try that runs or ran last; 0 before the first. */
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly lost: number;
  readonly dueMs: number;
  readonly createdMs: number;
  /** When the last lease was given; 0 before. */
  readonly startedMs: number;
  /** 0 until it is final. */
  readonly endedMs: number;
  readonly workerId: string;
  /** Of the lease it has now, or -1. */
  readonly token: number;
  readonly priority: number;
  /** True when it was made by a RunReplay record; that record, at offset `run`, names the replayed run. */
  readonly isReplay: boolean;
  /** The record that holds its arguments: see `argumentsOf`. */
  readonly argumentsAt: number;
  /** The record that ended its last attempt (RunReport, LeaseLost, RunRefused …), or -1; result and error stand in it. */
  readonly causeAt: number;
  /** What it waits for, in words; empty when it waits for nothing. */
  readonly waitsFor: string;
}

export interface JobSnapshot {
  readonly appId: number;
  readonly name: string;
  /** The offset of the JobPut that created it. */
  readonly generation: number;
  /** The offset of the JobPut in force. */
  readonly version: number;
  readonly processor: string;
  readonly arguments: Uint8Array;
  readonly cron: string;
  readonly zone: string;
  readonly attemptsMax: number;
  readonly delaysMs: readonly number[];
  readonly timeoutMs: number;
  readonly priority: number;
  readonly paused: boolean;
  readonly nextFireMs: number | undefined;
  readonly fires: number;
  /** Fires that made no run: overlap, or merged into a later one after a stop. */
  readonly skipped: number;
  /** Why the latest refused proposal was refused, if that is newer than `version`. */
  readonly refusal: string;
  readonly refusedVersion: number | undefined;
}

/** What became of a JobPut, JobPause, JobResume or JobDelete. */
export interface Verdict {
  readonly accepted: boolean;
  /** An `ErrorCode` when refused. */
  readonly code: number;
  readonly message: string;
}

export interface RunFilter {
  readonly appId: number;
  /** Empty: all. */
  readonly states: readonly taskd.RunState[];
  /** A job's name; empty: all runs. */
  readonly job: string;
  /** Only runs with a lower id. */
  readonly before: number | undefined;
  readonly max: number;
}

export interface RunPage {
  readonly runs: RunSnapshot[];
  /** `before` of the next page; undefined when there is none. Set also for a page on which nothing matched. */
  readonly nextBefore: number | undefined;
}

export interface WorkerSnapshot {
  readonly workerId: string;
  readonly incarnation: number;
  readonly sessionId: number;
  readonly capacity: number;
  readonly leases: number;
  readonly processors: readonly string[];
}

export interface AppSnapshot {
  readonly scheduled: number;
  readonly ready: number;
  readonly running: number;
  readonly retryWait: number;
  readonly dead: number;
  readonly submittedTotal: number;
  readonly succeededTotal: number;
  readonly failedAttemptsTotal: number;
  readonly lostTotal: number;
  readonly cancelledTotal: number;
  readonly replayedTotal: number;
  readonly workers: readonly WorkerSnapshot[];
}
