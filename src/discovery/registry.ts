/**
 * The registry's client: one session with one of the name servers at a time.
 *
 *   WAITING ──jittered wait──▶ OPENING ──first event of the session stream──▶ UP
 *      ▲                          │                                           │
 *      └──the stream ended, or two beats without an answer: the next server───┘
 *
 * The *session stream* is a watch of the name servers themselves. It shares the connection with everything else, so
 * its end is how we learn that the session is gone, also when the connection was made again meanwhile. On every way to
 * UP all instances are registered again with a higher version and all watches are opened again. Lists stay as they
 * were while we are cut off; listeners are called only when a list really changes.
 */
import { ErrorCode, isTaskdError, TaskdError } from '../base/errors.js';
import type { Caller, ClientStream } from '../rpc/caller.js';
import type { ClientIdentity } from '../rpc/connection.js';
import type { Connections } from '../rpc/connections.js';
import type { Timer } from '../runtime/clock.js';
import { type Address, formatAddress } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import type { taskd } from '../wire/generated/messages.js';
import { beat, deregister, listInstances, register, watchInstances } from '../wire/methods.js';
import { Claim, parseVersion, type Supersession } from './claim.js';
import { defaultNamespace, type Instance, instanceFrom, type NewInstance, nameServerService } from './instance.js';
import { WatchView } from './watch-view.js';

const beatMs = 3_000;
/** Beats in a row without an answer after which another name server is tried. */
const missedBeatsMax = 2;
/** The first try after a loss comes within this time, later ones within up to `retryMsMax`. */
const firstRetryMs = 500;
const retryMsMax = 5_000;
/** Time that `close` gives the deregistrations. */
const closeMs = 2_000;
const watchCredit = 16;
/** Wait before a register or a watch that failed for a passing reason is tried again on the same session. */
const againMs = 1_000;

/** One instance that this process keeps registered. */
export interface Registration {
  /** Resolves once a name server has it; rejects when it is refused for good. */
  readonly registered: Promise<void>;
  /** Changes what is registered: new tags, metadata, weight. */
  update(changes: Partial<Omit<NewInstance, 'service' | 'instanceId' | 'namespace'>>): void;
  /** Removes the instance. Resolves when the name server has answered, or after 2 s. */
  close(): Promise<void>;
}

export interface Watch {
  /** Stops calling the listener. */
  close(): void;
}

export type InstancesListener = (instances: readonly Instance[]) => void;

interface Registered {
  readonly claim: Claim;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readonly onRefused: (error: TaskdError) => void;
  isSending: boolean;
  /** Something changed while a register was on its way. */
  isStale: boolean;
}

interface Watched {
  readonly namespace: string;
  readonly service: string;
  readonly view: WatchView;
  readonly listeners: Set<InstancesListener>;
  stream: ClientStream | undefined;
  /** Which of the streams opened for it counts; what others still say is ignored. */
  turn: number;
}

interface Session {
  readonly caller: Caller;
  stream: ClientStream | undefined;
  isUp: boolean;
  missedBeats: number;
}

export class Registry {
  readonly #runtime: Runtime;
  readonly #connections: Connections;
  readonly #servers: readonly Address[];
  readonly #incarnation: number;
  readonly #registered = new Set<Registered>();
  readonly #watched = new Map<string, Watched>();
  #session: Session | undefined;
  #server: number;
  #failures = 0;
  #retryTimer: Timer | undefined;
  #beatTimer: Timer | undefined;
  #isClosed = false;

  /** Starts at once to look for a name server among `servers`. The connections stay the caller's to close. */
  constructor(runtime: Runtime, connections: Connections, servers: readonly Address[], self: ClientIdentity) {
    if (servers.length === 0) {
      throw new TaskdError(ErrorCode.INVALID, `${self.clientId} needs the address of at least one name server`);
    }
    this.#runtime = runtime;
    this.#connections = connections;
    this.#servers = servers;
    this.#incarnation = runtime.clock.wallMs();
    // Clients start at different name servers, so that each has its share.
    this.#server = runtime.random.below(servers.length);
    this.#open();
  }

