import { ErrorCode, TaskdError } from '../base/errors.js';
import { connectionsMax, drainMs, gatheredBytesMax, preHelloConnectionsMax } from '../base/limits.js';
import { type Address, type Connection, isLoopback, type Listener } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { Budget } from '../transport/budget.js';
import { Channel } from '../transport/channel.js';
import { FrameCodec } from '../transport/frame-codec.js';
import { Heartbeat } from '../transport/heartbeat.js';
import { PrefaceHandler } from '../transport/preface-handler.js';
import { Ticker } from '../transport/ticker.js';
import { GatherBudget } from '../wire/gather-budget.js';
import type { Method } from '../wire/methods.js';
import { Dispatcher } from './dispatcher.js';
import { HelloServer, type NodeIdentity } from './hello-server.js';
import { PeerConnection } from './peer-connection.js';
import { Routes } from './routes.js';
import type { Peer, ServerCall, ServerStream, ServiceRegistry } from './service.js';
import { RpcStats } from './stats.js';

export type { NodeIdentity } from './hello-server.js';

/** How often one peer's wrong protocol is logged, and of how many peers we remember it. */
const guessLogMs = 60_000;
const guessPeersMax = 1_024;
/** A line for each cut or refusal, but a flood of connections must not fill the disk with them. */
const cutLogBurst = 100;
const cutLogPerSecond = 1;

/** The one listener of a process: every role puts its handlers here before `listen`. */
export class RpcServer implements ServiceRegistry {
  readonly stats: RpcStats = new RpcStats();
  readonly #connectionsMax: number;
  readonly #runtime: Runtime;
  readonly #identity: NodeIdentity;
  readonly #routes = new Routes();
  readonly #ticker: Ticker;
  readonly #gathered = new GatherBudget(gatheredBytesMax);
  readonly #open = new Map<Channel, Dispatcher>();
  /** In the order of their coming. */
  readonly #pending = new Set<Channel>();
  readonly #guessed = new Map<string, number>();
  readonly #cutsTold = new Budget(cutLogBurst, cutLogPerSecond);
  /** Cuts and refusals since the last one that was logged. */
  #cutsUntold = 0;
  readonly #whenEmpty: (() => void)[] = [];
  #listener: Listener | undefined;
  #isClosing = false;
  #lastPeerId = 0;

  /** `connections`: how many it takes at once. */
  constructor(runtime: Runtime, identity: NodeIdentity, connections: number = connectionsMax) {
    this.#connectionsMax = connections;
    this.#runtime = runtime;
    this.#identity = identity;
    this.#ticker = new Ticker(runtime.clock);
  }

