/** What a scheduler says of a shard for which it does not answer. */
import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import { type Address, formatAddress } from '../runtime/net.js';

export function beingTakenOver(shard: number): TaskdError {
  return new TaskdError(ErrorCode.NOT_READY, `shard ${shard} is being taken over: its log is read`, {
    retry: Retry.AFTER,
    retryAfterMs: 50,
  });
}

/** `owner`: who has it, when that is known. */
export function notOwnedHere(shard: number, owner: Address | undefined): TaskdError {
  return new TaskdError(ErrorCode.NOT_OWNER, `shard ${shard} is not owned here`, {
    retry: Retry.OTHER,
    ...(owner === undefined ? {} : { hint: formatAddress(owner) }),
  });
}

/** Its log can't be read or written before somebody has mended it; `cause` says what is wrong and what to do. */
export function outOfService(shard: number, cause: TaskdError): TaskdError {
  return new TaskdError(ErrorCode.STORAGE_FAILED, `shard ${shard} is out of service: ${cause.message}`, { cause });
}

/** True for what only a person can mend. */
export function needsMending(error: unknown): error is TaskdError {
  return isTaskdError(error, ErrorCode.STORAGE_FAILED, ErrorCode.DATA_LOSS);
}
