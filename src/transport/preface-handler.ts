/**
 * The first eight bytes of each side.
 *
 * States: waiting → done. The client speaks first; the server answers only to the right magic, so that a port scan, a
 * browser or a TLS client learns nothing. Each side learns the other's version from the last two bytes.
 */
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { guessProtocol, isMagic, preface, prefaceBytes, protocolMajor } from '../wire/preface.js';
import { Handler, type Inbound } from './handler.js';

/** Thrown at a peer that does not speak our protocol; it gets no answer. */
export class WrongProtocolError extends Error {
  /** What it seems to speak. */
  readonly guess: string;

  constructor(guess: string) {
    super(`the peer does not speak taskd's protocol; it looks like ${guess}`);
    this.guess = guess;
  }
}

export class PrefaceHandler extends Handler {
  readonly #isServer: boolean;
  readonly #received: Uint8Array = new Uint8Array(prefaceBytes);
  #have = 0;

  constructor(isServer: boolean) {
    super();
    this.#isServer = isServer;
  }

  override channelActive(): void {
    if (!this.#isServer) this.#send();
    this.next.channelActive();
  }

  override channelRead(message: Inbound): void {
    if (this.#have === prefaceBytes) {
      this.next.channelRead(message);
      return;
    }
    const chunk = message as Uint8Array;
    const count = Math.min(prefaceBytes - this.#have, chunk.length);
    this.#received.set(chunk.subarray(0, count), this.#have);
    this.#have += count;
    if (!isMagic(this.#received.subarray(0, this.#have))) {
      throw new WrongProtocolError(guessProtocol(this.#received.subarray(0, this.#have)));
    }
    if (this.#have < prefaceBytes) return;
    if (this.#isServer) this.#send();
    const major = this.#received[6]!;
    if (major !== protocolMajor) {
      throw new TaskdError(
        ErrorCode.UNSUPPORTED_VERSION,
        `this side speaks protocol version ${protocolMajor}, the other ${major}; bring both to the same release`,
        { retry: Retry.OTHER, hint: `${protocolMajor}` },
      );
    }
    if (count < chunk.length) this.next.channelRead(chunk.subarray(count));
  }

  #send(): void {
    this.channel.out.raw(preface);
    this.channel.wrote();
  }
}
