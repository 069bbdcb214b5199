import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import { type Address, formatAddress } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { Channel } from '../transport/channel.js';
import { FrameCodec } from '../transport/frame-codec.js';
import { Heartbeat } from '../transport/heartbeat.js';
import { PrefaceHandler } from '../transport/preface-handler.js';
import { Ticker } from '../transport/ticker.js';
import type { taskd } from '../wire/generated/messages.js';
import type { Method } from '../wire/methods.js';
import type { Answer, CallOptions, ClientStream, OwnConnection, PayloadSink, StreamEvents } from './caller.js';
import { Correlator } from './correlator.js';
import { HelloClient } from './hello-client.js';
import { PendingCall } from './pending-call.js';
import { RpcStats } from './stats.js';

/** Who a client says it is in its hello. */
export interface ClientIdentity {
  readonly clientId: string;
  /** `client`, `worker`, `broker`, `scheduler`, `nameserver` or a name of the user's own. */
  readonly kind: string;
}

/** What the server answered to the hello. */
export interface ServerInfo {
  readonly nodeId: string;
  readonly incarnation: number;
  readonly roles: readonly string[];
  readonly clusterId: string;
  readonly heartbeatMs: number;
  readonly inFlightMax: number;
  readonly software: string;
}

/** A call as its caller described it, not sent yet. `nowMs` is monotonic. */
export function pendingCall<Q, A, QIn, AIn>(
  nowMs: number,
  method: Method<Q, A, QIn, AIn>,
  request: QIn,
  options: CallOptions<A> | undefined,
): PendingCall {
  const dueMs = nowMs + (options?.deadlineMs ?? method.deadlineMs);
  const sink = options?.sink as PayloadSink<unknown> | undefined;
  return new PendingCall(method as unknown as Method, request, options?.payload, dueMs, undefined, 0, sink);
}

export function pendingStream<Q, A, QIn, AIn>(
  method: Method<Q, A, QIn, AIn>,
  request: QIn,
  credit: number,
  events: StreamEvents<A>,
): PendingCall {
  return new PendingCall(
    method as unknown as Method,
    request,
    undefined,
    Number.POSITIVE_INFINITY,
    events as StreamEvents<unknown>,
    credit,
  );
}

/** One connection to one server, past its hello. Made by `dial`. */
export class RpcConnection implements OwnConnection {
  readonly server: ServerInfo;
  readonly remote: Address;
  readonly #channel: Channel;
  readonly #correlator: Correlator;
  readonly #closeCallbacks: ((error: Error | undefined) => void)[] = [];
  readonly #drainCallbacks: (() => void)[] = [];
  #isClosed = false;
  #closeError: Error | undefined;

