import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import type { Peer, ServerCall, ServerStream } from '../rpc/service.js';
import type { taskd } from '../wire/generated/messages.js';
import type { DispatchEffect } from './core/effects.js';

type Push = taskd.SessionPush.$Properties;
type Stream = ServerStream<Push>;

/** Argument bytes of one push: well below the limit of a frame's meta. */
const pushBytesMax = 256 * 1_024;
const pushCountMax = 4_096;
/** Bytes of a dispatch besides arguments and names. */
const dispatchBytes = 64;
const pingsMax = 16;

interface WaitingPing {
  readonly sentMs: number;
  readonly call: ServerCall<taskd.SessionPingResponse.$Properties>;
}

/**
 * One worker's connection at the scheduler: gathers what is to be pushed until the end of a turn, keeps what credit or
 * the socket refuse, and holds the calls that wait for the core's answer.
 */
export class WorkerSession {
  readonly id: number;
  readonly #stream: Stream;
  #dispatches: taskd.Dispatch.$Properties[] = [];
  #cancels: number[] = [];
  #acknowledged: number[] = [];
  #acknowledgedOffset = 0;
  #pings: WaitingPing[] = [];
  #claim: ServerCall<taskd.ClaimResponse.$Properties> | undefined;
  #isWaiting = false;
  #isOver = false;

  constructor(id: number, stream: Stream) {
    this.id = id;
    this.#stream = stream;
  }

  get peer(): Peer {
    return this.#stream.peer;
  }

  dispatch(effect: Omit<DispatchEffect, 'kind' | 'sessionId' | 'arguments' | 'argumentsAt'>, args: Uint8Array): void {
    const { run, token, epoch, attempt, processor, job, dueMs, timeoutMs } = effect;
    this.#dispatches.push({ run, token, epoch, attempt, processor, arguments: args, job, dueMs, timeoutMs });
  }

  cancel(token: number): void {
    this.#cancels.push(token);
  }

  acknowledge(token: number, offset: number): void {
    this.#acknowledged.push(token);
    if (offset > this.#acknowledgedOffset) this.#acknowledgedOffset = offset;
  }

  /** False when it has too many pings already: the call was failed. */
  awaitPong(sentMs: number, call: ServerCall<taskd.SessionPingResponse.$Properties>): boolean {
    if (this.#pings.length >= pingsMax) {
      call.fail(
        new TaskdError(ErrorCode.BUSY, `${pingsMax} pings of this session wait already`, {
          retry: Retry.AFTER,
          retryAfterMs: 1_000,
        }),
      );
      return false;
    }
    this.#pings.push({ sentMs, call });
    return true;
  }

  pong(sentMs: number, epoch: number): void {
    const at = this.#pings.findIndex((ping) => ping.sentMs === sentMs);
    if (at < 0) return;
    const [ping] = this.#pings.splice(at, 1);
    ping!.call.reply({ epoch, sentMonotonicMs: sentMs });
  }

  awaitClaim(call: ServerCall<taskd.ClaimResponse.$Properties>): void {
    this.#claim?.fail(new TaskdError(ErrorCode.SUPERSEDED, 'a later claim of this session came'));
    this.#claim = call;
  }

  claimed(epoch: number, kept: readonly number[]): void {
    this.#claim?.reply({ epoch, kept: [...kept] });
    this.#claim = undefined;
  }

  /** Pushes what has gathered, in frames of a bounded size, as far as the worker's credit goes. */
  flush(): void {
    if (this.#isWaiting || this.#isOver) return;
    while (this.#dispatches.length > 0 || this.#cancels.length > 0 || this.#acknowledged.length > 0) {
      const taken = this.#fitting();
      const isLast = taken === this.#dispatches.length;
      const push = {
        dispatches: isLast ? this.#dispatches : this.#dispatches.slice(0, taken),
        // A worker ignores the cancel of a lease that it hasn't got yet, so none may overtake its dispatch.
        cancels: isLast ? this.#cancels : [],
        acknowledged: this.#acknowledged,
        acknowledgedOffset: this.#acknowledgedOffset,
      };
      if (!this.#stream.push(push)) {
        this.#isWaiting = true;
        this.#stream.onWritable(() => {
          this.#isWaiting = false;
          this.flush();
        });
        return;
      }
      this.#dispatches = isLast ? [] : this.#dispatches.slice(taken);
      if (isLast) this.#cancels = [];
      this.#acknowledged = [];
    }
  }

  /** How many of the dispatches go into the next frame. */
  #fitting(): number {
    let bytes = 0;
    let count = 0;
    for (const dispatch of this.#dispatches) {
      bytes += dispatchBytes + (dispatch.arguments?.length ?? 0) + 3 * (dispatch.job?.length ?? 0);
      if (count > 0 && (bytes > pushBytesMax || count >= pushCountMax)) break;
      count++;
    }
    return count;
  }

  /** The worker must look for the owner anew. */
  end(error: TaskdError): void {
    if (this.#isOver) return;
    this.flush();
    this.#isOver = true;
    this.#failCalls(error);
    this.#stream.push({ notOwner: true });
    this.#stream.end();
  }

  /** The stream is gone, and with it the session; the connection may live on. */
  gone(): void {
    this.#isOver = true;
    this.#failCalls(new TaskdError(ErrorCode.CANCELLED, 'the session was given up'));
    this.#dispatches = [];
  }

  #failCalls(error: TaskdError): void {
    for (const { call } of this.#pings) call.fail(error);
    this.#claim?.fail(error);
    this.#pings = [];
    this.#claim = undefined;
  }
}