  /** True while a name server answers. */
  get isConnected(): boolean {
    return this.#session?.isUp === true;
  }

  /**
   * Registers an instance and keeps it registered, over reconnects, until it is closed. `onRefused` is called when it
   * is given up for good: INVALID, or DUPLICATE_ID when another living process keeps claiming the same id.
   */
  register(instance: NewInstance, onRefused: (error: TaskdError) => void = () => {}): Registration {
    let resolve: () => void = () => {};
    let reject: (error: Error) => void = () => {};
    const registered = new Promise<void>((onDone, onError) => {
      resolve = onDone;
      reject = onError;
    });
    registered.catch(() => {});
    const entry: Registered = {
      claim: new Claim(instance, this.#incarnation),
      resolve,
      reject,
      onRefused,
      isSending: false,
      isStale: false,
    };
    if (this.#isClosed) {
      reject(closedError());
    } else {
      this.#registered.add(entry);
      this.#sendRegister(entry);
    }
    return {
      registered,
      update: (changes) => {
        entry.claim.instance = { ...entry.claim.instance, ...changes };
        if (entry.isSending) entry.isStale = true;
        else this.#sendRegister(entry);
      },
      close: () => this.#unregister(entry),
    };
  }

  /** Calls `listener` with the service's list as soon as it is known, then at each change. */
  watch(service: string, listener: InstancesListener, namespace: string = defaultNamespace): Watch {
    const key = watchKey(namespace, service);
    let watched = this.#watched.get(key);
    if (watched === undefined) {
      watched = { namespace, service, view: new WatchView(), listeners: new Set(), stream: undefined, turn: 0 };
      this.#watched.set(key, watched);
      this.#openWatch(watched);
    }
    const { view, listeners } = watched;
    // The same function may be given twice: each call has an entry of its own.
    const entry: InstancesListener = (instances) => listener(instances);
    listeners.add(entry);
    if (view.list !== undefined) {
      this.#runtime.clock.defer(() => {
        if (listeners.has(entry) && view.list !== undefined) entry(view.list);
      });
    }
    return {
      close: () => {
        if (!listeners.delete(entry) || listeners.size > 0) return;
        this.#closeWatch(watched);
        if (this.#watched.get(key) === watched) this.#watched.delete(key);
      },
    };
  }

  /** The watched service's instances in the order of their ids; undefined until the first list, or when not watched. */
  instances(service: string, namespace: string = defaultNamespace): readonly Instance[] | undefined {
    return this.#watched.get(watchKey(namespace, service))?.view.list;
  }

