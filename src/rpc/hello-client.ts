/**
 * The client's side of the hello.
 *
 * States: waiting (the hello was sent with the preface) → open (the handlers behind become active) | refused. A server
 * that wants authentication answers the hello with a challenge; the state between the two has its place here, and until
 * clients have credentials it ends in UNAUTHENTICATED.
 */
import { ErrorCode, TaskdError } from '../base/errors.js';
import { inFlightCallsMax } from '../base/limits.js';
import type { FrameCodec } from '../transport/frame-codec.js';
import { Handler, type Inbound, type UserEvent } from '../transport/handler.js';
import type { Heartbeat } from '../transport/heartbeat.js';
import { correlationOf, type Frame, Kind } from '../wire/frame.js';
import { OutboundFrame } from '../wire/frame-writer.js';
import { taskd } from '../wire/generated/messages.js';
import { hello } from '../wire/methods.js';
import { protocolMinor } from '../wire/preface.js';
import { fromErrorInfo } from './error-info.js';

/** The name of this software, as told to the other side. */
export const software = 'taskd-node/0.1';

/** A server's wishes are followed within these bounds. */
const heartbeatMsMin = 100;
const heartbeatMsMax = 60_000;
const slotsMax = 0xffff;

export interface HelloEvents {
  /** The server let us in; called before the handlers behind become active. */
  opened(answer: taskd.HelloOk): void;
  /** It did not, or the connection ended first. Called at most once, and not after `opened`. */
  refused(error: Error): void;
}

export class HelloClient extends Handler {
  readonly #codec: FrameCodec;
  readonly #heartbeat: Heartbeat;
  readonly #request: taskd.Hello.$Properties;
  readonly #events: HelloEvents;
  #state: 'waiting' | 'open' | 'refused' = 'waiting';

  constructor(codec: FrameCodec, heartbeat: Heartbeat, request: taskd.Hello.$Properties, events: HelloEvents) {
    super();
    this.#codec = codec;
    this.#heartbeat = heartbeat;
    this.#request = { ...request, software, minor: protocolMinor };
    this.#events = events;
  }

  override channelActive(): void {
    const out = new OutboundFrame();
    out.kind = Kind.REQ;
    out.method = hello.id;
    out.correlation = correlationOf(0, 1);
    out.codec = taskd.Hello;
    out.message = this.#request;
    out.deadlineMs = hello.deadlineMs;
    this.previous.write(out);
  }

  override channelRead(message: Inbound): void {
    if (this.#state === 'open') this.next.channelRead(message);
    else if (this.#state === 'waiting') this.#answered(message as Frame);
  }

  override channelReadComplete(): void {
    if (this.#state === 'open') this.next.channelReadComplete();
  }

  override userEvent(event: UserEvent): void {
    if (this.#state === 'open') this.next.userEvent(event);
    else {
      this.#refuse(
        new TaskdError(ErrorCode.NOT_SENT, 'the server closed the connection instead of answering the hello'),
      );
    }
  }

  override exceptionCaught(error: Error): void {
    if (this.#state === 'open') this.next.exceptionCaught(error);
    else this.#refuse(error);
  }

  override channelInactive(error: Error | undefined): void {
    if (this.#state === 'open') this.next.channelInactive(error);
    else
      this.#refuse(
        error ?? new TaskdError(ErrorCode.NOT_SENT, 'the connection was closed before the hello was through'),
      );
  }

  #answered(frame: Frame): void {
    if (frame.kind === Kind.ERR) {
      this.#refuse(fromErrorInfo(frame.decode(taskd.ErrorInfo)));
      return;
    }
    if (frame.kind !== Kind.RES || frame.method !== hello.id) {
      throw new TaskdError(ErrorCode.MALFORMED, `the server answered the hello with a frame of kind ${frame.kind}`);
    }
    const answer = frame.decode(taskd.HelloOk);
    if (answer.authChallenge.length > 0) {
      throw new TaskdError(ErrorCode.UNAUTHENTICATED, 'the server wants authentication, and this client has none');
    }
    answer.heartbeatMs = Math.min(heartbeatMsMax, Math.max(heartbeatMsMin, answer.heartbeatMs));
    answer.inFlightMax = Math.min(slotsMax, Math.max(1, answer.inFlightMax || inFlightCallsMax));
    this.#state = 'open';
    this.#codec.open();
    this.#heartbeat.begin(answer.heartbeatMs);
    this.#events.opened(answer);
    this.next.channelActive();
  }

  #refuse(error: Error): void {
    if (this.#state !== 'waiting') return;
    this.#state = 'refused';
    // Our FIN first: the server may be one that only waits for it.
    this.channel.close('end', error.message);
    this.#events.refused(error);
  }
}
