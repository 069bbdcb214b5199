import { ErrorCode, isTaskdError } from '../base/errors.js';

/** What the programs say with their exit code. Scripts rely on it: append only. */
export const ExitCode = {
  OK: 0,
  /** Something failed that no other code names. */
  FAILED: 1,
  /** A flag, an argument or the environment is wrong. */
  USAGE: 2,
  /** taskctl: what was asked for is not there. */
  NOT_FOUND: 3,
  /** taskctl: no server answers. */
  UNREACHABLE: 4,
  /** taskctl: the server refused the request as it is. */
  REFUSED: 5,
  /** taskctl: no answer in time, or it is not known whether it was done. */
  UNKNOWN: 6,
  /** taskctl: the run that was waited for ended in another way than success. */
  RUN_FAILED: 7,
  /** taskd: the data folder can't be used. */
  DATA: 8,
  /** taskd: the address can't be listened on. */
  ADDRESS: 9,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** The exit code of a failed request. */
export function exitCodeOf(error: unknown): ExitCode {
  if (!isTaskdError(error)) return ExitCode.FAILED;
  switch (error.code) {
    case ErrorCode.NOT_FOUND:
      return ExitCode.NOT_FOUND;
    case ErrorCode.NOT_SENT:
    case ErrorCode.NOT_READY:
    case ErrorCode.DRAINING:
      return ExitCode.UNREACHABLE;
    case ErrorCode.INVALID:
    case ErrorCode.CONFLICT:
    case ErrorCode.ALREADY_EXISTS:
    case ErrorCode.DUPLICATE_ID:
    case ErrorCode.TOO_LARGE:
    case ErrorCode.QUOTA:
    case ErrorCode.FORBIDDEN:
    case ErrorCode.UNAUTHENTICATED:
    case ErrorCode.SUPERSEDED:
      return ExitCode.REFUSED;
    case ErrorCode.DEADLINE:
    case ErrorCode.CONNECTION_LOST:
    case ErrorCode.OUTCOME_UNKNOWN:
      return ExitCode.UNKNOWN;
    default:
      return ExitCode.FAILED;
  }
}