  constructor(server: ServerInfo, channel: Channel, correlator: Correlator) {
    this.server = server;
    this.remote = channel.remote;
    this.#channel = channel;
    this.#correlator = correlator;
    correlator.onClosed = (error) => {
      this.#isClosed = true;
      this.#closeError = error;
      for (const callback of this.#closeCallbacks.splice(0)) callback(error);
    };
    correlator.onGoAway = () => {
      for (const callback of this.#drainCallbacks.splice(0)) callback();
    };
  }

  /** Calls can be made: neither closed nor draining. */
  get isOpen(): boolean {
    return this.#correlator.isOpen;
  }

  /** The server asked us to leave: calls in flight go on, new ones are refused with DRAINING. */
  get isDraining(): boolean {
    return this.#correlator.isDraining;
  }

  /** Calls and streams that wait for an answer, those without a slot not counted. */
  get inFlight(): number {
    return this.#correlator.inFlight;
  }

  /** Calls that wait for a slot. */
  get queued(): number {
    return this.#correlator.queued;
  }

  /** Bytes that were sent and that the system has not taken yet. */
  get queuedBytes(): number {
    return this.#channel.queuedBytes;
  }

  /** Calls back once when the connection is over, with the error that ended it; at once if it already is. */
  onClose(callback: (error: Error | undefined) => void): void {
    if (this.#isClosed) callback(this.#closeError);
    else this.#closeCallbacks.push(callback);
  }

  /** Calls back once when the server asks us to leave. */
  onDrain(callback: () => void): void {
    this.#drainCallbacks.push(callback);
  }

  call<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, request: QIn, options?: CallOptions<A>): Promise<Answer<A>> {
    const call = pendingCall(this.#channel.turnMs(), method, request, options);
    this.#correlator.submit(call);
    return call.promise as Promise<Answer<A>>;
  }

  send<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, request: QIn, payload?: readonly Uint8Array[]): void {
    this.#correlator.oneway(method as unknown as Method, request, payload);
  }

  open<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
    credit: number,
    events: StreamEvents<A>,
  ): ClientStream {
    const call = pendingStream(method, request, credit, events);
    this.#correlator.submit(call);
    return this.streamOf(call);
  }

  /** Sends a call that was made elsewhere. */
  submit(call: PendingCall): void {
    this.#correlator.submit(call);
  }

  /** The handle of a stream that was submitted here. */
  streamOf(call: PendingCall): ClientStream {
    const correlator = this.#correlator;
    return {
      credit: (pushes) => correlator.credit(call, pushes),
      cancel: () => correlator.cancel(call),
    };
  }

  /** Says goodbye: what waits for an answer fails with CONNECTION_LOST, and our FIN is the first. */
  close(): void {
    this.#correlator.shut();
  }

  /** Cuts it at once; what was sent and has not left is dropped. */
  abort(reason: string): void {
    this.#channel.close('reset', reason);
    this.#correlator.shut();
  }
}

function serverInfo(answer: taskd.HelloOk): ServerInfo {
  return {
    nodeId: answer.nodeId,
    incarnation: answer.incarnation,
    roles: answer.roles,
    clusterId: answer.clusterId,
    heartbeatMs: answer.heartbeatMs,
    inFlightMax: answer.inFlightMax,
    software: answer.software,
  };
}

function notSent(address: Address, error: Error): TaskdError {
  if (isTaskdError(error) && error.code !== ErrorCode.NOT_SENT) return error;
  return new TaskdError(ErrorCode.NOT_SENT, `no connection to ${formatAddress(address)}: ${error.message}`, {
    retry: Retry.OTHER,
    cause: error,
  });
}

/** What the connections of one process share. */
export interface DialShare {
  readonly ticker: Ticker;
  readonly stats: RpcStats;
}

/**
 * Connects and says hello within `timeoutMs`. Rejects with NOT_SENT when the server can't be reached or does not
 * answer, and with its own error when it refuses us.
 */
export async function dial(
  runtime: Runtime,
  address: Address,
  self: ClientIdentity,
  timeoutMs = 5_000,
  share: DialShare = { ticker: new Ticker(runtime.clock), stats: new RpcStats() },
): Promise<RpcConnection> {
  const { clock } = runtime;
  const beganMs = clock.monotonicMs();
  const socket = await runtime.net.dial(address, timeoutMs).catch((error: Error) => {
    throw notSent(address, error);
  });
  return new Promise((resolve, reject) => {
    const codec = new FrameCodec();
    const heartbeat = new Heartbeat(clock);
    const correlator = new Correlator(clock, runtime.logger, share.stats);
    const refused = (error: Error): void => {
      timeout.cancel();
      reject(notSent(address, error));
    };
    const opened = (answer: taskd.HelloOk): void => {
      timeout.cancel();
      correlator.allow(answer.inFlightMax);
      const connection = new RpcConnection(serverInfo(answer), channel, correlator);
      resolve(connection);
    };
    const request = { clientId: self.clientId, kind: self.kind };
    const hello = new HelloClient(codec, heartbeat, request, { opened, refused });
    codec.openPayload = (frame, payloadBytes) => correlator.openPayload(frame, payloadBytes);
    const channel = new Channel(clock, socket, [new PrefaceHandler(false), codec, heartbeat, hello, correlator]);
    const timeout = clock.timer(Math.max(0, timeoutMs - (clock.monotonicMs() - beganMs)), () => {
      refused(new Error(`it did not answer the hello within ${timeoutMs} ms`));
      channel.close('reset', 'no answer to the hello');
    });
    share.ticker.add(channel);
    channel.onInactive = () => share.ticker.remove(channel);
    channel.start();
  });
}
