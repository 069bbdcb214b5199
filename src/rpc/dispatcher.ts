/**
 * The server's end of a connection: finds the handler of each request and sends what it answers.
 *
 * States: serving → draining (GOAWAY was sent: what runs goes on, new calls are refused with DRAINING) → leaving (the
 * peer's FIN came: no request will come any more, its streams are closed, the last answer is followed by our FIN) →
 * closed. Leaving may also follow serving directly: that is a client's ordinary goodbye.
 */
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { drainMs, inFlightCallsMax } from '../base/limits.js';
import type { Clock } from '../runtime/clock.js';
import { type Piece, releasePieces } from '../runtime/file-region.js';
import type { Runtime } from '../runtime/runtime.js';
import { Budget } from '../transport/budget.js';
import { Handler, type Inbound, type UserEvent } from '../transport/handler.js';
import { type Frame, Kind, slotOf } from '../wire/frame.js';
import { OutboundFrame } from '../wire/frame-writer.js';
import { taskd } from '../wire/generated/messages.js';
import type { Codec, Method } from '../wire/methods.js';
import { toErrorInfo } from './error-info.js';
import { InboundCall } from './inbound-call.js';
import { InboundStream } from './inbound-stream.js';
import type { PeerConnection } from './peer-connection.js';
import type { Route, Routes } from './routes.js';
import type { RpcStats } from './stats.js';

/** Handlers that may run for one peer: twice the slots, so that calls given up don't block new ones at once. */
const runningMax = 2 * inFlightCallsMax;
/** Calls that a peer may give up while they run, and requests that break the rules. */
const cancelBurst = 20_000;
const cancelsPerSecond = 2_000;
const faultBurst = 200;
const faultsPerSecond = 7;
/** Requests after which the clock is looked at anew. */
const requestsPerLook = 32;
const busyRetryMs = 100;

export class Dispatcher extends Handler {
  readonly peer: PeerConnection;
  readonly clock: Clock;
  readonly #runtime: Runtime;
  readonly #routes: Routes;
  readonly #stats: RpcStats;
  readonly #out = new OutboundFrame();
  readonly #slots: (InboundCall | InboundStream | undefined)[] = [];
  readonly #streams = new Set<InboundStream>();
  readonly #cancels = new Budget(cancelBurst, cancelsPerSecond);
  readonly #faults = new Budget(faultBurst, faultsPerSecond);
  #state: 'serving' | 'draining' | 'leaving' | 'closed' = 'serving';
  #running = 0;
  #leaveByMs = Number.POSITIVE_INFINITY;
  /** When the chunk that is being read came, and the time of the latest look at the clock. */
  #arrivedMs = 0;
  #nowMs = 0;
  #looksLeft = 0;
  #isNewChunk = true;

  constructor(runtime: Runtime, peer: PeerConnection, routes: Routes, stats: RpcStats) {
    super();
    this.#runtime = runtime;
    this.clock = runtime.clock;
    this.peer = peer;
    this.#routes = routes;
    this.#stats = stats;
  }

  /** Calls whose handler has not answered yet, those given up included. */
  get running(): number {
    return this.#running;
  }

  get isWritable(): boolean {
    return this.channel.isWritable && this.channel.isActive;
  }

  override channelRead(message: Inbound): void {
    const frame = message as Frame;
    switch (frame.kind) {
      case Kind.REQ:
        this.#request(frame);
        return;
      case Kind.ONEWAY:
        this.#oneway(frame);
        return;
      case Kind.CANCEL:
        this.#cancel(frame);
        return;
      case Kind.CREDIT:
        this.#credit(frame);
        return;
      default:
        throw new TaskdError(ErrorCode.MALFORMED, `a client may not send a frame of kind ${frame.kind}`);
    }
  }

  override channelReadComplete(): void {
    this.#looksLeft = 0;
    this.#isNewChunk = true;
    this.peer.active();
  }

  override userEvent(event: UserEvent): void {
    if (event !== 'peerEnd') return;
    this.#state = 'leaving';
    this.#leaveByMs = Math.min(this.#leaveByMs, this.clock.monotonicMs() + drainMs);
    this.#closeStreams();
    this.#endIfDone();
  }

