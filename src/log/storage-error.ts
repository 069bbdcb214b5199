import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { FileError } from '../runtime/files.js';

/** True for a full disk. */
export function isFull(error: unknown): boolean {
  return error instanceof FileError && error.code === 'ENOSPC';
}

/** What an error says for a message. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** For a file system that refused: what we wanted, what it said, what to do. */
export function storageFailed(what: string, remedy: string, cause?: unknown): TaskdError {
  const said = cause === undefined ? '' : ` (${describe(cause)})`;
  return new TaskdError(ErrorCode.STORAGE_FAILED, `${what}${said}; ${remedy}`, { cause });
}

/** How long a client waits before it tries again on a full disk. */
export const fullRetryMs = 1_000;

export function storageFull(what: string): TaskdError {
  return new TaskdError(
    ErrorCode.STORAGE_FULL,
    `${what}: the disk is full; free some space, writing goes on by itself`,
    {
      retry: Retry.AFTER,
      retryAfterMs: fullRetryMs,
    },
  );
}
