/**
 * A connection with its chain of handlers.
 *
 * States: active → closing → inactive. Active: everything goes. Closing (after `close`): nothing is written or
 * handed on any more; mode `end` has sent its FIN, mode `leave` sends it when the peer's came; both end with RST when
 * the peer takes too long. Inactive: the connection told of its end.
 *
 * Flush once a turn: frames gather in the slab and leave together at the end of the loop's turn, or earlier once so
 * much has gathered that the peer may as well begin.
 */
import { writeHighWaterBytes, writeLowWaterBytes, writeStallMs } from '../base/limits.js';
import type { Clock } from '../runtime/clock.js';
import type { Address, Connection, ConnectionEvents } from '../runtime/net.js';
import { FrameWriter, type OutboundFrame } from '../wire/frame-writer.js';
import { type CloseMode, Handler, type Inbound, type UserEvent } from './handler.js';
import { StallWatch } from './stall-watch.js';

/** How long a peer may take to answer our FIN, or to send its own when it was told to leave. */
const lingerMs = 5_000;
const leaveMs = 1_000;
/** So much gathered leaves before the turn ends. */
const earlyFlushBytes = 64 * 1024;

/** The socket's end of the chain. */
class Head extends Handler {
  override write(_frame: OutboundFrame): void {
    throw new Error('taskd bug: a frame passed the encoder');
  }
  override flush(): void {
    this.channel.flush();
  }
  override close(mode: CloseMode, reason: string): void {
    this.channel.close(mode, reason);
  }
}

/** The application's end: what nobody wanted. */
class Tail extends Handler {
  override channelActive(): void {}
  override channelRead(_message: Inbound): void {}
  override channelReadComplete(): void {}
  override userEvent(_event: UserEvent): void {}
  override writabilityChanged(_isWritable: boolean): void {}
  override exceptionCaught(error: Error): void {
    this.channel.close('reset', error.message);
  }
  override channelInactive(_error: Error | undefined): void {}
  override tick(_nowMs: number, _wasPaused: boolean): void {}
}

export class Channel implements ConnectionEvents {
  readonly clock: Clock;
  /** Where the encoder puts what shall leave; call `wrote` after it. */
  readonly out: FrameWriter = new FrameWriter();
  /** For the owner: called once when the channel is over, after its handlers. */
  onInactive: (() => void) | undefined;
  readonly #connection: Connection;
  readonly #head: Handler = new Head();
  readonly #flushDeferred: () => void;
  #state: 'active' | 'closing' | 'inactive' = 'active';
  #mode: CloseMode = 'end';
  #closeReason = '';
  #closeAtMs = Number.POSITIVE_INFINITY;
  #hasPeerEnd = false;
  #isFlushDue = false;
  #isWritable = true;
  #isReading = true;
  readonly #stall = new StallWatch();
  #handedBytes = 0;
  #turnMs: number | undefined;

  constructor(clock: Clock, connection: Connection, handlers: readonly Handler[]) {
    this.clock = clock;
    this.#connection = connection;
    this.#flushDeferred = () => {
      this.#isFlushDue = false;
      this.#turnMs = undefined;
      this.flush();
    };
    let previous = this.#head;
    for (const handler of [...handlers, new Tail()]) {
      previous.next = handler;
      handler.previous = previous;
      previous = handler;
    }
    for (let at: Handler | undefined = this.#head; at !== undefined; at = at.next) at.channel = this;
  }

  get remote(): Address {
    return this.#connection.remote;
  }
  get isActive(): boolean {
    return this.#state === 'active';
  }
  /** False between the high water mark and the low one. */
  get isWritable(): boolean {
    return this.#isWritable;
  }
  get isReading(): boolean {
    return this.#isReading;
  }
  get hasPeerEnd(): boolean {
    return this.#hasPeerEnd;
  }
  /** Bytes that wait here or in the socket. */
  get queuedBytes(): number {
    return this.out.pendingBytes + this.#connection.queuedBytes;
  }
  /** True when this side closed it other than by an ordinary goodbye. */
  get wasCut(): boolean {
    return this.#closeReason !== '' && this.#mode !== 'end';
  }
  /** Why it was closed; empty when it wasn't by us. */
  get closeReason(): string {
    return this.#closeReason;
  }

