/**
 * The client's end of a connection: calls go out, answers find their callers.
 *
 * A call takes a slot of a fixed array; slot and generation together are its correlation, so a late answer to a slot
 * that is used again finds nobody. Slots are reused in the order in which they became free, which makes the generation
 * last. When all are taken, calls wait in a bounded queue with their deadline running.
 *
 * Deadlines cost nothing per call: one timer is set to the earliest, and looks at all slots when it fires.
 *
 * States: idle → open (`channelActive`) → draining (GOAWAY came: no new calls, our FIN once the last answer is here) →
 * closed. All that waits fails exactly once when the channel closes: the state is cleared before anybody is told.
 */
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import type { Clock, Timer } from '../runtime/clock.js';
import { Handler, type Inbound, type UserEvent } from '../transport/handler.js';
import { correlationOf, type Frame, Kind, slotOf } from '../wire/frame.js';
import type { TakePart } from '../wire/frame-decoder.js';
import { OutboundFrame } from '../wire/frame-writer.js';
import { taskd } from '../wire/generated/messages.js';
import type { Method } from '../wire/methods.js';
import { CallQueue } from './call-queue.js';
import { fromErrorInfo } from './error-info.js';
import type { PendingCall } from './pending-call.js';
import type { RpcStats } from './stats.js';

/** Between two looks at the deadlines: what a deadline may be late. */
const sweepMsMin = 5;
const noBytes = new Uint8Array(0);

export class Correlator extends Handler {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #stats: RpcStats;
  readonly #queue = new CallQueue();
  readonly #out = new OutboundFrame();
  #slots: (PendingCall | undefined)[] = [];
  #generations: Uint16Array = new Uint16Array(0);
  /** A ring of free slots. */
  #free: Uint16Array = new Uint16Array(0);
  #freeHead = 0;
  #freeCount = 0;
  #inFlight = 0;
  #streams = 0;
  #state: 'idle' | 'open' | 'draining' | 'closed' = 'idle';
  #sweep: Timer | undefined;
  #sweepDueMs = Number.POSITIVE_INFINITY;
  #closeError: Error | undefined;
  /** Called once when the channel is over. */
  onClosed: ((error: Error | undefined) => void) | undefined;
  /** Called once when the server asked us to leave. */
  onGoAway: ((reason: string) => void) | undefined;

