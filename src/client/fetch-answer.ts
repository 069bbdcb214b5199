import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import type { PayloadSink } from '../rpc/caller.js';
import type { taskd } from '../wire/generated/messages.js';
import { BatchStream, type BatchStreamEvents } from './batch-stream.js';

/** What a reader does with the answer to one fetch; called while it comes. */
export interface FetchAnswerEvents extends BatchStreamEvents {
  /** The answer begins. False: it is of no use any more, and nothing of it is told. */
  begins(found: taskd.IFetchedPartition): boolean;
  /** All of it was told. */
  complete(found: taskd.IFetchedPartition): void;
}

/** One fetch of one partition that was sent, and its answer. */
export class FetchAnswer implements PayloadSink<taskd.FetchResponse> {
  readonly offset: number;
  readonly beganMs: number;
  /** Why not all of the answer was told; looked at when the call is over. */
  failure: unknown;
  readonly #events: FetchAnswerEvents;
  #found: taskd.IFetchedPartition | undefined;
  #stream: BatchStream | undefined;
  #left = 0;

  constructor(offset: number, beganMs: number, events: FetchAnswerEvents) {
    this.offset = offset;
    this.beganMs = beganMs;
    this.#events = events;
  }

  begin(answer: taskd.FetchResponse, payloadBytes: number): void {
    this.#found = answer.partitions[0];
    if (this.#found === undefined) {
      this.failure = new TaskdError(ErrorCode.MALFORMED, 'the broker answered for no partition');
    } else if (!this.#events.begins(this.#found)) this.#found = undefined;
    else if (this.#found.error?.code) this.failure = errorOf(this.#found.error);
    else {
      this.#left = payloadBytes;
      this.#stream = new BatchStream(this.offset, payloadBytes, this.#events);
    }
  }

  part(bytes: Uint8Array): void {
    const stream = this.#stream;
    if (stream === undefined || this.failure !== undefined) return;
    this.#left -= bytes.length;
    try {
      stream.feed(bytes);
      if (stream.problem !== undefined) this.failure = damaged(this.offset, stream.problem);
      else if (this.#left === 0) this.#events.complete(this.#found!);
    } catch (error) {
      this.failure = error;
    }
  }

  /** True when the bytes were not what they should be. */
  get isDamaged(): boolean {
    return this.#stream?.problem !== undefined;
  }
}

function damaged(offset: number, problem: string): TaskdError {
  return new TaskdError(ErrorCode.MALFORMED, `a batch of the answer to a fetch from ${offset} is bad (${problem})`);
}

function errorOf(info: taskd.IErrorInfo): TaskdError {
  const { code, message, retry, retryAfterMs, hint } = info;
  return new TaskdError((code ?? ErrorCode.INTERNAL) as ErrorCode, message ?? '', {
    retry: (retry || Retry.NEVER) as Retry,
    retryAfterMs: retryAfterMs ?? 0,
    hint: hint ?? '',
  });
}