  onCall<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, handler: (request: Q, call: ServerCall<AIn>) => void): void {
    this.#routes.onCall(method, handler);
  }

  onStream<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    handler: (request: Q, stream: ServerStream<AIn>) => void,
  ): void {
    this.#routes.onStream(method, handler);
  }

  onSend<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    handler: (request: Q, peer: Peer, payload: Uint8Array) => void,
  ): void {
    this.#routes.onSend(method, handler);
  }

  /** Connections past their hello. */
  get openConnections(): number {
    return this.#open.size;
  }

  /**
   * Listens; resolves with the address, its port chosen by the system when 0 was asked. Rejects with INVALID for an
   * address that others could reach: there is no authentication yet that would let us.
   */
  async listen(address: Address): Promise<Address> {
    if (!isLoopback(address.host)) {
      throw new TaskdError(
        ErrorCode.INVALID,
        `listening on ${address.host} would let anybody in, as there is no authentication; use --listen 127.0.0.1:${address.port}`,
      );
    }
    this.#listener = await this.#runtime.net.listen(address, (connection) => this.#accept(connection));
    return this.#listener.address;
  }

  /**
   * Stops accepting, asks every peer to leave, and resolves when all have left. New calls are answered with DRAINING,
   * running ones go on. Who is still there after `drainMs` is cut.
   */
  async drain(): Promise<void> {
    this.#isClosing = true;
    await this.#listener?.close();
    for (const channel of this.#pending) channel.close('reset', 'the server is leaving');
    for (const dispatcher of this.#open.values()) dispatcher.goAway('the server is leaving', drainMs);
    if (this.#open.size + this.#pending.size === 0) return;
    const timeout = this.#runtime.clock.timer(drainMs, () => this.close());
    await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
    timeout.cancel();
  }

  /** Stops at once: every connection is cut. */
  close(): void {
    this.#isClosing = true;
    void this.#listener?.close();
    for (const channel of [...this.#pending, ...this.#open.keys()]) channel.close('reset', 'the server is closed');
  }

  #accept(connection: Connection): void {
    this.stats.connectionsAccepted++;
    if (this.#isClosing || this.#open.size + this.#pending.size >= this.#connectionsMax) {
      connection.start({ data() {}, end() {}, drained() {}, closed() {} });
      connection.reset();
      if (!this.#isClosing) this.#logRefusal(connection.remote);
      return;
    }
    const { clock } = this.#runtime;
    const peer = new PeerConnection(++this.#lastPeerId, connection.remote, clock);
    const codec = new FrameCodec(this.#gathered);
    const heartbeat = new Heartbeat(clock);
    const dispatcher = new Dispatcher(this.#runtime, peer, this.#routes, this.stats);
    const hello = new HelloServer(this.#runtime, this.#identity, codec, heartbeat, {
      admitted: (request) => {
        peer.clientId = request.clientId;
        peer.kind = request.kind;
        this.#pending.delete(channel);
        this.#open.set(channel, dispatcher);
        this.stats.connectionsPending = this.#pending.size;
        this.stats.connectionsOpen = this.#open.size;
      },
      wrongProtocol: (guess) => {
        peer.isWrongProtocol = true;
        this.#logGuess(peer.address.host, guess);
      },
    });
    const channel = new Channel(clock, connection, [new PrefaceHandler(true), codec, heartbeat, hello, dispatcher]);
    peer.channel = channel;
    channel.onInactive = () => {
      this.#ticker.remove(channel);
      this.#pending.delete(channel);
      this.#open.delete(channel);
      this.stats.connectionsPending = this.#pending.size;
      this.stats.connectionsOpen = this.#open.size;
      this.#logCut(channel, peer);
      peer.closed();
      if (this.#open.size + this.#pending.size === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve();
    };
    this.#pending.add(channel);
    this.#ticker.add(channel);
    this.#makeRoom();
    channel.start();
    this.stats.connectionsPending = this.#pending.size;
  }

  /** The oldest of too many silent connections makes room for the next. */
  #makeRoom(): void {
    if (this.#pending.size <= preHelloConnectionsMax) return;
    for (const oldest of this.#pending) {
      this.#pending.delete(oldest);
      this.stats.connectionsEvicted++;
      oldest.close('reset', 'too many connections without a hello');
      return;
    }
  }

  #logCut(channel: Channel, peer: PeerConnection): void {
    if (!channel.wasCut || this.#isClosing) return;
    this.stats.connectionsAborted++;
    if (peer.isWrongProtocol) return;
    const fields = { peer: peer.address, clientId: peer.clientId, reason: channel.closeReason };
    this.#logSeldom(fields, 'a connection was cut');
  }

  #logRefusal(peer: Address): void {
    this.stats.connectionsRefused++;
    const reason = `this server takes ${this.#connectionsMax} connections at once (connectionsMax)`;
    this.#logSeldom({ peer, reason }, 'a connection was refused');
  }

  #logSeldom(fields: object, message: string): void {
    if (!this.#cutsTold.take(this.#runtime.clock.monotonicMs())) {
      this.#cutsUntold++;
      return;
    }
    const untold = this.#cutsUntold === 0 ? {} : { cutsNotLogged: this.#cutsUntold };
    this.#cutsUntold = 0;
    this.#runtime.logger.warn({ ...fields, ...untold }, message);
  }

  #logGuess(host: string, guess: string): void {
    this.stats.wrongProtocol++;
    const nowMs = this.#runtime.clock.monotonicMs();
    const lastMs = this.#guessed.get(host);
    if (lastMs !== undefined && nowMs - lastMs < guessLogMs) return;
    if (this.#guessed.size >= guessPeersMax) this.#guessed.clear();
    this.#guessed.set(host, nowMs);
    this.#runtime.logger.warn({ peer: host, guess }, `a peer does not speak our protocol; it looks like ${guess}`);
  }
}