  /** Monotonic time of this turn of the loop: one look at the clock serves all that happens in it. */
  turnMs(): number {
    if (this.#turnMs === undefined) {
      this.#turnMs = this.clock.monotonicMs();
      this.#deferFlush();
    }
    return this.#turnMs;
  }

  /** Must be called in the turn in which the connection was handed over. */
  start(): void {
    this.#connection.start(this);
    this.#head.next.channelActive();
  }

  /** Bytes were put into `out`: they leave at the end of this turn. */
  wrote(): void {
    if (this.#state !== 'active') {
      this.out.drop();
      return;
    }
    if (this.out.pendingBytes >= earlyFlushBytes) this.flush();
    else this.#deferFlush();
  }

  #deferFlush(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    this.clock.defer(this.#flushDeferred);
  }

  flush(): void {
    if (this.out.pendingBytes === 0) return;
    if (this.#state === 'inactive') {
      this.out.drop();
      return;
    }
    this.#handedBytes += this.out.pendingBytes;
    this.#connection.write(this.out.take());
    if (this.#isWritable && this.#connection.queuedBytes > writeHighWaterBytes) {
      this.#isWritable = false;
      this.#head.next.writabilityChanged(false);
    }
  }

  close(mode: CloseMode, reason: string): void {
    if (this.#state === 'inactive') return;
    if (this.#state === 'closing' && mode !== 'reset') return;
    if (this.#closeReason === '') this.#closeReason = reason;
    if (mode === 'reset') {
      this.#state = 'closing';
      this.#mode = mode;
      this.out.drop();
      this.#connection.reset();
      return;
    }
    this.flush();
    this.#state = 'closing';
    this.#mode = mode;
    this.#closeAtMs = this.clock.monotonicMs() + (mode === 'end' ? lingerMs : leaveMs);
    this.readOn();
    if (mode === 'end' || this.#hasPeerEnd) this.#connection.end();
  }

  /** Stops reading from the peer, so that its own writes stop once the system's buffers are full. */
  stopReading(): void {
    if (!this.#isReading || this.#state !== 'active') return;
    this.#isReading = false;
    this.#connection.pause();
  }

  readOn(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#connection.resume();
  }

  /** To be called now and then by whoever owns the channel. */
  tick(nowMs: number, wasPaused: boolean): void {
    if (this.#state === 'inactive') return;
    if (nowMs >= this.#closeAtMs) {
      this.close('reset', 'the peer took too long to close');
      return;
    }
    if (wasPaused) this.#stall.restart(nowMs);
    const { queuedBytes } = this.#connection;
    if (this.#stall.isStalled(nowMs, this.#handedBytes - queuedBytes, queuedBytes)) {
      this.close('reset', `the peer did not read for ${writeStallMs} ms what waits for it`);
      return;
    }
    this.#head.next.tick(nowMs, wasPaused);
  }

  data(chunk: Uint8Array): void {
    if (this.#state !== 'active') return;
    const first = this.#head.next;
    try {
      first.channelRead(chunk);
      first.channelReadComplete();
    } catch (error) {
      first.exceptionCaught(error instanceof Error ? error : new Error(String(error)));
    }
  }

  end(): void {
    this.#hasPeerEnd = true;
    if (this.#state === 'closing' && this.#mode === 'leave') this.#connection.end();
    this.#head.next.userEvent('peerEnd');
  }

  drained(): void {
    if (this.#isWritable || this.#connection.queuedBytes > writeLowWaterBytes) return;
    this.#isWritable = true;
    this.#head.next.writabilityChanged(true);
  }

  closed(error: Error | undefined): void {
    if (this.#state === 'inactive') return;
    this.#state = 'inactive';
    this.out.drop();
    this.#head.next.channelInactive(error);
    this.onInactive?.();
  }
}
