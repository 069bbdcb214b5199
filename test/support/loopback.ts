import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import type { Caller, CallOptions, ClientStream, OwnConnection, StreamEvents } from '../../src/rpc/caller.js';
import type { Connections } from '../../src/rpc/connections.js';
import type { Peer, ServerCall, ServerStream, ServiceRegistry } from '../../src/rpc/service.js';
import type { Clock } from '../../src/runtime/clock.js';
import type { Address } from '../../src/runtime/net.js';
import { Encoded } from '../../src/wire/encoded.js';
import type { Codec, Method } from '../../src/wire/methods.js';

// biome-ignore lint/suspicious/noExplicitAny: one table for handlers of all methods
type Handler = (request: any, other: any, payload: any) => void;

/** A copy as the wire would make it. */
function copy<T, In>(codec: Codec<T, In>, message: In): T {
  return codec.decode(codec.encode(message).finish());
}

/** The handlers of one process, reachable through `LoopbackNet`. */
export class LoopbackServer implements ServiceRegistry {
  readonly handlers: Map<number, Handler> = new Map();

  onCall<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, handler: (request: Q, call: ServerCall<AIn>) => void): void {
    this.handlers.set(method.id, handler);
  }
  onStream<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    handler: (request: Q, stream: ServerStream<AIn>) => void,
  ): void {
    this.handlers.set(method.id, handler);
  }
  onSend<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    handler: (request: Q, peer: Peer, payload: Uint8Array) => void,
  ): void {
    this.handlers.set(method.id, handler);
  }
}

/**
 * Rpc without sockets, on the clock of a test: messages take `delayMs`, connections can be cut, servers be gone, and a
 * process be paused (what is for it waits until it wakes).
 */
export class LoopbackNet {
  readonly clock: Clock;
  delayMs = 1;
  readonly #servers = new Map<number, LoopbackServer>();
  readonly #links = new Set<Link>();
  readonly #silent = new Set<string | number>();
  #peerIds = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Puts a server at a port, or takes it away: then its connections are cut. */
  serve(port: number, server: LoopbackServer | undefined): void {
    if (server === undefined) {
      this.#servers.delete(port);
      for (const link of [...this.#links]) if (link.port === port) link.cut();
    } else {
      this.#servers.set(port, server);
    }
  }

  server(port: number): LoopbackServer | undefined {
    return this.#servers.get(port);
  }

  /** From now on nothing gets through to or from a client (its name) or a server (its port), not even an end. */
  silence(who: string | number): void {
    this.#silent.add(who);
  }

  /** It gets through again, on new connections. */
  unsilence(who: string | number): void {
    this.#silent.delete(who);
  }

  isSilent({ client, port }: Link): boolean {
    return this.#silent.has(client) || this.#silent.has(port);
  }

  /** Cuts every connection of a client. */
  cut(client: string): void {
    for (const link of [...this.#links]) if (link.client === client) link.cut();
  }

  connections(client: string): Connections {
    const callers = new Map<number, Caller>();
    const to = (address: Address): Caller => {
      let caller = callers.get(address.port);
      if (caller === undefined) callers.set(address.port, (caller = new LoopbackCaller(this, client, address.port)));
      return caller;
    };
    const dial = async (address: Address, timeoutMs: number): Promise<OwnConnection> => {
      const isSilent = this.#silent.has(client) || this.#silent.has(address.port);
      await new Promise<void>((resolve) => this.clock.timer(isSilent ? timeoutMs : this.delayMs, resolve));
      if (isSilent) throw new TaskdError(ErrorCode.NOT_SENT, 'no answer');
      if (this.#servers.get(address.port) === undefined) throw new TaskdError(ErrorCode.NOT_SENT, 'nobody listens');
      const link = this.#connect(client, address.port);
      return new LoopbackConnection(this, client, address.port, link);
    };
    return { to, dial, close: async () => this.cut(client) } as unknown as Connections;
  }

  /** The newest connection of the client there, made when there is none. */
  link(client: string, port: number): Link {
    const links = [...this.#links].filter((link) => link.client === client && link.port === port);
    return links.at(-1) ?? this.#connect(client, port);
  }

  #connect(client: string, port: number): Link {
    const link = new Link(this, client, port, ++this.#peerIds);
    this.#links.add(link);
    return link;
  }

  forget(link: Link): void {
    this.#links.delete(link);
  }
}

class Link {
  readonly net: LoopbackNet;
  readonly client: string;
  readonly port: number;
  readonly peer: Peer;
  isOpen = true;
  activity: (() => void) | undefined;
  readonly onCut: (() => void)[] = [];
  readonly peerClosed: (() => void)[] = [];

  constructor(net: LoopbackNet, client: string, port: number, id: number) {
    this.net = net;
    this.client = client;
    this.port = port;
    const link = this;
    this.peer = {
      id,
      address: { host: '127.0.0.1', port: 1 },
      clientId: client,
      kind: 'client',
      queuedBytes: 0,
      get isOpen() {
        return link.isOpen;
      },
      isSentAway: false,
      onClose: (callback) => void link.peerClosed.push(callback),
      onActivity: (callback) => {
        link.activity = callback;
      },
      abort: () => link.cut(),
    };
  }

  cut(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.net.forget(this);
    const isSilent = this.net.isSilent(this);
    this.net.clock.defer(() => {
      for (const callback of this.onCut) callback();
      if (!isSilent) for (const callback of this.peerClosed) callback();
    });
  }

  /** Runs later, if the connection still is. */
  later(callback: () => void): void {
    this.net.clock.timer(this.net.delayMs, () => {
      if (this.isOpen && !this.net.isSilent(this)) callback();
    });
  }

  toServer(callback: () => void): void {
    this.later(() => {
      this.activity?.();
      callback();
    });
  }
}

class LoopbackCaller implements Caller {
  readonly #net: LoopbackNet;
  readonly #client: string;
  readonly #port: number;
  /** Of a connection of its own. */
  readonly #own: Link | undefined;

  constructor(net: LoopbackNet, client: string, port: number, own?: Link) {
    this.#net = net;
    this.#client = client;
    this.#port = port;
    this.#own = own;
  }

  get #handlers(): Map<number, Handler> | undefined {
    return this.#own?.isOpen === false ? undefined : this.#net.server(this.#port)?.handlers;
  }

  call<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
    options: CallOptions = {},
  ): Promise<{ message: A; payload: Uint8Array }> {
    return new Promise((resolve, reject) => {
      const handler = this.#handlers?.get(method.id);
      if (handler === undefined) {
        this.#net.clock.defer(() => reject(new TaskdError(ErrorCode.NOT_SENT, 'nobody listens')));
        return;
      }
      const link = this.#own ?? this.#net.link(this.#client, this.#port);
      link.onCut.push(() => reject(new TaskdError(ErrorCode.CONNECTION_LOST, 'cut')));
      this.#net.clock.timer(options.deadlineMs ?? method.deadlineMs, () =>
        reject(new TaskdError(ErrorCode.DEADLINE, 'no answer in time')),
      );
      const message = copy(method.request, request);
      const call: ServerCall<AIn> = {
        peer: link.peer,
        payload: new Uint8Array(0),
        remainingMs: () => 1_000,
        isCancelled: false,
        onCancel: () => {},
        reply: (answer) => {
          const copied = copy(method.answer, answer);
          link.later(() => resolve({ message: copied, payload: new Uint8Array(0) }));
        },
        fail: (error) => link.later(() => reject(error)),
      };
      link.toServer(() => handler(message, call, undefined));
    });
  }

  send(): void {
    throw new Error('no oneways here');
  }

  open<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
    credit: number,
    events: StreamEvents<A>,
  ): ClientStream {
    const handler = this.#handlers?.get(method.id);
    if (handler === undefined) {
      let isCancelled = false;
      this.#net.clock.defer(() => {
        if (!isCancelled) events.end(new TaskdError(ErrorCode.NOT_SENT, 'nobody listens'));
      });
      return {
        credit() {},
        cancel() {
          isCancelled = true;
        },
      };
    }
    const link = this.#own ?? this.#net.link(this.#client, this.#port);
    const stream = new LoopbackStream(link, method as Method, credit, events as StreamEvents<unknown>);
    const message = copy(method.request, request);
    link.toServer(() => handler(message, stream, undefined));
    return {
      credit: (pushes) => stream.grant(pushes),
      cancel: () => stream.cancel(),
    };
  }
}