  /** Asks a name server now: the instances of one service, or of all. Rejects when none of them answers. */
  async list(service?: string, namespace: string = defaultNamespace): Promise<readonly Instance[]> {
    let failure: unknown = closedError();
    for (let i = 0; i < this.#servers.length && !this.#isClosed; i++) {
      const address = this.#servers[(this.#server + i) % this.#servers.length]!;
      try {
        return await this.#listFrom(this.#connections.to(address), namespace, service ?? '');
      } catch (error) {
        if (isTaskdError(error, ErrorCode.INVALID)) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  /** Deregisters everything, stops the watches. Resolves when the name server has answered, or after 2 s. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    const done = [...this.#registered].map((entry) => this.#unregister(entry));
    this.#isClosed = true;
    this.#retryTimer?.cancel();
    this.#beatTimer?.cancel();
    await Promise.all(done);
    for (const watched of this.#watched.values()) this.#closeWatch(watched);
    this.#watched.clear();
    this.#session?.stream?.cancel();
    this.#session = undefined;
  }

  #open(): void {
    const address = this.#servers[this.#server]!;
    const session: Session = {
      caller: this.#connections.to(address),
      stream: undefined,
      isUp: false,
      missedBeats: 0,
    };
    this.#session = session;
    const watch = { namespace: defaultNamespace, service: nameServerService };
    session.stream = session.caller.open(watchInstances, watch, watchCredit, {
      push: () => {
        session.stream?.credit(1);
        if (!session.isUp && this.#session === session) this.#up(session, address);
      },
      end: (error) => this.#lost(session, error),
    });
    this.#armBeat(session);
  }

  #up(session: Session, address: Address): void {
    session.isUp = true;
    this.#failures = 0;
    this.#runtime.logger.debug({ nameServer: formatAddress(address) }, 'a name server answers');
    for (const entry of this.#registered) this.#sendRegister(entry);
    for (const watched of this.#watched.values()) this.#openWatch(watched);
  }

  /** Leaves a session, whoever ended it, and goes for the next server after a random wait. */
  #lost(session: Session, error: Error | undefined): void {
    if (this.#session !== session || this.#isClosed) return;
    this.#session = undefined;
    session.isUp = false;
    session.stream?.cancel();
    this.#beatTimer?.cancel();
    for (const watched of this.#watched.values()) this.#closeWatch(watched);
    this.#server = (this.#server + 1) % this.#servers.length;
    const waitMsMax = Math.min(retryMsMax, firstRetryMs * 2 ** Math.min(this.#failures, 10));
    this.#failures++;
    const waitMs = this.#runtime.random.unit() * waitMsMax;
    this.#runtime.logger.debug({ waitMs: Math.round(waitMs), reason: error?.message }, 'no name server for now');
    this.#retryTimer = this.#runtime.clock.timer(waitMs, () => this.#open());
  }

  #armBeat(session: Session): void {
    this.#beatTimer = this.#runtime.clock.timer(beatMs, () => {
      if (this.#session !== session) return;
      this.#armBeat(session);
      session.caller.call(beat, {}, { deadlineMs: beatMs }).then(
        ({ message }) => {
          session.missedBeats = 0;
          for (const told of message.superseded) this.#superseded(told);
        },
        (error: Error) => {
          if (++session.missedBeats >= missedBeatsMax) this.#lost(session, error);
        },
      );
    });
  }

  #sendRegister(entry: Registered): void {
    const session = this.#session;
    if (session === undefined || !session.isUp || !this.#registered.has(entry)) return;
    entry.isSending = true;
    entry.isStale = false;
    const { instance } = entry.claim;
    const message: taskd.Instance.$Properties = {
      namespace: instance.namespace ?? defaultNamespace,
      service: instance.service,
      instanceId: instance.instanceId,
      addresses: [...instance.addresses],
      zone: instance.zone ?? '',
      weight: instance.weight ?? 0,
      tags: [...(instance.tags ?? [])],
      metadata: { ...instance.metadata },
      version: entry.claim.nextVersion(),
    };
    session.caller.call(register, { instance: message }).then(
      () => {
        entry.isSending = false;
        entry.resolve();
        if (entry.isStale) this.#sendRegister(entry);
      },
      (error: Error) => {
        entry.isSending = false;
        this.#registerFailed(entry, session, error);
      },
    );
  }

  #registerFailed(entry: Registered, session: Session, error: Error): void {
    if (!this.#registered.has(entry)) return;
    if (isTaskdError(error, ErrorCode.SUPERSEDED)) {
      const seen = parseVersion(error.hint);
      if (seen !== undefined) this.#act(entry, entry.claim.refused(seen, this.#runtime.clock.monotonicMs()));
      return;
    }
    if (isTaskdError(error, ErrorCode.INVALID, ErrorCode.FORBIDDEN)) {
      this.#refuse(entry, error);
      return;
    }
    // Passing: a lost session registers anew by itself, a living one is asked again.
    this.#runtime.logger.warn(
      { instance: entry.claim.instance.instanceId, reason: error.message },
      'not registered yet',
    );
    this.#runtime.clock.timer(againMs, () => {
      if (this.#session === session && !entry.isSending) this.#sendRegister(entry);
    });
  }

  #superseded(told: taskd.Superseded.$Properties): void {
    for (const entry of this.#registered) {
      const { namespace = defaultNamespace, service, instanceId } = entry.claim.instance;
      if (told.namespace !== namespace || told.service !== service || told.instanceId !== instanceId) continue;
      const seen = { incarnation: told.seen?.incarnation ?? 0, counter: told.seen?.counter ?? 0 };
      this.#act(entry, entry.claim.superseded(seen, this.#runtime.clock.monotonicMs()));
    }
  }

  #act(entry: Registered, outcome: Supersession): void {
    if (outcome === 'again') {
      if (entry.isSending) entry.isStale = true;
      else this.#sendRegister(entry);
    }
    if (outcome !== 'duplicate') return;
    const { instanceId, service } = entry.claim.instance;
    this.#refuse(
      entry,
      new TaskdError(
        ErrorCode.DUPLICATE_ID,
        `another process keeps registering ${instanceId} of ${service}; give one of the two another id`,
      ),
    );
  }

  #refuse(entry: Registered, error: TaskdError): void {
    this.#registered.delete(entry);
    this.#runtime.logger.error({ instance: entry.claim.instance.instanceId, code: error.codeName }, error.message);
    entry.reject(error);
    entry.onRefused(error);
  }

  async #unregister(entry: Registered): Promise<void> {
    if (!this.#registered.delete(entry)) return;
    entry.reject(closedError());
    const session = this.#session;
    if (session === undefined || !session.isUp) return;
    const { namespace = defaultNamespace, service, instanceId } = entry.claim.instance;
    const request = { namespace, service, instanceId, version: entry.claim.version };
    // When it doesn't get through, the instance ends by silence.
    await session.caller.call(deregister, request, { deadlineMs: closeMs }).catch(() => {});
  }

  #openWatch(watched: Watched): void {
    const session = this.#session;
    if (session === undefined || !session.isUp) return;
    const { namespace, service, view, listeners } = watched;
    const turn = ++watched.turn;
    const stream = session.caller.open(watchInstances, { namespace, service }, watchCredit, {
      push: (event) => {
        if (watched.turn !== turn) return;
        watched.stream?.credit(1);
        if (!view.apply(event)) return;
        for (const listener of [...listeners]) if (listeners.has(listener)) listener(view.list!);
      },
      end: (error) => {
        if (watched.turn === turn) this.#watchEnded(watched, session, error);
      },
    });
    if (watched.turn === turn) watched.stream = stream;
  }

  #closeWatch(watched: Watched): void {
    watched.turn++;
    watched.stream?.cancel();
    watched.stream = undefined;
    watched.view.cut();
  }

  #watchEnded(watched: Watched, session: Session, error: Error | undefined): void {
    watched.turn++;
    watched.stream = undefined;
    watched.view.cut();
    if (isTaskdError(error, ErrorCode.INVALID)) {
      this.#runtime.logger.error({ service: watched.service, reason: error.message }, 'a watch was refused');
      return;
    }
    // When the connection is gone, the session's own stream tells so too; otherwise this one alone is opened again.
    this.#runtime.clock.timer(againMs, () => {
      const isWanted = this.#watched.get(watchKey(watched.namespace, watched.service)) === watched;
      if (isWanted && watched.stream === undefined && this.#session === session) this.#openWatch(watched);
    });
  }

  async #listFrom(caller: Caller, namespace: string, service: string): Promise<Instance[]> {
    const instances: Instance[] = [];
    let after = '';
    do {
      const { message } = await caller.call(listInstances, { namespace, service, after });
      for (const each of message.instances) instances.push(instanceFrom(each));
      after = message.next;
    } while (after !== '');
    return instances;
  }
}

function closedError(): TaskdError {
  return new TaskdError(ErrorCode.CANCELLED, 'the registry client is closed');
}

function watchKey(namespace: string, service: string): string {
  return `${namespace}\n${service}`;
}
