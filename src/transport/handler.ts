import type { Frame } from '../wire/frame.js';
import type { OutboundFrame } from '../wire/frame-writer.js';
import type { Channel } from './channel.js';

/** What a handler reads: raw bytes before the frame codec, frames behind it. Both hold only until the call returns. */
export type Inbound = Uint8Array | Frame;

/** Things that happen to a channel besides bytes. `peerEnd`: the peer sent its FIN. */
export type UserEvent = 'peerEnd';

/**
 * How a channel is closed. `end`: what is queued leaves, then our FIN. `leave`: what is queued leaves, nothing is read
 * any more, and our FIN answers the peer's; so TIME_WAIT stays with the peer. `reset`: at once, with RST.
 */
export type CloseMode = 'end' | 'leave' | 'reset';

/**
 * A link in the chain of a channel, in the manner of Netty: inbound calls travel from the socket to the last handler,
 * outbound ones back. Every method passes its call on; a handler overrides what it cares about. The chain is fixed when
 * the channel starts, and everything is synchronous: about 7 ns a hop.
 */
export abstract class Handler {
  /** Towards the application; set when the channel starts, like the others. */
  next!: Handler;
  /** Towards the socket. */
  previous!: Handler;
  channel!: Channel;

  /** The channel may be used; a handler that must agree something with the peer first holds this back. */
  channelActive(): void {
    this.next.channelActive();
  }

  channelRead(message: Inbound): void {
    this.next.channelRead(message);
  }

  /** The chunk that the socket gave has been read. */
  channelReadComplete(): void {
    this.next.channelReadComplete();
  }

  userEvent(event: UserEvent): void {
    this.next.userEvent(event);
  }

  /** The bytes waiting to leave went over the high water mark (false) or came below the low one (true). */
  writabilityChanged(isWritable: boolean): void {
    this.next.writabilityChanged(isWritable);
  }

  /** A handler threw while it read. The last handler closes the channel. */
  exceptionCaught(error: Error): void {
    this.next.exceptionCaught(error);
  }

  /** The channel is over; the last call. */
  channelInactive(error: Error | undefined): void {
    this.next.channelInactive(error);
  }

  /** Some time has passed. `wasPaused`: our own process stood still, so nothing may be held against the peer. */
  tick(nowMs: number, wasPaused: boolean): void {
    this.next.tick(nowMs, wasPaused);
  }

  /** Encodes `frame` at once; it leaves with the next flush. Throws what the encoder refuses. */
  write(frame: OutboundFrame): void {
    this.previous.write(frame);
  }

  flush(): void {
    this.previous.flush();
  }

  close(mode: CloseMode, reason: string): void {
    this.previous.close(mode, reason);
  }
}
