import type { Method } from '../wire/methods.js';

/**
 * Takes the payload of an answer as it comes, so that a large one is never in memory as a whole. It must not throw.
 * `begin` comes at most once and `part` only after it; the answer of the call follows, with an empty payload, or its error.
 */
export interface PayloadSink<A> {
  /** `payloadBytes` follow. */
  begin(message: A, payloadBytes: number): void;
  /** The next bytes: a view of the receive buffer, valid until it returns. */
  part(bytes: Uint8Array): void;
}

export interface CallOptions<A = never> {
  /** From now until the answer; default the method's own. Waiting for a slot counts. */
  readonly deadlineMs?: number;
  /** Bytes after the request's meta, outside Protobuf. The connection owns them until the answer. */
  readonly payload?: readonly Uint8Array[];
  readonly sink?: PayloadSink<A>;
}

export interface Answer<A> {
  readonly message: A;
  /** The answer's payload: a view of the receive buffer, valid until the callback or the continuation returns. */
  readonly payload: Uint8Array;
}

/** What a client does with the pushes of a stream. */
export interface StreamEvents<A> {
  /** `message` may hold views of the receive buffer, like `payload`: copy what outlives the call. */
  push(message: A, payload: Uint8Array): void;
  /** The stream is over; with the reason unless its server ended it in good order. Called exactly once. */
  end(error: Error | undefined): void;
}

export interface ClientStream {
  /** Lets the server push so many more. */
  credit(pushes: number): void;
  /** Tells the server to stop. `end` is not called after it. */
  cancel(): void;
}

/**
 * A place that calls can be made to: one connection, or an address whose connection is made when needed.
 *
 * Errors are `TaskdError`s: what the peer answered, or one of our own. NOT_SENT: no byte left, safe to repeat.
 * CONNECTION_LOST: sent, outcome unknown; repeat only idempotent methods. DEADLINE: no answer in time, outcome unknown.
 * BUSY: too many calls wait already.
 */
export interface Caller {
  call<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, request: QIn, options?: CallOptions<A>): Promise<Answer<A>>;
  /** Sends a oneway; silently dropped when the connection is gone. */
  send<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, request: QIn, payload?: readonly Uint8Array[]): void;
  /** Opens a stream with `credit` pushes granted. Failure to open arrives through `end`. */
  open<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
    credit: number,
    events: StreamEvents<A>,
  ): ClientStream;
}

/** A connection that belongs to one caller, who may end it: for what lives as long as its connection does. */
export interface OwnConnection extends Caller {
  /** Calls can be made: it is neither closed nor asked to leave. */
  readonly isOpen: boolean;
  /** Calls back once when the connection is over, with the error that ended it; at once if it already is. */
  onClose(callback: (error: Error | undefined) => void): void;
  /** Calls back once when the server asks us to leave. */
  onDrain(callback: () => void): void;
  /** Says goodbye; what waits for an answer fails with CONNECTION_LOST. */
  close(): void;
}
