/**
 * The closed set of error codes. Numbers are wire format: never reuse one, append only.
 * `retry` is what a caller may do about it; clients act on `code` and `retry`, never on a message's text.
 */
export const ErrorCode = {
  INTERNAL: 1,
  MALFORMED: 2,
  UNSUPPORTED_VERSION: 3,
  UNKNOWN_METHOD: 4,
  TOO_LARGE: 5,
  BUSY: 6,
  DEADLINE: 7,
  CANCELLED: 8,
  DRAINING: 9,
  CONNECTION_LOST: 10,
  NOT_SENT: 11,
  WRONG_NODE: 12,
  UNAUTHENTICATED: 13,
  FORBIDDEN: 14,
  NOT_READY: 15,
  NOT_FOUND: 16,
  ALREADY_EXISTS: 17,
  INVALID: 18,
  CONFLICT: 19,
  QUOTA: 20,
  NOT_LEADER: 30,
  OUTCOME_UNKNOWN: 31,
  STORAGE_FULL: 32,
  STORAGE_FAILED: 33,
  OFFSET_OUT_OF_RANGE: 34,
  OUT_OF_ORDER_SEQUENCE: 35,
  UNKNOWN_PRODUCER: 36,
  PRODUCER_FENCED: 37,
  DATA_LOSS: 38,
  SEQUENCE_OVERLAP: 39,
  UNKNOWN_MEMBER: 40,
  MEMBER_FENCED: 41,
  NOT_OWNER: 50,
  SUPERSEDED: 51,
  DUPLICATE_ID: 52,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** What a caller may do: nothing, ask the same node again now, refresh and ask another node, or wait `retryAfterMs`. */
export const Retry = { NEVER: 1, SAME: 2, OTHER: 3, AFTER: 4 } as const;
export type Retry = (typeof Retry)[keyof typeof Retry];

const NAMES = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

/** The name of an error code; an unknown number (a newer peer's) is kept as `CODE_n`. */
export function errorCodeName(code: number): string {
  return NAMES.get(code) ?? `CODE_${code}`;
}

export interface TaskdErrorOptions {
  /** Default `NEVER`. */
  readonly retry?: Retry;
  /** Only with `retry: AFTER`. */
  readonly retryAfterMs?: number;
  /** A machine-readable pointer, such as the address of the leader. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/**
 * An error of the world (never of our own logic: that is an assertion). The message says what was wrong, which limit
 * or state refused it, and what to do about it.
 */
export class TaskdError extends Error {
  override readonly name = 'TaskdError';
  readonly code: ErrorCode;
  readonly retry: Retry;
  readonly retryAfterMs: number;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, options: TaskdErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? Retry.NEVER;
    this.retryAfterMs = options.retryAfterMs ?? 0;
    this.hint = options.hint ?? '';
  }

  get codeName(): string {
    return errorCodeName(this.code);
  }
}

/** True for a `TaskdError`, with any of `codes` when some are given. */
export function isTaskdError(error: unknown, ...codes: ErrorCode[]): error is TaskdError {
  return error instanceof TaskdError && (codes.length === 0 || codes.includes(error.code));
}

/** Fails on our own bug: never call it on bytes from the network or the disk. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`taskd bug: ${what}`);
}
