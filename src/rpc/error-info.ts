import { toHex } from '../base/bytes.js';
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import type { Runtime } from '../runtime/runtime.js';
import type { taskd } from '../wire/generated/messages.js';

const messageLengthMax = 1_024;
const hintLengthMax = 256;
const errorIdBytes = 6;

/**
 * What a peer is told of an error. A `TaskdError` goes as it is; of anything else the peer learns only an id, under
 * which the log has the rest.
 */
export function toErrorInfo(error: unknown, runtime: Runtime, where: string): taskd.ErrorInfo.$Properties {
  if (error instanceof TaskdError) {
    return {
      code: error.code,
      message: error.message.slice(0, messageLengthMax),
      retry: error.retry,
      retryAfterMs: Math.min(0xffff_ffff, Math.max(0, Math.ceil(error.retryAfterMs))),
      hint: error.hint.slice(0, hintLengthMax),
    };
  }
  const id = toHex(runtime.random.bytes(errorIdBytes));
  const stack = error instanceof Error ? error.stack : String(error);
  runtime.logger.error({ errorId: id, where, stack }, 'a handler failed');
  return {
    code: ErrorCode.INTERNAL,
    message: `the server failed at ${where}; its log has the reason under ${id}`,
    retry: Retry.NEVER,
    hint: id,
  };
}

/** The error that a peer answered. Codes and retries of a newer peer are kept as numbers. */
export function fromErrorInfo(info: taskd.ErrorInfo): TaskdError {
  return new TaskdError(info.code as ErrorCode, info.message, {
    retry: (info.retry || Retry.NEVER) as Retry,
    retryAfterMs: info.retryAfterMs,
    hint: info.hint,
  });
}