  /** A peer that does not take our answers gets no more requests read. */
  override writabilityChanged(isWritable: boolean): void {
    if (!isWritable) {
      this.channel.stopReading();
      return;
    }
    this.channel.readOn();
    for (const stream of [...this.#streams]) stream.wake();
  }

  override exceptionCaught(error: Error): void {
    if (!(error instanceof TaskdError)) {
      this.#runtime.logger.error(
        { peer: this.peer.address, stack: error.stack },
        'a connection failed by our own fault',
      );
    }
    this.channel.close('reset', error.message);
  }

  override channelInactive(_error: Error | undefined): void {
    this.#state = 'closed';
    this.#closeStreams();
    const slots = this.#slots.splice(0);
    for (const entry of slots) if (entry instanceof InboundCall) entry.cancel();
  }

  override tick(nowMs: number, wasPaused: boolean): void {
    if (nowMs >= this.#leaveByMs) this.channel.close('reset', 'the peer did not leave in time');
    else this.next.tick(nowMs, wasPaused);
  }

  /** Asks the peer to leave within `leaveWithinMs`; it is cut when it stays. */
  goAway(reason: string, leaveWithinMs: number): void {
    if (this.#state !== 'serving') return;
    this.#state = 'draining';
    this.peer.isAskedToLeave = true;
    this.#leaveByMs = this.clock.monotonicMs() + leaveWithinMs;
    this.#write(Kind.GOAWAY, 0, 0, taskd.GoAway, { reason, leaveWithinMs }, undefined);
  }

  answer(call: InboundCall, message: unknown, payload: readonly Piece[] | undefined): void {
    if (this.#finish(call) && this.channel.isActive) {
      try {
        this.#write(Kind.RES, call.method.id, call.correlation, call.method.answer, message, payload);
      } catch (error) {
        releasePieces(payload);
        this.#error(call.method, call.correlation, error);
      }
    } else releasePieces(payload);
    this.#endIfDone();
  }

  answerError(call: InboundCall, error: unknown): void {
    if (this.#finish(call)) this.#error(call.method, call.correlation, error);
    this.#endIfDone();
  }

  push(stream: InboundStream, message: unknown, payload: readonly Uint8Array[] | undefined): void {
    this.#write(Kind.PUSH, stream.method.id, stream.correlation, stream.method.answer, message, payload);
    this.#stats.pushes++;
  }

  endStream(stream: InboundStream, error: unknown): void {
    this.#forget(stream);
    if (error === undefined) {
      this.#write(Kind.END, stream.method.id, stream.correlation, undefined, undefined, undefined);
      return;
    }
    const info = toErrorInfo(error, this.#runtime, stream.method.name);
    this.#write(Kind.END, stream.method.id, stream.correlation, taskd.ErrorInfo, info, undefined);
  }

  #request(frame: Frame): void {
    const route = this.#routes.find(frame.method);
    const { correlation } = frame;
    if (route === undefined || route.onSend !== undefined) {
      this.#fault(frame, ErrorCode.UNKNOWN_METHOD, `method 0x${frame.method.toString(16)} is not served here`);
      return;
    }
    if (this.#state !== 'serving') {
      const text = `${route.method.name}: this server is leaving; ask another node`;
      this.#error(route.method, correlation, new TaskdError(ErrorCode.DRAINING, text, { retry: Retry.OTHER }));
      return;
    }
    const slot = slotOf(correlation);
    if (slot >= inFlightCallsMax || this.#running >= runningMax) {
      this.#stats.refused++;
      this.#busy(route.method, correlation);
      return;
    }
    let request: { deadlineMs?: number; credit?: number };
    try {
      request = frame.decode(route.method.request) as { deadlineMs?: number; credit?: number };
    } catch (error) {
      this.#fault(frame, ErrorCode.MALFORMED, `${route.method.name}: ${(error as Error).message}`);
      return;
    }
    const before = this.#slots[slot];
    // A slot that is used again was given up by its caller, even if no CANCEL said so.
    if (before !== undefined) this.#giveUp(before);
    if (route.onStream !== undefined) this.#openStream(route, correlation, request);
    else this.#serve(route, frame, request);
  }

  #serve(route: Route, frame: Frame, request: { deadlineMs?: number }): void {
    const { method } = route;
    if (this.#looksLeft === 0) {
      this.#nowMs = this.clock.monotonicMs();
      this.#looksLeft = requestsPerLook;
      if (this.#isNewChunk) this.#arrivedMs = this.#nowMs;
      this.#isNewChunk = false;
    }
    this.#looksLeft--;
    const dueMs = this.#arrivedMs + (request.deadlineMs || method.deadlineMs);
    if (dueMs <= this.#nowMs) {
      // Those before it in the chunk took too long: nobody waits for this one any more.
      this.#stats.expired++;
      return;
    }
    const call = new InboundCall(this, method, frame.correlation, frame.payload, dueMs);
    this.#stats.calls++;
    this.#running++;
    this.#slots[slotOf(frame.correlation)] = call;
    try {
      route.onCall!(request, call);
    } catch (error) {
      call.fail(error);
    }
  }

  #openStream(route: Route, correlation: number, request: { credit?: number }): void {
    const stream = new InboundStream(this, route.method, correlation, request.credit ?? 0);
    this.#stats.streams++;
    this.#slots[slotOf(correlation)] = stream;
    this.#streams.add(stream);
    try {
      route.onStream!(request, stream);
    } catch (error) {
      stream.end(error);
    }
  }

  #oneway(frame: Frame): void {
    const route = this.#routes.find(frame.method);
    if (route?.onSend === undefined) {
      this.#takeFault(`a oneway of method 0x${frame.method.toString(16)}, which is not served here`);
      return;
    }
    let request: unknown;
    try {
      request = frame.decode(route.method.request);
    } catch (error) {
      this.#takeFault(`${route.method.name}: ${(error as Error).message}`);
      return;
    }
    this.#stats.oneways++;
    try {
      route.onSend(request, this.peer, frame.payload);
    } catch (error) {
      this.#runtime.logger.error({ method: route.method.name, stack: (error as Error).stack }, 'a handler failed');
    }
  }

  #cancel(frame: Frame): void {
    const entry = this.#slots[slotOf(frame.correlation)];
    if (entry === undefined || entry.correlation !== frame.correlation) return;
    if (!this.#cancels.take(this.clock.monotonicMs())) {
      throw new TaskdError(ErrorCode.QUOTA, `more than ${cancelBurst} cancelled calls at once`);
    }
    this.#giveUp(entry);
  }

  #giveUp(entry: InboundCall | InboundStream): void {
    this.#slots[slotOf(entry.correlation)] = undefined;
    if (entry instanceof InboundCall) {
      this.#stats.cancelled++;
      entry.cancel();
    } else {
      this.#streams.delete(entry);
      entry.close();
    }
  }

