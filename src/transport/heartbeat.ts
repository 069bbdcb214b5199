/**
 * Proof of life. Whoever has written nothing for one interval sends PING; whoever has heard nothing at all for three
 * closes the connection. Any byte counts, so a busy connection needs no pings; and after a pause of our own process the
 * times start anew, since the peer's bytes may lie in the socket unread.
 *
 * Times are taken at the ticks, so no frame costs a look at the clock.
 */
import { ErrorCode, TaskdError } from '../base/errors.js';
import type { Clock } from '../runtime/clock.js';
import { type Frame, Kind } from '../wire/frame.js';
import { OutboundFrame } from '../wire/frame-writer.js';
import { taskd } from '../wire/generated/messages.js';
import { Budget } from './budget.js';
import { Handler, type Inbound } from './handler.js';

const intervalsMax = 3;
/** An honest peer sends one ping an interval. */
const pingBurst = 100;
const pingsPerSecond = 10;

export class Heartbeat extends Handler {
  readonly #clock: Clock;
  readonly #out = new OutboundFrame();
  readonly #pings = new Budget(pingBurst, pingsPerSecond);
  #heardMs = 0;
  #wroteMs = 0;
  /** Infinite until `begin`. */
  #intervalMs = Number.POSITIVE_INFINITY;
  #hasHeard = false;
  #hasWritten = false;
  #isPongDue = false;
  #opaque = 0;
  #pingCount = 0;

  constructor(clock: Clock) {
    super();
    this.#clock = clock;
  }

  /** The hello is through: beats every `intervalMs`, which the server tells its clients. */
  begin(intervalMs: number): void {
    this.#intervalMs = intervalMs;
    this.#heardMs = this.#clock.monotonicMs();
    this.#wroteMs = this.#heardMs;
  }

  override channelRead(message: Inbound): void {
    const frame = message as Frame;
    if (frame.kind === Kind.PING) this.#ping(frame);
    else if (frame.kind !== Kind.PONG) this.next.channelRead(frame);
  }

  override channelReadComplete(): void {
    this.#hasHeard = true;
    if (this.#isPongDue) {
      this.#isPongDue = false;
      this.#beat(Kind.PONG, { opaque: this.#opaque, serverMonotonicMs: this.#clock.monotonicMs() });
    }
    this.next.channelReadComplete();
  }

  override write(frame: OutboundFrame): void {
    this.#hasWritten = true;
    this.previous.write(frame);
  }

  override tick(nowMs: number, wasPaused: boolean): void {
    // While we don't read, silence says nothing; the stall of our own writes limits that time.
    if (this.#hasHeard || wasPaused || !this.channel.isReading) this.#heardMs = nowMs;
    if (this.#hasWritten || wasPaused) this.#wroteMs = nowMs;
    this.#hasHeard = false;
    this.#hasWritten = false;
    if (nowMs - this.#heardMs >= intervalsMax * this.#intervalMs) {
      this.channel.close('reset', `nothing was heard for ${intervalsMax * this.#intervalMs} ms`);
      return;
    }
    if (nowMs - this.#wroteMs >= this.#intervalMs && this.channel.isActive) {
      this.#wroteMs = nowMs;
      this.#beat(Kind.PING, { opaque: ++this.#pingCount });
    }
    this.next.tick(nowMs, wasPaused);
  }

  /** However many pings a chunk holds, one PONG is due, for the last of them. */
  #ping(frame: Frame): void {
    if (!this.#pings.take(this.#clock.monotonicMs())) {
      throw new TaskdError(ErrorCode.QUOTA, `more than ${pingBurst} pings at once and ${pingsPerSecond}/s after`);
    }
    this.#opaque = frame.decode(taskd.Heartbeat).opaque;
    this.#isPongDue = true;
  }

  #beat(kind: Kind, message: taskd.Heartbeat.$Properties): void {
    const out = this.#out;
    out.kind = kind;
    out.codec = taskd.Heartbeat;
    out.message = message;
    this.previous.write(out);
  }
}