  constructor(clock: Clock, logger: Logger, stats: RpcStats) {
    super();
    this.#clock = clock;
    this.#logger = logger;
    this.#stats = stats;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }
  get isDraining(): boolean {
    return this.#state === 'draining';
  }
  /** Calls and streams that hold a slot. */
  get inFlight(): number {
    return this.#inFlight;
  }
  get queued(): number {
    return this.#queue.size;
  }

  /** The server lets us have so many calls in flight. */
  allow(inFlightMax: number): void {
    this.#slots = new Array<PendingCall | undefined>(inFlightMax).fill(undefined);
    this.#generations = new Uint16Array(inFlightMax);
    this.#free = Uint16Array.from({ length: inFlightMax }, (_, slot) => slot);
    this.#freeCount = inFlightMax;
  }

  /** Sends `call`, or lets it wait for a slot, or fails it. */
  submit(call: PendingCall): void {
    if (this.#state !== 'open') {
      call.fail(this.#refusal(call.method));
      return;
    }
    if (this.#freeCount > 0) this.#send(call);
    else {
      this.#queue.push(call);
      this.#arm(call.dueMs);
    }
  }

  /** Sends a oneway. Throws what the encoder refuses. */
  oneway(method: Method, request: unknown, payload: readonly Uint8Array[] | undefined): void {
    if (this.#state !== 'open' && this.#state !== 'draining') return;
    this.#write(Kind.ONEWAY, method.id, 0, method.request, request, payload, 0, 0);
  }

  /** Grants a stream more pushes. */
  credit(call: PendingCall, pushes: number): void {
    if (call.isDone) return;
    if (call.correlation === 0) call.credit += pushes;
    else this.#write(Kind.CREDIT, call.method.id, call.correlation, taskd.Credit, { pushes }, undefined, 0, 0);
  }

  /** Gives a call or stream up; its slot is free at once, and what still comes for it finds nobody. */
  cancel(call: PendingCall): void {
    if (call.isDone) return;
    call.isDone = true;
    if (call.correlation === 0 || this.#slots[slotOf(call.correlation)] !== call) return;
    this.#release(call);
    this.#write(Kind.CANCEL, call.method.id, call.correlation, undefined, undefined, undefined, 0, 0);
    this.#next();
  }

  override channelActive(): void {
    this.#state = 'open';
  }

  override channelRead(message: Inbound): void {
    const frame = message as Frame;
    switch (frame.kind) {
      case Kind.RES:
        this.#answered(frame);
        return;
      case Kind.PUSH:
        this.#pushed(frame);
        return;
      case Kind.ERR:
      case Kind.END:
        this.#ended(frame);
        return;
      case Kind.GOAWAY:
        this.#goAway(frame.decode(taskd.GoAway));
        return;
      default:
        throw new TaskdError(ErrorCode.MALFORMED, `the server sent a frame of kind ${frame.kind}`);
    }
  }

  override userEvent(event: UserEvent): void {
    if (event !== 'peerEnd') return;
    this.#closeError ??= new Error('the server closed the connection');
    this.channel.close('end', 'the server closed the connection');
    this.#closed(this.#closeError);
  }

  override exceptionCaught(error: Error): void {
    this.#closeError ??= error;
    const stack = error instanceof TaskdError ? undefined : error.stack;
    this.#logger.warn({ server: this.channel.remote, error: error.message, stack }, 'a connection was cut');
    this.channel.close('reset', error.message);
  }

  override channelInactive(error: Error | undefined): void {
    const reason = this.channel.closeReason;
    this.#closed(this.#closeError ?? error ?? (reason === '' ? undefined : new Error(reason)));
  }

  /** Our own goodbye: everything pending fails now. */
  shut(): void {
    if (this.#state === 'closed') return;
    this.channel.close('end', 'closed by this side');
    this.#closed(undefined);
  }

  #refusal(method: Method): TaskdError {
    if (this.#state === 'draining') {
      return new TaskdError(ErrorCode.DRAINING, `${method.name}: the server is leaving; ask another node`, {
        retry: Retry.OTHER,
      });
    }
    return new TaskdError(ErrorCode.NOT_SENT, `${method.name}: the connection is closed`, { retry: Retry.OTHER });
  }

  #send(call: PendingCall): void {
    const isStream = call.events !== undefined;
    const deadlineMs = isStream ? 0 : Math.max(1, Math.ceil(call.dueMs - this.channel.turnMs()));
    const slot = this.#free[this.#freeHead]!;
    const generation = this.#generations[slot] === 0xffff ? 1 : this.#generations[slot]! + 1;
    const correlation = correlationOf(slot, generation);
    const { method } = call;
    try {
      this.#write(
        Kind.REQ,
        method.id,
        correlation,
        method.request,
        call.request,
        call.payload,
        call.credit,
        deadlineMs,
      );
    } catch (error) {
      call.fail(error as TaskdError);
      return;
    }
    if (++this.#freeHead === this.#free.length) this.#freeHead = 0;
    this.#freeCount--;
    this.#generations[slot] = generation;
    this.#slots[slot] = call;
    this.#inFlight++;
    if (isStream) this.#streams++;
    call.correlation = correlation;
    call.request = undefined;
    if (call.dueMs < this.#sweepDueMs) this.#arm(call.dueMs);
  }

  #write(
    kind: Kind,
    method: number,
    correlation: number,
    codec: Method['request'] | undefined,
    message: unknown,
    payload: readonly Uint8Array[] | undefined,
    credit: number,
    deadlineMs: number,
  ): void {
    const out = this.#out;
    out.kind = kind;
    out.method = method;
    out.correlation = correlation;
    out.codec = codec;
    out.message = message;
    out.payload = payload;
    out.credit = credit;
    out.deadlineMs = deadlineMs;
    this.previous.write(out);
    out.message = undefined;
    out.payload = undefined;
  }

  /** The call that `frame` is for, or undefined when nobody waits for it any more. */
  #find(frame: Frame): PendingCall | undefined {
    const call = this.#slots[slotOf(frame.correlation)];
    if (call === undefined || call.correlation !== frame.correlation) {
      this.#stats.lateAnswers++;
      return undefined;
    }
    if (call.method.id !== frame.method) {
      throw new TaskdError(ErrorCode.MALFORMED, `an answer for another method than ${call.method.name}`);
    }
    return call;
  }

  #release(call: PendingCall): void {
    const slot = slotOf(call.correlation);
    this.#slots[slot] = undefined;
    let tail = this.#freeHead + this.#freeCount;
    if (tail >= this.#free.length) tail -= this.#free.length;
    this.#free[tail] = slot;
    this.#freeCount++;
    this.#inFlight--;
    if (call.events !== undefined) this.#streams--;
  }

  #answered(frame: Frame): void {
    const call = this.#find(frame);
    if (call === undefined) return;
    if (call.events !== undefined) throw new TaskdError(ErrorCode.MALFORMED, `${call.method.name}: RES on a stream`);
    this.#release(call);
    let message: unknown;
    try {
      message = frame.decode(call.method.answer);
    } catch (error) {
      call.fail(error as TaskdError);
      this.#next();
      return;
    }
    const { sink } = call;
    if (sink === undefined) call.answer({ message, payload: frame.payload });
    else {
      sink.begin(message, frame.payload.length);
      sink.part(frame.payload);
      call.answer({ message, payload: noBytes });
    }
    this.#next();
  }

  /** See `OpenPayload`: who takes the payload of an answer that comes in parts. */
  openPayload(frame: Frame, payloadBytes: number): TakePart | undefined {
    const call = this.#slots[slotOf(frame.correlation)];
    if (call?.sink === undefined || call.correlation !== frame.correlation || call.method.id !== frame.method) {
      return undefined;
    }
    const { sink } = call;
    const message = frame.decode(call.method.answer);
    sink.begin(message, payloadBytes);
    return (part, isLast) => {
      // Given up meanwhile: what still comes is nobody's.
      if (this.#slots[slotOf(call.correlation)] !== call) return;
      sink.part(part);
      if (!isLast) return;
      this.#release(call);
      call.answer({ message, payload: noBytes });
      this.#next();
    };
  }

  #pushed(frame: Frame): void {
    const call = this.#find(frame);
    if (call === undefined) return;
    if (call.events === undefined) throw new TaskdError(ErrorCode.MALFORMED, `${call.method.name}: PUSH for a call`);
    const message = frame.decode(call.method.answer);
    try {
      call.events.push(message, frame.payload);
    } catch (error) {
      this.#logger.error({ method: call.method.name, stack: (error as Error).stack }, 'a stream reader failed');
    }
  }

  #ended(frame: Frame): void {
    if (frame.correlation === 0 && frame.kind === Kind.ERR) {
      this.#closeError = fromErrorInfo(frame.decode(taskd.ErrorInfo));
      return;
    }
    const call = this.#find(frame);
    if (call === undefined) return;
    const error = frame.kind === Kind.ERR || frame.hasMeta ? fromErrorInfo(frame.decode(taskd.ErrorInfo)) : undefined;
    this.#release(call);
    if (error === undefined) call.end();
    else call.fail(error);
    this.#next();
  }

  #goAway(message: taskd.GoAway): void {
    if (this.#state !== 'open') return;
    this.#state = 'draining';
    const waiting = this.#queue.takeAll();
    const streams = this.#slots.filter((call) => call?.events !== undefined) as PendingCall[];
    for (const call of streams) {
      this.#release(call);
      this.#write(Kind.CANCEL, call.method.id, call.correlation, undefined, undefined, undefined, 0, 0);
    }
    for (const call of [...waiting, ...streams]) call.fail(this.#refusal(call.method));
    this.onGoAway?.(message.reason);
    this.#leaveIfIdle();
  }

  /** A slot became free. */
  #next(): void {
    if (this.#state === 'draining') this.#leaveIfIdle();
    if (this.#queue.size === 0) return;
    while (this.#state === 'open' && this.#freeCount > 0) {
      const call = this.#queue.shift();
      if (call === undefined) return;
      this.#send(call);
    }
  }

  #leaveIfIdle(): void {
    if (this.#state === 'draining' && this.#inFlight === 0) this.shut();
  }

  #arm(dueMs: number): void {
    if (dueMs >= this.#sweepDueMs || dueMs === Number.POSITIVE_INFINITY) return;
    this.#sweep?.cancel();
    this.#sweepDueMs = dueMs;
    this.#sweep = this.#clock.timer(Math.max(0, dueMs - this.#clock.monotonicMs()), this.#expire);
  }

  readonly #expire = (): void => {
    this.#sweep = undefined;
    this.#sweepDueMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonicMs();
    let earliestMs = Number.POSITIVE_INFINITY;
    const expired: PendingCall[] = [];
    if (this.#inFlight > this.#streams) {
      for (const call of this.#slots) {
        if (call === undefined) continue;
        if (call.dueMs <= nowMs) expired.push(call);
        else if (call.dueMs < earliestMs) earliestMs = call.dueMs;
      }
    }
    for (const call of expired) {
      this.#release(call);
      this.#write(Kind.CANCEL, call.method.id, call.correlation, undefined, undefined, undefined, 0, 0);
      call.fail(
        new TaskdError(ErrorCode.DEADLINE, `${call.method.name}: no answer in time; it may still have been done`, {
          retry: Retry.OTHER,
        }),
      );
    }
    this.#queue.expire(nowMs);
    if (expired.length > 0) this.#next();
    this.#arm(Math.max(nowMs + sweepMsMin, Math.min(earliestMs, this.#queue.earliestDueMs)));
  };

  #closed(error: Error | undefined): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#sweep?.cancel();
    this.#sweep = undefined;
    const waiting = this.#queue.takeAll();
    const sent = this.#slots.filter((call) => call !== undefined);
    this.#slots = [];
    this.#inFlight = 0;
    this.#streams = 0;
    const reason = error?.message ?? 'closed by this side';
    for (const call of waiting) call.fail(this.#refusal(call.method));
    for (const call of sent) {
      call.fail(
        new TaskdError(ErrorCode.CONNECTION_LOST, `${call.method.name}: the connection was lost (${reason})`, {
          retry: Retry.OTHER,
          cause: error,
        }),
      );
    }
    this.onClosed?.(error);
  }
}
