/**
 * The session with a name server: which of them we talk to, and when we go to another one.
 *
 *   WAITING ──jittered wait──▶ TRYING ──connected, and it answers a beat──▶ UP
 *      ▲                         │                                        │ ▲
 *      └──not reached within 1 s, or NOT_READY: the next server───────────┤ │ one that isn't frozen answers:
 *      └──the connection is over, two beats without any answer, NOT_READY─┘ └ moved to it, the connection already there
 *
 * A session is a connection of its own: what is registered lives with it, so leaving a name server means closing it.
 * `ServerOrder` says who is next and when. A name server that says that it is frozen, cut off from most of the others,
 * stays in use until another one answers that it isn't; they are all asked, again at each beat.
 */
import { ErrorCode, isTaskdError, TaskdError } from '../base/errors.js';
import type { OwnConnection } from '../rpc/caller.js';
import type { Connections } from '../rpc/connections.js';
import type { Timer } from '../runtime/clock.js';
import { type Address, formatAddress } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import type { taskd } from '../wire/generated/messages.js';
import { beat, listNodes } from '../wire/methods.js';
import { firstWaitMs, ServerOrder } from './server-order.js';

export const beatMs = 3_000;
/** Beats in a row after which no answer to anything means that nobody is there. */
const unansweredMax = 2;
/** What a name server has to take a connection, and again to answer: those that are there do it in milliseconds. */
const tryMs = 1_000;

/** What the session is for. Nothing of it is called in the constructor of the session. */
export interface SessionUser {
  /** A name server answers, over this connection until `down`. */
  up(connection: OwnConnection): void;
  /** The session is over; another one is looked for. */
  down(): void;
  /** A beat that was sent at `sentMs` was answered. */
  beaten(answer: taskd.BeatResponse, sentMs: number): void;
  /** All name servers were asked in vain, this was the last one's reason. They are asked again. */
  unanswered(reason: Error): void;
}

export class Session {
  readonly #runtime: Runtime;
  readonly #connections: Connections;
  readonly #servers: readonly Address[];
  readonly #user: SessionUser;
  readonly #order: ServerOrder;
  #connection: OwnConnection | undefined;
  /** That of the connection. */
  #server = 0;
  #next: { readonly server: number; readonly atMs: number; readonly timer: Timer } | undefined;
  #beatTimer: Timer | undefined;
  #unanswered = 0;
  #isLooking = false;
  #isClosed = false;

  /** Begins at once to look for a name server. */
  constructor(runtime: Runtime, connections: Connections, servers: readonly Address[], user: SessionUser) {
    this.#runtime = runtime;
    this.#connections = connections;
    this.#servers = servers;
    this.#user = user;
    this.#order = new ServerOrder(servers.length, runtime.random);
    this.#tryNext();
  }

  /** That of the name server that answers now. */
  get connection(): OwnConnection | undefined {
    return this.#connection;
  }

