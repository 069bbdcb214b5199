import { ErrorCode, TaskdError } from '../base/errors.js';
import { preHelloBytesMax } from '../base/limits.js';
import { FrameDecoder } from '../wire/frame-decoder.js';
import { helloLimits, openLimits } from '../wire/frame-limits.js';
import type { OutboundFrame } from '../wire/frame-writer.js';
import { Handler, type Inbound } from './handler.js';

/**
 * Bytes in, frames out; frames in, bytes into the channel's slab. Starts with the limits of a connection whose hello is
 * not through.
 */
export class FrameCodec extends Handler {
  readonly #decoder: FrameDecoder;
  #isOpen = false;
  #helloBytes = 0;

  constructor() {
    super();
    this.#decoder = new FrameDecoder(helloLimits, (frame) => {
      if (this.channel.isActive) this.next.channelRead(frame);
    });
  }

  /** The hello is through: the methods' own limits hold from now on. */
  open(): void {
    this.#isOpen = true;
    this.#decoder.limits = openLimits;
  }

  override channelRead(message: Inbound): void {
    const chunk = message as Uint8Array;
    if (!this.#isOpen) {
      this.#helloBytes += chunk.length;
      if (this.#helloBytes > preHelloBytesMax) {
        throw new TaskdError(ErrorCode.TOO_LARGE, `more than ${preHelloBytesMax} bytes before the hello was through`);
      }
    }
    this.#decoder.feed(chunk);
  }

  override exceptionCaught(error: Error): void {
    this.#decoder.stop();
    this.next.exceptionCaught(error);
  }

  override channelInactive(error: Error | undefined): void {
    this.#decoder.stop();
    this.next.channelInactive(error);
  }

  override write(frame: OutboundFrame): void {
    if (!this.channel.isActive) return;
    this.channel.out.write(frame, openLimits);
    this.channel.wrote();
  }
}
