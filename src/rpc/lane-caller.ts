/**
 * The way to one address: a connection that is made when it is needed.
 *
 * States: idle → waiting (the last attempt failed: a random while passes) → dialling → connected → idle | waiting;
 * closed from any. Calls made while there is no connection wait for the outcome of the next attempt, within their
 * deadline: they are sent, or fail with NOT_SENT. When the server asks us to leave, its connection finishes what it has
 * in flight, and the next call dials anew.
 */
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import type { Timer } from '../runtime/clock.js';
import { type Address, formatAddress } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Method } from '../wire/methods.js';
import { Backoff } from './backoff.js';
import { CallQueue } from './call-queue.js';
import type { Answer, Caller, CallOptions, ClientStream, StreamEvents } from './caller.js';
import {
  type ClientIdentity,
  type DialShare,
  dial,
  pendingCall,
  pendingStream,
  type RpcConnection,
} from './connection.js';
import type { PendingCall } from './pending-call.js';

const backoffFirstMs = 50;
const backoffMaxMs = 5_000;
const dialTimeoutMs = 5_000;
/** A connection that lived so long was useful: the next failure begins the ladder anew. */
const usefulMs = 10_000;
const sweepMsMin = 5;

export class LaneCaller implements Caller {
  readonly #runtime: Runtime;
  readonly #address: Address;
  readonly #self: ClientIdentity;
  readonly #share: DialShare;
  readonly #backoff: Backoff;
  readonly #queue = new CallQueue();
  /** Connections that still finish something, the current one included. */
  readonly #alive = new Set<RpcConnection>();
  #state: 'idle' | 'waiting' | 'dialling' | 'connected' | 'closed' = 'idle';
  #connection: RpcConnection | undefined;
  #connectedMs = 0;
  #retry: Timer | undefined;
  #sweep: Timer | undefined;
  #sweepDueMs = Number.POSITIVE_INFINITY;

  constructor(runtime: Runtime, address: Address, self: ClientIdentity, share: DialShare) {
    this.#runtime = runtime;
    this.#address = address;
    this.#self = self;
    this.#share = share;
    this.#backoff = new Backoff(runtime.random, backoffFirstMs, backoffMaxMs);
  }

  /** Connections that are open or finish something. */
  get connections(): ReadonlySet<RpcConnection> {
    return this.#alive;
  }

  /** Attempts that failed since the last useful connection. */
  get failures(): number {
    return this.#backoff.failures;
  }

  call<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, request: QIn, options?: CallOptions<A>): Promise<Answer<A>> {
    const connection = this.#connection;
    if (connection?.isOpen === true) return connection.call(method, request, options);
    const call = pendingCall(this.#runtime.clock.monotonicMs(), method, request, options);
    this.#enqueue(call);
    return call.promise as Promise<Answer<A>>;
  }

  send<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, request: QIn, payload?: readonly Uint8Array[]): void {
    if (this.#connection?.isOpen === true) this.#connection.send(method, request, payload);
    else this.#connect();
  }

  open<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
    credit: number,
    events: StreamEvents<A>,
  ): ClientStream {
    const connection = this.#connection;
    if (connection?.isOpen === true) return connection.open(method, request, credit, events);
    const call = pendingStream(method, request, credit, events);
    let stream: ClientStream | undefined;
    this.#whenSent.set(call, (by) => {
      stream = by.streamOf(call);
    });
    this.#enqueue(call);
    return {
      credit: (pushes) => {
        if (stream !== undefined) stream.credit(pushes);
        else call.credit += pushes;
      },
      cancel: () => {
        if (stream !== undefined) stream.cancel();
        else call.isDone = true;
      },
    };
  }

  /** Streams that wait to be sent, and who wants to know by which connection. */
  readonly #whenSent = new WeakMap<PendingCall, (connection: RpcConnection) => void>();

  close(): void {
    this.#state = 'closed';
    this.#retry?.cancel();
    this.#sweep?.cancel();
    for (const connection of [...this.#alive]) connection.close();
    this.#failAll(new Error('closed by this side'));
  }

  #enqueue(call: PendingCall): void {
    if (this.#state === 'closed') {
      call.fail(this.#notSent(call, new Error('closed by this side')));
      return;
    }
    this.#queue.push(call);
    this.#arm(call.dueMs);
    this.#connect();
  }

  #connect(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'dialling';
    dial(this.#runtime, this.#address, this.#self, dialTimeoutMs, this.#share).then(
      (connection) => this.#connected(connection),
      (error: Error) => this.#failed(error),
    );
  }

  #connected(connection: RpcConnection): void {
    if (this.#state === 'closed') {
      connection.close();
      return;
    }
    this.#state = 'connected';
    this.#connection = connection;
    this.#connectedMs = this.#runtime.clock.monotonicMs();
    this.#alive.add(connection);
    connection.onDrain(() => this.#left(connection, undefined));
    connection.onClose((error) => {
      this.#alive.delete(connection);
      this.#left(connection, error);
    });
    if (this.#connection !== connection) return;
    for (let call = this.#queue.shift(); call !== undefined; call = this.#queue.shift()) {
      this.#whenSent.get(call)?.(connection);
      connection.submit(call);
    }
  }

  /** The current connection takes no more calls. */
  #left(connection: RpcConnection, error: Error | undefined): void {
    if (this.#connection !== connection || this.#state === 'closed') return;
    this.#connection = undefined;
    const livedMs = this.#runtime.clock.monotonicMs() - this.#connectedMs;
    if (livedMs >= usefulMs) this.#backoff.succeeded();
    if (error !== undefined) this.#runtime.logger.debug({ server: this.#address, error: error.message }, 'lost');
    this.#wait();
  }

  #failed(error: Error): void {
    if (this.#state === 'closed') return;
    this.#runtime.logger.debug({ server: this.#address, error: error.message }, 'not connected');
    this.#wait();
    this.#failAll(error);
  }

  #wait(): void {
    this.#state = 'waiting';
    this.#retry = this.#runtime.clock.timer(this.#backoff.failed(), () => {
      this.#state = 'idle';
      if (this.#queue.size > 0) this.#connect();
    });
  }

  #failAll(error: Error): void {
    for (const call of this.#queue.takeAll()) call.fail(this.#notSent(call, error));
  }

  #notSent(call: PendingCall, error: Error): TaskdError {
    if (error instanceof TaskdError && error.code !== ErrorCode.NOT_SENT) return error;
    const text = `${call.method.name}: not sent to ${formatAddress(this.#address)}: ${error.message}`;
    return new TaskdError(ErrorCode.NOT_SENT, text, { retry: Retry.OTHER, cause: error });
  }

  #arm(dueMs: number): void {
    if (dueMs >= this.#sweepDueMs || dueMs === Number.POSITIVE_INFINITY) return;
    this.#sweep?.cancel();
    this.#sweepDueMs = dueMs;
    const nowMs = this.#runtime.clock.monotonicMs();
    this.#sweep = this.#runtime.clock.timer(Math.max(0, dueMs - nowMs), () => {
      this.#sweepDueMs = Number.POSITIVE_INFINITY;
      const atMs = this.#runtime.clock.monotonicMs();
      this.#queue.expire(atMs);
      this.#arm(Math.max(atMs + sweepMsMin, this.#queue.earliestDueMs));
    });
  }
}
