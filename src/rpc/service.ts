import type { Piece } from '../runtime/file-region.js';
import type { Address } from '../runtime/net.js';
import type { Encoded } from '../wire/encoded.js';
import type { Method } from '../wire/methods.js';

/** The other end of a connection, as a server's handlers see it. One object a connection. */
export interface Peer {
  /** Never reused within a process. */
  readonly id: number;
  readonly address: Address;
  /** From its hello. */
  readonly clientId: string;
  readonly kind: string;
  readonly isOpen: boolean;
  /** True once this server has asked the peer to leave (GOAWAY), or has cut its connection: its going means nothing. */
  readonly isSentAway: boolean;
  /** Bytes of ours that it has not taken yet. */
  readonly queuedBytes: number;
  /** Calls back once when the connection is over; at once, in a later turn, if it already is. */
  onClose(callback: () => void): void;
  /** Calls back for every frame of any kind that comes from this peer: proof of life. At most one callback a peer. */
  onActivity(callback: () => void): void;
  /** Cuts the connection (RST) and logs the reason; for peers that break the rules. */
  abort(reason: string): void;
}

/** One call being served. Exactly one of `reply` and `fail` ends it; a second one is ignored. */
export interface ServerCall<A> {
  readonly peer: Peer;
  /** Bytes after the request's meta: a view of the receive buffer, valid until the handler returns. */
  readonly payload: Uint8Array;
  /** Milliseconds left of the caller's deadline; may be negative. */
  remainingMs(): number;
  /** True once the caller gave up or its connection closed; nobody waits for the answer. */
  readonly isCancelled: boolean;
  onCancel(callback: () => void): void;
  /** Regions in the payload are released, also when nobody waits for the answer any more. */
  reply(message: A, payload?: readonly Piece[]): void;
  /** `TaskdError`s go as they are; anything else becomes INTERNAL with an id that the log also has. */
  fail(error: unknown): void;
}

/** One stream being served. */
export interface ServerStream<A> {
  readonly peer: Peer;
  /** Pushes that the client still grants. At 0, `push` is refused. */
  readonly credit: number;
  readonly isOpen: boolean;
  /** False, and nothing sent, at zero credit, over the write water mark, or when the stream is over. */
  push(message: A | Encoded, payload?: readonly Uint8Array[]): boolean;
  /** Calls back when pushing is possible again after a refusal. */
  onWritable(callback: () => void): void;
  /** Calls back once when the client cancels or its connection closes. */
  onClose(callback: () => void): void;
  end(error?: unknown): void;
}

/**
 * Where a daemon puts its handlers. Handlers run in the turn in which the frame came; one that throws fails its call.
 * `Q` may hold views of the receive buffer: copy what outlives the handler's turn.
 */
export interface ServiceRegistry {
  onCall<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, handler: (request: Q, call: ServerCall<AIn>) => void): void;
  onStream<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    handler: (request: Q, stream: ServerStream<AIn>) => void,
  ): void;
  onSend<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    handler: (request: Q, peer: Peer, payload: Uint8Array) => void,
  ): void;
}