  #credit(frame: Frame): void {
    const entry = this.#slots[slotOf(frame.correlation)];
    if (!(entry instanceof InboundStream) || entry.correlation !== frame.correlation) return;
    entry.grant(frame.decode(taskd.Credit).pushes);
  }

  /** The handler of `call` is done. True when somebody waits for its answer. */
  #finish(call: InboundCall): boolean {
    this.#running--;
    const slot = slotOf(call.correlation);
    if (this.#slots[slot] === call) this.#slots[slot] = undefined;
    return !call.isCancelled && this.#state !== 'closed';
  }

  #forget(stream: InboundStream): void {
    const slot = slotOf(stream.correlation);
    if (this.#slots[slot] === stream) this.#slots[slot] = undefined;
    this.#streams.delete(stream);
  }

  #closeStreams(): void {
    for (const stream of [...this.#streams]) {
      this.#forget(stream);
      stream.close();
    }
  }

  #endIfDone(): void {
    if (this.#state === 'leaving' && this.#running === 0) this.channel.close('end', 'the client left');
  }

  #busy(method: Method, correlation: number): void {
    const text = `${method.name}: at most ${inFlightCallsMax} calls may be in flight on one connection`;
    const options = { retry: Retry.AFTER, retryAfterMs: busyRetryMs };
    this.#error(method, correlation, new TaskdError(ErrorCode.BUSY, text, options));
  }

  /** Answers a request that breaks the rules; a peer that goes on like this is cut. */
  #fault(frame: Frame, code: ErrorCode, text: string): void {
    this.#takeFault(text);
    const info = toErrorInfo(new TaskdError(code, text), this.#runtime, '');
    this.#stats.errors++;
    this.#write(Kind.ERR, frame.method, frame.correlation, taskd.ErrorInfo, info, undefined);
  }

  #takeFault(text: string): void {
    this.#runtime.logger.debug({ peer: this.peer.address, clientId: this.peer.clientId }, text);
    if (this.#faults.take(this.clock.monotonicMs())) return;
    throw new TaskdError(ErrorCode.QUOTA, `more than ${faultBurst} requests that break the rules; the last: ${text}`);
  }

  #error(method: Method, correlation: number, error: unknown): void {
    this.#stats.errors++;
    const info = toErrorInfo(error, this.#runtime, method.name);
    this.#write(Kind.ERR, method.id, correlation, taskd.ErrorInfo, info, undefined);
  }

  #write(
    kind: Kind,
    method: number,
    correlation: number,
    codec: Codec<unknown, never> | undefined,
    message: unknown,
    payload: readonly Piece[] | undefined,
  ): void {
    const out = this.#out;
    out.kind = kind;
    out.method = method;
    out.correlation = correlation;
    out.codec = codec as Codec<unknown> | undefined;
    out.message = message;
    out.payload = payload;
    this.previous.write(out);
    out.message = undefined;
    out.payload = undefined;
  }
}
