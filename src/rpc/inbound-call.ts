import { type Piece, releasePieces } from '../runtime/file-region.js';
import type { Method } from '../wire/methods.js';
import type { Dispatcher } from './dispatcher.js';
import type { Peer, ServerCall } from './service.js';

/**
 * A call being served.
 *
 * States: running → answered (by `reply` or `fail`), with or without having been cancelled before. A cancelled call
 * still counts as running until its handler ends it, so a peer can't start more work than it may by giving calls up.
 */
export class InboundCall implements ServerCall<unknown> {
  readonly peer: Peer;
  readonly method: Method;
  readonly correlation: number;
  readonly payload: Uint8Array;
  readonly #dispatcher: Dispatcher;
  /** On the monotonic clock. */
  readonly #dueMs: number;
  #isAnswered = false;
  #isCancelled = false;
  #onCancel: (() => void) | undefined;

  constructor(dispatcher: Dispatcher, method: Method, correlation: number, payload: Uint8Array, dueMs: number) {
    this.#dispatcher = dispatcher;
    this.peer = dispatcher.peer;
    this.method = method;
    this.correlation = correlation;
    this.payload = payload;
    this.#dueMs = dueMs;
  }

  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  remainingMs(): number {
    return this.#dueMs - this.#dispatcher.clock.monotonicMs();
  }

  onCancel(callback: () => void): void {
    if (this.#isCancelled) callback();
    else this.#onCancel = callback;
  }

  reply(message: unknown, payload?: readonly Piece[]): void {
    if (this.#isAnswered) {
      releasePieces(payload);
      return;
    }
    this.#isAnswered = true;
    this.#dispatcher.answer(this, message, payload);
  }

  fail(error: unknown): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#dispatcher.answerError(this, error);
  }

  /** The caller gave up, or is gone. */
  cancel(): void {
    if (this.#isAnswered || this.#isCancelled) return;
    this.#isCancelled = true;
    this.#onCancel?.();
  }
}
