/**
 * The server's side of the hello.
 *
 * States: hello (nothing else is served; 16 KiB and 5 s at most) → open (the handlers behind become active) | refused
 * (an error was sent, and the peer shall leave). Where authentication is on, `auth` will lie between hello and open: the
 * answer to the hello carries a challenge, and only method `auth` is served; it has the same limits of bytes and time,
 * which is why both end in `open` and nowhere else.
 */
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { controlFrameBytesMax, frameBytesMax, heartbeatMs, helloDeadlineMs, inFlightCallsMax } from '../base/limits.js';
import type { Runtime } from '../runtime/runtime.js';
import type { FrameCodec } from '../transport/frame-codec.js';
import { Handler, type Inbound, type UserEvent } from '../transport/handler.js';
import type { Heartbeat } from '../transport/heartbeat.js';
import { WrongProtocolError } from '../transport/preface-handler.js';
import { type Frame, Kind } from '../wire/frame.js';
import { OutboundFrame } from '../wire/frame-writer.js';
import { taskd } from '../wire/generated/messages.js';
import { hello } from '../wire/methods.js';
import { toErrorInfo } from './error-info.js';
import { software } from './hello-client.js';

/** Who a server says it is in its answer to a hello. */
export interface NodeIdentity {
  readonly nodeId: string;
  /** Grows at each start of the node. */
  readonly incarnation: number;
  readonly roles: readonly string[];
  readonly clusterId: string;
}

export interface AdmissionEvents {
  /** The hello is through. */
  admitted(request: taskd.Hello): void;
  /** It is not one of ours, and is being cut. */
  wrongProtocol(guess: string): void;
}

const nameLengthMax = 128;

export class HelloServer extends Handler {
  readonly #runtime: Runtime;
  readonly #identity: NodeIdentity;
  readonly #codec: FrameCodec;
  readonly #heartbeat: Heartbeat;
  readonly #events: AdmissionEvents;
  readonly #deadlineMs: number;
  #state: 'hello' | 'open' | 'refused' = 'hello';

  constructor(
    runtime: Runtime,
    identity: NodeIdentity,
    codec: FrameCodec,
    heartbeat: Heartbeat,
    events: AdmissionEvents,
  ) {
    super();
    this.#runtime = runtime;
    this.#identity = identity;
    this.#codec = codec;
    this.#heartbeat = heartbeat;
    this.#events = events;
    this.#deadlineMs = runtime.clock.monotonicMs() + helloDeadlineMs;
  }

  override channelActive(): void {}

  override channelRead(message: Inbound): void {
    const frame = message as Frame;
    if (this.#state === 'open') {
      if (frame.kind === Kind.REQ && frame.method === hello.id) {
        this.#refuse(new TaskdError(ErrorCode.INVALID, 'a second hello on one connection'), frame.correlation);
      } else this.next.channelRead(frame);
      return;
    }
    if (this.#state === 'hello') this.#admit(frame);
  }

  override channelReadComplete(): void {
    if (this.#state === 'open') this.next.channelReadComplete();
  }

  override userEvent(event: UserEvent): void {
    if (this.#state === 'open') this.next.userEvent(event);
    else this.channel.close('end', 'the peer left before its hello');
  }

  override writabilityChanged(isWritable: boolean): void {
    if (this.#state === 'open') this.next.writabilityChanged(isWritable);
  }

  override exceptionCaught(error: Error): void {
    if (this.#state === 'open') {
      this.next.exceptionCaught(error);
      return;
    }
    if (error instanceof WrongProtocolError) {
      this.#events.wrongProtocol(error.guess);
      this.channel.close('reset', error.message);
      return;
    }
    if (error instanceof TaskdError && error.code === ErrorCode.UNSUPPORTED_VERSION) {
      this.#refuse(error, 0);
      return;
    }
    this.channel.close('reset', error.message);
  }

  override channelInactive(error: Error | undefined): void {
    if (this.#state === 'open') this.next.channelInactive(error);
  }

  override tick(nowMs: number, wasPaused: boolean): void {
    if (this.#state === 'hello' && nowMs >= this.#deadlineMs) {
      this.#state = 'refused';
      this.channel.close('reset', `no hello within ${helloDeadlineMs} ms`);
      return;
    }
    this.next.tick(nowMs, wasPaused);
  }

  #admit(frame: Frame): void {
    if (frame.kind !== Kind.REQ || frame.method !== hello.id) {
      this.#refuse(new TaskdError(ErrorCode.UNAUTHENTICATED, 'the first frame must be a hello'), frame.correlation);
      return;
    }
    let request: taskd.Hello;
    try {
      request = frame.decode(taskd.Hello);
    } catch (error) {
      this.#refuse(error as TaskdError, frame.correlation);
      return;
    }
    const { nodeId } = this.#identity;
    if (request.expectedNodeId !== '' && request.expectedNodeId !== nodeId) {
      const text = `this is node ${nodeId}, not ${request.expectedNodeId.slice(0, nameLengthMax)}`;
      this.#refuse(new TaskdError(ErrorCode.WRONG_NODE, text, { retry: Retry.OTHER, hint: nodeId }), frame.correlation);
      return;
    }
    if (request.clientId.length > nameLengthMax || request.kind.length > nameLengthMax) {
      const text = `a client id or kind of more than ${nameLengthMax} characters`;
      this.#refuse(new TaskdError(ErrorCode.INVALID, text), frame.correlation);
      return;
    }
    this.#state = 'open';
    this.#codec.open();
    this.#heartbeat.begin(heartbeatMs);
    this.#events.admitted(request);
    this.#write(Kind.RES, frame.correlation, taskd.HelloOk, {
      nodeId,
      incarnation: this.#identity.incarnation,
      roles: [...this.#identity.roles],
      clusterId: this.#identity.clusterId,
      features: [],
      controlFrameBytesMax,
      dataFrameBytesMax: frameBytesMax,
      heartbeatMs,
      inFlightMax: inFlightCallsMax,
      serverTimeMs: this.#runtime.clock.wallMs(),
      software,
    });
    this.next.channelActive();
  }

  /** Answers with `error`, and nothing more: the peer shall close. */
  #refuse(error: TaskdError, correlation: number): void {
    if (this.#state === 'hello') this.#state = 'refused';
    this.#write(Kind.ERR, correlation, taskd.ErrorInfo, toErrorInfo(error, this.#runtime, hello.name));
    this.channel.close('leave', error.message);
  }

  #write(kind: Kind, correlation: number, codec: OutboundFrame['codec'], message: unknown): void {
    const out = new OutboundFrame();
    out.kind = kind;
    out.method = hello.id;
    out.correlation = correlation;
    out.codec = codec;
    out.message = message;
    this.previous.write(out);
  }
}
