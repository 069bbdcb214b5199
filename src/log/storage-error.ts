import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { FileError } from '../runtime/files.js';

/** Why nothing can be written now, though it may be later: nothing of what was wanted is in the file then. */
export type Lack = 'the disk is full' | 'this process may open no more files';

export function lackOf(error: unknown): Lack | undefined {
  if (!(error instanceof FileError)) return undefined;
  if (error.code === 'ENOSPC') return 'the disk is full';
  return error.code === 'EMFILE' ? 'this process may open no more files' : undefined;
}

/** What a person can do about bytes that are gone. */
export const restore =
  'stop taskd, then see "taskctl log inspect" for what is left, restore the data folder from a copy, or move it away and start anew';

/** What an error says for a message. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function remedyOf(lack: Lack): string {
  return lack === 'the disk is full' ? 'free some space' : 'raise its limit (ulimit -n), or close connections';
}

/** For a file system that refused: what we wanted, what it said, what to do. */
export function storageFailed(what: string, remedy: string, cause?: unknown): TaskdError {
  const said = cause === undefined ? '' : ` (${describe(cause)})`;
  const lack = lackOf(cause);
  const todo = lack === undefined ? remedy : `${lack}: ${remedyOf(lack)}, then start taskd again`;
  return new TaskdError(ErrorCode.STORAGE_FAILED, `${what}${said}; ${todo}`, { cause });
}

/** How long a client waits before it tries again on a full disk. */
export const fullRetryMs = 1_000;

/** For records of users while little is left. */
export function storageLow(what: string, leftBytes: number, minFreeBytes: number): TaskdError {
  const left = `${mib(leftBytes)} of the disk are left, and users' records are taken only above ${mib(minFreeBytes)}`;
  const message = `${what}: ${left}; ${remedyOf('the disk is full')} or delete topics, writing goes on by itself`;
  return new TaskdError(ErrorCode.STORAGE_FULL, message, { retry: Retry.AFTER, retryAfterMs: fullRetryMs });
}

const mib = (bytes: number): string => `${Math.max(0, Math.floor(bytes / 1024 ** 2))} MiB`;

export function storageFull(what: string, lack: Lack): TaskdError {
  return new TaskdError(ErrorCode.STORAGE_FULL, `${what}: ${lack}; ${remedyOf(lack)}, writing goes on by itself`, {
    retry: Retry.AFTER,
    retryAfterMs: fullRetryMs,
  });
}