  /** Something came over the connection. */
  heard(connection: OwnConnection): void {
    if (this.#connection === connection) this.#unanswered = 0;
  }

  /** An answer said that its name server is frozen: looks for another one. */
  frozen(connection: OwnConnection): void {
    if (this.#connection === connection) this.#lookElsewhere(connection);
  }

  /** Ends this session and goes for the next name server. */
  leave(connection: OwnConnection, reason: Error): void {
    if (this.#connection !== connection || this.#isClosed) return;
    const nowMs = this.#runtime.clock.monotonicMs();
    this.#order.lost(this.#server, nowMs);
    this.#drop(connection);
    this.#log('a session with a name server is over', this.#server, { reason: reason.message });
    this.#tryNext();
  }

  /** Somebody waits: a next try that is far off comes within half a second. */
  hurry(): void {
    if (this.#next === undefined) return;
    const { server, atMs, timer } = this.#next;
    if (atMs - this.#runtime.clock.monotonicMs() <= firstWaitMs) return;
    timer.cancel();
    this.#tryLater(server, this.#runtime.random.unit() * firstWaitMs);
  }

  /** Closes the connection; nothing is called any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#next?.timer.cancel();
    this.#beatTimer?.cancel();
    this.#connection?.close();
    this.#connection = undefined;
  }

  #tryNext(): void {
    const { server, waitMs } = this.#order.next(this.#runtime.clock.monotonicMs());
    if (waitMs === 0) void this.#try(server);
    else this.#tryLater(server, waitMs);
  }

  #tryLater(server: number, waitMs: number): void {
    const { clock } = this.#runtime;
    const timer = clock.timer(waitMs, () => {
      this.#next = undefined;
      void this.#try(server);
    });
    this.#next = { server, atMs: clock.monotonicMs() + waitMs, timer };
  }

  /** Connects and beats once, which only a name server that is ready answers. */
  async #try(server: number): Promise<void> {
    let connection: OwnConnection | undefined;
    try {
      connection = await this.#connections.dial(this.#servers[server]!, tryMs);
      const { message } = await connection.call(beat, {}, { deadlineMs: tryMs });
      if (this.#isClosed) connection.close();
      else this.#up(server, connection, message.frozen);
    } catch (error) {
      connection?.close();
      if (!this.#isClosed) this.#failed(server, error as Error);
    }
  }

  #failed(server: number, reason: Error): void {
    this.#log('a name server does not answer', server, { reason: reason.message });
    const isRoundOver = this.#order.failed(server, this.#runtime.clock.monotonicMs());
    if (isRoundOver) this.#user.unanswered(reason);
    if (!this.#isClosed) this.#tryNext();
  }

  #up(server: number, connection: OwnConnection, isFrozen: boolean): void {
    const { clock, random } = this.#runtime;
    this.#server = server;
    this.#connection = connection;
    this.#unanswered = 0;
    this.#order.reached(server, clock.monotonicMs());
    this.#log('a name server answers', server);
    connection.onDrain(() => this.leave(connection, new Error('it asks its clients to leave')));
    connection.onClose((error) => this.leave(connection, error ?? new Error('it closed the connection')));
    if (this.#connection !== connection) return;
    // Those who came at the same time beat at different times.
    this.#armBeat(connection, random.unit() * beatMs);
    this.#user.up(connection);
    if (isFrozen) this.frozen(connection);
  }

  #armBeat(connection: OwnConnection, waitMs: number): void {
    this.#beatTimer = this.#runtime.clock.timer(waitMs, () => {
      if (this.#unanswered >= unansweredMax) {
        const text = `nothing came from it for ${unansweredMax} beats`;
        this.leave(connection, new TaskdError(ErrorCode.DEADLINE, text));
        return;
      }
      this.#armBeat(connection, beatMs);
      void this.#beat(connection);
    });
  }

  async #beat(connection: OwnConnection): Promise<void> {
    const sentMs = this.#runtime.clock.monotonicMs();
    this.#unanswered++;
    try {
      const { message } = await connection.call(beat, {}, { deadlineMs: unansweredMax * beatMs });
      if (this.#connection !== connection) return;
      this.#unanswered = 0;
      if (message.frozen) this.frozen(connection);
      this.#user.beaten(message, sentMs);
    } catch (error) {
      if (isTaskdError(error, ErrorCode.NOT_READY)) this.leave(connection, error);
      // What else went wrong shows in the count, or ends the connection.
    }
  }

  #lookElsewhere(from: OwnConnection): void {
    if (this.#isLooking || this.#servers.length === 1) return;
    this.#isLooking = true;
    this.#runtime.clock.timer(this.#runtime.random.unit() * firstWaitMs, () => {
      const others = this.#connection === from ? this.#order.others(this.#server) : [];
      void Promise.all(others.map((server) => this.#peek(server, from))).then(() => {
        this.#isLooking = false;
      });
    });
  }

  /** Moves to a server if it is ready and not frozen, and nobody else was faster. */
  async #peek(server: number, from: OwnConnection): Promise<void> {
    let connection: OwnConnection | undefined;
    try {
      connection = await this.#connections.dial(this.#servers[server]!, tryMs);
      const { message } = await connection.call(listNodes, {}, { deadlineMs: tryMs });
      if (message.ready && !message.frozen && connection.isOpen && this.#connection === from) {
        this.#order.lost(this.#server, this.#runtime.clock.monotonicMs());
        this.#drop(from);
        this.#up(server, connection, false);
        return;
      }
    } catch (error) {
      this.#log('a name server does not answer', server, { reason: (error as Error).message });
    }
    connection?.close();
  }

  /** The user is told before the connection is closed, so that nothing is given to it any more. */
  #drop(connection: OwnConnection): void {
    this.#connection = undefined;
    this.#beatTimer?.cancel();
    this.#user.down();
    connection.close();
  }

  #log(what: string, server: number, more: { readonly reason?: string } = {}): void {
    this.#runtime.logger.debug({ nameServer: formatAddress(this.#servers[server]!), ...more }, what);
  }
}
