/** What a caller may ask for, checked here so that a mistake is told at once, with the limit that it broke. */
import { ErrorCode, TaskdError } from '../base/errors.js';
import { nameLengthMax } from '../base/limits.js';
import type { taskd } from '../wire/generated/messages.js';
import { encodePayload, type Payload } from './payload.js';

// The scheduler has the same limits and the last word; a test holds the two together.
export const priorityMax = 9;
export const attemptsMax = 100;
export const retryDelaysMax = 32;
const dayMs = 86_400_000;
/** A wait before a try. */
export const retryDelayMsMax: number = 7 * dayMs;
export const timeoutMsMax: number = 7 * dayMs;
/** How far ahead a run may be planned. */
export const aheadMsMax: number = 10 * 366 * dayMs;

export interface Retry {
  /** Tries in all, 1 to 100; default: the scheduler's. */
  readonly attemptsMax?: number;
  /** The wait before the 2nd, 3rd … try in milliseconds, at most 7 days, the last one repeated; default: a ladder. */
  readonly delaysMs?: readonly number[];
}

/** What jobs and single runs have in common. */
export interface Work {
  /** The processor's name in the workers. */
  readonly processor: string;
  /** Bytes as they are, anything else as JSON; up to 64 KiB. */
  readonly arguments?: Payload;
  readonly retry?: Retry;
  /** Of one attempt, from its start, at most 7 days; default none. */
  readonly timeoutMs?: number;
  /** 0 to 9, higher first; default 0. */
  readonly priority?: number;
}

export interface JobDefinition extends Work {
  /** 5 or 6 fields; without it the job never fires by itself. */
  readonly cron?: string;
  /** An IANA time zone; default UTC. */
  readonly zone?: string;
  readonly paused?: boolean;
  /** Refuse unless this is the version in force. */
  readonly expectedVersion?: number;
}

export interface Submission extends Work {
  /** The earliest start, wall clock. At most one of this and `delayMs`; default: now. */
  readonly runAtMs?: number;
  /** From the moment in which the submission is on disk. */
  readonly delayMs?: number;
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, message);
}

/** Throws INVALID unless `name` may name a `what`. */
export function checkName(name: unknown, what: string): asserts name is string {
  if (typeof name !== 'string' || name.length === 0) throw invalid(`${what} is empty: give it a name`);
  // A character takes at most three bytes.
  if (name.length * 3 > nameLengthMax) {
    const bytes = Buffer.byteLength(name, 'utf8');
    if (bytes > nameLengthMax) throw invalid(`${what} has ${bytes} bytes; at most ${nameLengthMax} are allowed`);
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f]/.test(name)) throw invalid(`${what} has a control character: use printable ones`);
}

function checkInteger(value: number | undefined, what: string, min: number, max: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= min && value <= max)) return;
  throw invalid(`${what} is ${value}; a whole number from ${min} to ${max} is allowed`);
}

function checkRetry(retry: Retry | undefined): taskd.RetryPolicy.$Properties | null {
  if (retry === undefined) return null;
  checkInteger(retry.attemptsMax, 'retry.attemptsMax', 1, attemptsMax);
  const delaysMs = retry.delaysMs ?? [];
  if (delaysMs.length > retryDelaysMax) {
    throw invalid(`retry.delaysMs has ${delaysMs.length} entries; at most ${retryDelaysMax} are allowed`);
  }
  for (const delay of delaysMs) checkInteger(delay, 'an entry of retry.delaysMs', 0, retryDelayMsMax);
  return { attemptsMax: retry.attemptsMax ?? 0, delaysMs: [...delaysMs] };
}

interface WorkFields {
  processor: string;
  arguments: Uint8Array;
  retry: taskd.RetryPolicy.$Properties | null;
  timeoutMs: number;
  priority: number;
}

function workFields(work: Work): WorkFields {
  checkName(work.processor, 'the processor');
  checkInteger(work.timeoutMs, 'timeoutMs', 0, timeoutMsMax);
  checkInteger(work.priority, 'priority', 0, priorityMax);
  return {
    processor: work.processor,
    arguments: encodePayload(work.arguments, 'the arguments'),
    retry: checkRetry(work.retry),
    timeoutMs: work.timeoutMs ?? 0,
    priority: work.priority ?? 0,
  };
}

/** The record of a job. Throws INVALID or TOO_LARGE with the limit that was broken. */
export function jobPut(appId: number, name: string, job: JobDefinition): taskd.JobPut.$Properties {
  checkName(name, 'the job');
  checkInteger(job.expectedVersion, 'expectedVersion', 0, Number.MAX_SAFE_INTEGER);
  if (job.cron !== undefined && job.cron.length > nameLengthMax) {
    throw invalid(`cron has ${job.cron.length} characters; at most ${nameLengthMax} are allowed`);
  }
  if (job.zone !== undefined && job.zone !== '') checkName(job.zone, 'the zone');
  return {
    appId,
    name,
    ...workFields(job),
    cron: job.cron ?? '',
    zone: job.zone ?? '',
    paused: job.paused ?? false,
    expectedVersion: job.expectedVersion ?? null,
  };
}

/** The record of a single run. Throws INVALID or TOO_LARGE with the limit that was broken. */
export function runSubmit(appId: number, submission: Submission): taskd.RunSubmit.$Properties {
  const { runAtMs, delayMs } = submission;
  if (runAtMs !== undefined && delayMs !== undefined) {
    throw invalid('runAtMs and delayMs are both given: give one of them, or none to run now');
  }
  checkInteger(runAtMs, 'runAtMs', 0, Number.MAX_SAFE_INTEGER);
  checkInteger(delayMs, 'delayMs', 0, aheadMsMax);
  return { appId, ...workFields(submission), runAtMs: runAtMs ?? null, delayMs: delayMs ?? null };
}