class LoopbackConnection extends LoopbackCaller implements OwnConnection {
  readonly #link: Link;

  constructor(net: LoopbackNet, client: string, port: number, link: Link) {
    super(net, client, port, link);
    this.#link = link;
  }

  get isOpen(): boolean {
    return this.#link.isOpen;
  }

  onClose(callback: (error: Error | undefined) => void): void {
    if (this.#link.isOpen) this.#link.onCut.push(() => callback(undefined));
    else callback(undefined);
  }

  onDrain(): void {}

  close(): void {
    this.#link.cut();
  }
}

class LoopbackStream implements ServerStream<unknown> {
  readonly peer: Peer;
  credit: number;
  isOpen = true;
  #isEnded = false;
  readonly #link: Link;
  readonly #method: Method;
  readonly #events: StreamEvents<unknown>;
  #writable: (() => void)[] = [];
  readonly #closed: (() => void)[] = [];

  constructor(link: Link, method: Method, credit: number, events: StreamEvents<unknown>) {
    this.peer = link.peer;
    this.credit = credit;
    this.#link = link;
    this.#method = method;
    this.#events = events;
    link.onCut.push(() => this.#over(new TaskdError(ErrorCode.CONNECTION_LOST, 'cut')));
  }

  push(message: unknown): boolean {
    if (!this.isOpen || this.credit === 0) return false;
    this.credit--;
    const { answer } = this.#method;
    const copied = message instanceof Encoded ? answer.decode(message.bytes) : copy(answer, message);
    this.#link.later(() => {
      if (!this.#isEnded) this.#events.push(copied, new Uint8Array(0));
    });
    return true;
  }

  onWritable(callback: () => void): void {
    this.#writable.push(callback);
  }

  onClose(callback: () => void): void {
    this.#closed.push(callback);
  }

  end(error?: unknown): void {
    this.isOpen = false;
    this.#link.later(() => this.#over(error as Error | undefined));
  }

  grant(pushes: number): void {
    this.#link.toServer(() => {
      this.credit += pushes;
      const waiting = this.#writable;
      this.#writable = [];
      for (const callback of waiting) callback();
    });
  }

  cancel(): void {
    this.#isEnded = true;
    this.#link.toServer(() => this.#close());
  }

  #over(error: Error | undefined): void {
    this.#close();
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#events.end(error);
  }

  #close(): void {
    this.isOpen = false;
    for (const callback of this.#closed.splice(0)) callback();
  }
}
