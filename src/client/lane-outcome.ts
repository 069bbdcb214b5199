import { ErrorCode, errorCodeName, Retry, TaskdError } from '../base/errors.js';

/** True when nobody knows whether the attempt that failed so was appended. */
export function outcomeIsOpen(error: TaskdError): boolean {
  switch (error.code) {
    case ErrorCode.CONNECTION_LOST:
    case ErrorCode.DEADLINE:
    case ErrorCode.CANCELLED:
    case ErrorCode.OUTCOME_UNKNOWN:
    case ErrorCode.INTERNAL:
      return true;
    default:
      return false;
  }
}

/** True when sending the same batch again can't help, and the broker surely did not append it. */
export function isFinal(error: TaskdError): boolean {
  return error.retry === Retry.NEVER && error.code !== ErrorCode.NOT_SENT && !outcomeIsOpen(error);
}

/** For records that may have been stored: `cause` is why they are given up. */
export function outcomeUnknown(cause: TaskdError): TaskdError {
  const message = `nobody can say whether the records were stored: ${cause.message}`;
  return new TaskdError(ErrorCode.OUTCOME_UNKNOWN, message, { cause });
}

/**
 * For records that were surely not stored in time. `problem` is what the broker said last, of them or of records before
 * them: its code and retry stand, or those of what held the broker up, unless they leave open what was stored.
 */
export function timedOut(timeoutMs: number, problem: TaskdError | undefined): TaskdError {
  const message = `the broker did not take the records within the delivery timeout of ${timeoutMs} ms`;
  if (problem === undefined) return new TaskdError(ErrorCode.DEADLINE, message, { retry: Retry.SAME });
  const { retry, retryAfterMs } = problem;
  const told = `${message}: ${problem.message}`;
  if (!outcomeIsOpen(problem)) return new TaskdError(problem.code, told, { retry, retryAfterMs, cause: problem });
  if (problem.hint === errorCodeName(ErrorCode.STORAGE_FULL)) {
    return new TaskdError(ErrorCode.STORAGE_FULL, told, { retry, retryAfterMs, cause: problem });
  }
  return new TaskdError(ErrorCode.DEADLINE, told, { retry: Retry.SAME, cause: problem });
}

/** For records that were sent after such that ran into the delivery timeout; `problem` as with `timedOut`. */
export function timedOutBefore(timeoutMs: number, problem: TaskdError | undefined): TaskdError {
  const told = problem === undefined ? '' : `: ${problem.message}`;
  const message = `records sent before them ran into the delivery timeout of ${timeoutMs} ms${told}`;
  return new TaskdError(ErrorCode.DEADLINE, message, { retry: Retry.SAME, cause: problem });
}

/** For records that were sent after such that the broker refused for good. */
export function refusedBefore(error: TaskdError): TaskdError {
  const message = `records sent before them were refused for good: ${error.message}`;
  return new TaskdError(error.code, message, { cause: error });
}

/** For records that the broker can't take under their sequences, although all before them were acknowledged. */
export function outOfStep(error: TaskdError): TaskdError {
  const message = `the broker no longer knows which records of this producer it has: ${error.message}`;
  return new TaskdError(error.code, message, { cause: error });
}
