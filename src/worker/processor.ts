/** What a processor is told about its attempt. */
export interface RunContext {
  /** Aborted when the attempt should stop; its reason is an `AttemptStopped`. Made on first use. */
  readonly signal: AbortSignal;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** When the attempt's time is over, on the wall clock in milliseconds; undefined without a limit. */
  readonly deadline: number | undefined;
  /** Grows with each attempt of a run: a fence for writes to other systems. */
  readonly leaseToken: number;
  /** The job's name; empty for a run that was submitted by itself. */
  readonly job: string;
  /** `shard:offset`. */
  readonly runId: string;
  /** When the run was due; for a fire of a job, its nominal time. Wall clock, milliseconds. */
  readonly dueMs: number;
}

/**
 * Handles a run. What it returns is the run's result: bytes as they are, anything else as JSON, up to 64 KiB. What it
 * throws makes the attempt fail: `NonRetryable` for good, `RetryAfter` with its own delay.
 * It may be called more than once for a run, on different workers, though never at the same time under a live lease.
 */
// biome-ignore lint/suspicious/noExplicitAny: arguments are what the submitter sent; the processor says what it expects
export type JsonProcessor = (args: any, context: RunContext) => unknown;

/** A processor that takes its arguments as bytes instead of JSON. */
export interface BytesProcessor {
  readonly bytes: true;
  readonly run: (args: Uint8Array, context: RunContext) => unknown;
}

export type Processor = JsonProcessor | BytesProcessor;
