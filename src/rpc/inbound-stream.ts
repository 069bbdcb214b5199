import type { Method } from '../wire/methods.js';
import type { Dispatcher } from './dispatcher.js';
import type { Peer, ServerStream } from './service.js';

const creditMax = 0x7fff_ffff;

/**
 * A stream being served.
 *
 * States: open → ended (by the handler: END was sent) | closed (by the client's CANCEL, or the connection's end).
 */
export class InboundStream implements ServerStream<unknown> {
  readonly peer: Peer;
  readonly method: Method;
  readonly correlation: number;
  readonly #dispatcher: Dispatcher;
  #credit: number;
  #isOpen = true;
  /** A push was refused, and `onWritable` is due once pushing is possible. */
  #isWanting = false;
  #onWritable: (() => void) | undefined;
  #onClose: (() => void) | undefined;

  constructor(dispatcher: Dispatcher, method: Method, correlation: number, credit: number) {
    this.#dispatcher = dispatcher;
    this.peer = dispatcher.peer;
    this.method = method;
    this.correlation = correlation;
    this.#credit = credit;
  }

  get credit(): number {
    return this.#credit;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  push(message: unknown, payload?: readonly Uint8Array[]): boolean {
    if (!this.#isOpen) return false;
    if (this.#credit === 0 || !this.#dispatcher.isWritable) {
      this.#isWanting = true;
      return false;
    }
    this.#dispatcher.push(this, message, payload);
    this.#credit--;
    return true;
  }

  onWritable(callback: () => void): void {
    this.#onWritable = callback;
  }

  onClose(callback: () => void): void {
    if (this.#isOpen) this.#onClose = callback;
    else callback();
  }

  end(error?: unknown): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#dispatcher.endStream(this, error);
  }

  /** The client grants more pushes. */
  grant(pushes: number): void {
    this.#credit = Math.min(creditMax, this.#credit + pushes);
    this.wake();
  }

  /** Pushing may be possible again. */
  wake(): void {
    if (!this.#isWanting || !this.#isOpen || this.#credit === 0 || !this.#dispatcher.isWritable) return;
    this.#isWanting = false;
    this.#onWritable?.();
  }

  /** Nobody reads it any more. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#onClose?.();
  }
}
