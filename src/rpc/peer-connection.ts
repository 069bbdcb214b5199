import type { Clock } from '../runtime/clock.js';
import type { Address } from '../runtime/net.js';
import type { Channel } from '../transport/channel.js';
import type { Peer } from './service.js';

/** The other end of one accepted connection. */
export class PeerConnection implements Peer {
  readonly id: number;
  readonly address: Address;
  /** Set by the hello. */
  clientId = '';
  kind = '';
  /** It did not speak our protocol, which is logged more seldom. */
  isWrongProtocol = false;
  /** A GOAWAY was sent. */
  isAskedToLeave = false;
  /** Set by the server that accepted it, which also logs why it was cut. */
  channel: Channel | undefined;
  readonly #clock: Clock;
  readonly #closeCallbacks: (() => void)[] = [];
  #onActivity: (() => void) | undefined;
  #isClosed = false;

  constructor(id: number, address: Address, clock: Clock) {
    this.id = id;
    this.address = address;
    this.#clock = clock;
  }

  get isSentAway(): boolean {
    return this.isAskedToLeave || this.channel?.wasCut === true;
  }

  get isOpen(): boolean {
    return !this.#isClosed;
  }

  get queuedBytes(): number {
    return this.channel?.queuedBytes ?? 0;
  }

  onClose(callback: () => void): void {
    if (this.#isClosed) this.#clock.defer(callback);
    else this.#closeCallbacks.push(callback);
  }

  onActivity(callback: () => void): void {
    this.#onActivity = callback;
  }

  abort(reason: string): void {
    this.channel?.close('reset', reason);
  }

  /** Bytes came. */
  active(): void {
    this.#onActivity?.();
  }

  /** The connection is over. */
  closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const callback of this.#closeCallbacks.splice(0)) callback();
  }
}
