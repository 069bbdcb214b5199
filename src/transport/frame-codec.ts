import { ErrorCode, TaskdError } from '../base/errors.js';
import { preHelloBytesMax, unfinishedFrameMs } from '../base/limits.js';
import type { Frame } from '../wire/frame.js';
import { FrameDecoder, type OpenPayload } from '../wire/frame-decoder.js';
import { helloLimits, openLimits } from '../wire/frame-limits.js';
import type { OutboundFrame } from '../wire/frame-writer.js';
import type { GatherBudget } from '../wire/gather-budget.js';
import { Handler, type Inbound } from './handler.js';

/**
 * Bytes in, frames out; frames in, bytes into the channel's slab. Starts with the limits of a connection whose hello is
 * not through.
 *
 * A server's codec is given a budget, which its peers share. It also cuts a peer that doesn't finish a frame in time:
 * bytes now and then satisfy the heartbeat, but hold memory. That time is taken at the ticks, so no frame costs a look
 * at the clock, and it stands still while nothing is read.
 */
export class FrameCodec extends Handler {
  readonly #decoder: FrameDecoder;
  #isOpen = false;
  #helloBytes = 0;
  readonly #budget: GatherBudget | undefined;
  readonly #recycle = (): void => this.#budget!.recycle();
  /** The unfinished frame of the latest tick, for how long it was, and when that tick was. */
  #unfinished = 0;
  #unfinishedMs = 0;
  #tickMs = 0;

  constructor(budget?: GatherBudget) {
    super();
    this.#budget = budget;
    const take = (frame: Frame): void => {
      if (this.channel.isActive) this.next.channelRead(frame);
    };
    this.#decoder = new FrameDecoder(helloLimits, take, budget);
  }

  /** The hello is through: the methods' own limits hold from now on. */
  open(): void {
    this.#isOpen = true;
    this.#decoder.limits = openLimits;
  }

  /** See `OpenPayload`; for clients, once the hello is through. */
  set openPayload(open: OpenPayload) {
    this.#decoder.openPayload = open;
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
    if (this.#budget?.hasUsed) this.channel.clock.defer(this.#recycle);
  }

  override exceptionCaught(error: Error): void {
    this.#decoder.stop();
    this.next.exceptionCaught(error);
  }

  override channelInactive(error: Error | undefined): void {
    this.#decoder.stop();
    this.next.channelInactive(error);
  }

  override tick(nowMs: number, wasPaused: boolean): void {
    if (this.#budget !== undefined && this.#isOpen && this.#isTooSlow(nowMs, wasPaused)) {
      this.channel.close('reset', `a frame was not complete ${unfinishedFrameMs} ms after its first byte`);
      return;
    }
    this.next.tick(nowMs, wasPaused);
  }

  #isTooSlow(nowMs: number, wasPaused: boolean): boolean {
    const passedMs = nowMs - this.#tickMs;
    this.#tickMs = nowMs;
    const { gatheredBytes, gathersBegun } = this.#decoder;
    if (gatheredBytes === 0 || gathersBegun !== this.#unfinished) {
      this.#unfinished = gathersBegun;
      this.#unfinishedMs = 0;
    } else if (!wasPaused && this.channel.isReading) this.#unfinishedMs += passedMs;
    return this.#unfinishedMs >= unfinishedFrameMs;
  }

  override write(frame: OutboundFrame): void {
    if (!this.channel.isActive) return;
    this.channel.out.write(frame, openLimits);
    this.channel.wrote();
  }
}
