import { ErrorCode, Retry, TaskdError } from '../base/errors.js';

/** Bytes that may wait for the disk in one log. */
export const unsyncedBytesMax: number = 64 * 1024 * 1024;

/** What a log says of its bounds. */
interface LogEnds {
  readonly logStart: number;
  readonly syncedEnd: number;
  readonly logEnd: number;
}

/** For a log that can't be written any more. */
export const remedy: string = 'mend the disk and start taskd again: what was acknowledged is kept';

export const closed = (name: string): TaskdError => new TaskdError(ErrorCode.DRAINING, `${name} is closed`);

export function busy(name: string): TaskdError {
  const message = `${name} has ${unsyncedBytesMax} bytes waiting for the disk; send less or wait`;
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 10 });
}

export function noCut(log: LogEnds, end: number): TaskdError {
  const message = `the log can't be cut to offset ${end}: it holds ${log.logStart} to ${log.logEnd}, and only a batch boundary above all that is committed will do`;
  return new TaskdError(ErrorCode.INVALID, message);
}

export function outOfRange(log: LogEnds, offset: number): TaskdError {
  const message = `offset ${offset} lies outside the log, which holds ${log.logStart} to ${log.syncedEnd}`;
  return new TaskdError(ErrorCode.OFFSET_OUT_OF_RANGE, `${message}; read from one of these`);
}
