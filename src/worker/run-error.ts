/** Thrown by a processor whose run would fail again: it goes to the dead letters at once, whatever its retry policy. */
export class NonRetryable extends Error {
  override readonly name = 'NonRetryable';
}

/** Thrown by a processor that knows when its next attempt makes sense; it still counts as a failed attempt. */
export class RetryAfter extends Error {
  override readonly name = 'RetryAfter';
  readonly delayMs: number;

  constructor(delayMs: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.delayMs = delayMs;
  }
}

/** Why `context.signal` was aborted; it is the signal's `reason`. */
export class AttemptStopped extends Error {
  override readonly name = 'AttemptStopped';
  readonly stopCause: StopCause;

  constructor(cause: StopCause) {
    super(reasons[cause]);
    this.stopCause = cause;
  }
}

/** Cancelled by a client, over its time, lease lost to another attempt, or the worker stops. */
export type StopCause = 'cancelled' | 'timed-out' | 'lease-lost' | 'worker-stops';

const reasons: Readonly<Record<StopCause, string>> = {
  cancelled: 'the run was cancelled',
  'timed-out': "the attempt's time is over",
  'lease-lost': 'the lease of this attempt was lost; another attempt may run',
  'worker-stops': 'the worker stops',
};

/** Characters of a message and a stack that are reported. */
export const errorTextMax = 4_096;

/** A thrown value as text: its stack, which begins with its message, cut to `errorTextMax`. Never throws. */
export function describeThrown(thrown: unknown): string {
  let text: string;
  try {
    text = thrown instanceof Error ? (thrown.stack ?? `${thrown.name}: ${thrown.message}`) : String(thrown);
  } catch {
    text = 'a value was thrown that can not be described';
  }
  return text.length <= errorTextMax ? text : `${text.slice(0, errorTextMax - 1)}…`;
}
