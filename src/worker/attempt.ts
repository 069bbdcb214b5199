import { parsePayload, payloadText } from '../client/payload.js';
import type { taskd } from '../wire/generated/messages.js';
import type { Processor, RunContext } from './processor.js';
import { AttemptStopped, type StopCause } from './run-error.js';
import { HeldLease } from './session-core.js';

/** The fields of a report that a worker fills in; encoded only when a frame or a batch is made of it. */
export type Report = taskd.RunReport.$Properties;

const noBytes = new Uint8Array(0);

/**
 * One attempt in this worker: the lease, what to call with what, and the context that the processor sees. The signal is
 * made on first use, since an AbortController costs as much as all the rest of a run.
 */
export class Attempt extends HeldLease implements RunContext {
  readonly attempt: number;
  readonly job: string;
  readonly dueMs: number;
  /** 0: no limit. */
  readonly timeoutMs: number;
  readonly processorName: string;
  readonly processor: Processor | undefined;
  readonly #shard: number;
  readonly #text: string;
  readonly #bytes: Uint8Array;
  #controller: AbortController | undefined;
  #stopped: AttemptStopped | undefined;
  startedMs = 0;
  deadline: number | undefined;
  /** The handle of the timeout while one is set. */
  timeout: number | undefined;
  report: Report | undefined;

  /** Copies the arguments: `dispatch` may hold views of a receive buffer. */
  constructor(dispatch: taskd.Dispatch, shard: number, processor: Processor | undefined) {
    super(dispatch.run, dispatch.token);
    this.attempt = dispatch.attempt;
    this.job = dispatch.job;
    this.dueMs = dispatch.dueMs;
    this.timeoutMs = dispatch.timeoutMs;
    this.processorName = dispatch.processor;
    this.processor = processor;
    this.#shard = shard;
    const bytes = dispatch.arguments;
    const isText = typeof processor === 'function' && bytes.length > 0;
    this.#text = isText ? payloadText(bytes) : '';
    // Not `slice`: the bytes are a Buffer, whose slice is a view.
    this.#bytes = isText || bytes.length === 0 ? noBytes : new Uint8Array(bytes);
  }

  get leaseToken(): number {
    return this.token;
  }

  get runId(): string {
    return `${this.#shard}:${this.run}`;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#stopped !== undefined) this.#controller.abort(this.#stopped);
    }
    return this.#controller.signal;
  }

  /** Why it was told to stop, once it was. */
  get stopCause(): StopCause | undefined {
    return this.#stopped?.stopCause;
  }

  /** Tells the processor to stop. The first cause stands. */
  stop(cause: StopCause): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = new AttemptStopped(cause);
    this.#controller?.abort(this.#stopped);
  }

  /** Calls the processor; may throw whatever it throws, or INVALID when arguments that should be JSON are not. */
  call(): unknown {
    const processor = this.processor;
    if (typeof processor === 'function') return processor(parsePayload(this.#text, 'the arguments'), this);
    return processor!.run(this.#bytes, this);
  }
}
