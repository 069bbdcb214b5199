import type { TaskdError } from '../base/errors.js';
import type { Method } from '../wire/methods.js';
import type { Answer, PayloadSink, StreamEvents } from './caller.js';

type Resolve = (answer: Answer<unknown>) => void;
type Reject = (error: Error) => void;

let lastResolve: Resolve | undefined;
let lastReject: Reject | undefined;
/** One executor for all promises: a closure for each call would cost more than the promise. */
function keep(resolve: Resolve, reject: Reject): void {
  lastResolve = resolve;
  lastReject = reject;
}

/** A call or stream on its way: waiting for a slot, or for its answer. */
export class PendingCall {
  readonly method: Method;
  /** Undefined once it was encoded. */
  request: unknown;
  payload: readonly Uint8Array[] | undefined;
  /** On the monotonic clock; infinite for a stream. */
  readonly dueMs: number;
  readonly promise: Promise<Answer<unknown>> | undefined;
  readonly events: StreamEvents<unknown> | undefined;
  /** Pushes that a stream grants. While it waits to be sent, more may be added. */
  credit: number;
  /** 0 until it was sent. */
  correlation = 0;
  isDone = false;
  readonly sink: PayloadSink<unknown> | undefined;
  readonly #resolve: Resolve | undefined;
  readonly #reject: Reject | undefined;

  constructor(
    method: Method,
    request: unknown,
    payload: readonly Uint8Array[] | undefined,
    dueMs: number,
    events: StreamEvents<unknown> | undefined,
    credit: number,
    sink?: PayloadSink<unknown>,
  ) {
    this.method = method;
    this.request = request;
    this.payload = payload;
    this.dueMs = dueMs;
    this.events = events;
    this.credit = credit;
    this.sink = sink;
    if (events === undefined) {
      this.promise = new Promise<Answer<unknown>>(keep);
      this.#resolve = lastResolve;
      this.#reject = lastReject;
    } else {
      this.promise = undefined;
      this.#resolve = undefined;
      this.#reject = undefined;
    }
  }

  answer(answer: Answer<unknown>): void {
    this.isDone = true;
    this.#resolve?.(answer);
  }

  /** The end of a stream in good order. */
  end(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.events?.end(undefined);
  }

  fail(error: TaskdError): void {
    if (this.isDone) return;
    this.isDone = true;
    if (this.#reject !== undefined) this.#reject(error);
    else this.events?.end(error);
  }
}
