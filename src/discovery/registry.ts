import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import type { Caller, OwnConnection } from '../rpc/caller.js';
import type { ClientIdentity } from '../rpc/connection.js';
import type { Connections } from '../rpc/connections.js';
import type { Clock, Timer } from '../runtime/clock.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { listInstances } from '../wire/methods.js';
import { CacheFile, checkCachePath } from './cache-file.js';
import { type Instance, instanceFrom, type NewInstance } from './instance.js';
import { type Registration, Registrations } from './registrations.js';
import { Session } from './session.js';
import { targetKey, targetOf, type WatchScope, type WatchTarget } from './watch-target.js';
import { type InstancesListener, type Watch, Watches } from './watches.js';

export type { Registration } from './registrations.js';
export type { WatchScope } from './watch-target.js';
export type { InstancesListener, Watch } from './watches.js';

/** So long without a name server at the start, or after a loss, and the cache is used, even if some weren't asked yet. */
const patienceMs = 1_000;

/** How long `known` waits for a list of a name server that answers. */
const knownMs = 10_000;

/** Whoever waits for a name server, or for what one tells. */
interface Waiting {
  readonly reached: (connection: OwnConnection) => void;
  readonly failed: (error: Error) => void;
}

/**
 * The registry's client: what this process registers and watches, at one of the name servers at a time (`session.ts`).
 * On every change of the name server all instances are registered again with a higher version and all watches are opened
 * again. Lists stay as they were while no name server answers; those of which nothing is known come from the cache file.
 */
export class Registry {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #servers: readonly Address[];
  readonly #cache: CacheFile | undefined;
  readonly #registrations: Registrations;
  readonly #watches: Watches;
  readonly #session: Session;
  readonly #waiting = new Set<Waiting>();
  /** Services that `known` watches. */
  readonly #kept = new Map<string, Watch>();
  #patience: Timer | undefined;
  /** No name server answers, which is in the log. */
  #isAlone = false;
  #isClosed = false;

  /**
   * Starts at once to look for a name server among `servers`. With a `cachePath`, absolute, what is watched is kept in
   * that file, which no other process may use.
   */
  constructor(
    runtime: Runtime,
    connections: Connections,
    servers: readonly Address[],
    self: ClientIdentity,
    cachePath?: string,
  ) {
    if (servers.length === 0) {
      throw new TaskdError(ErrorCode.INVALID, `${self.clientId} needs the address of at least one name server`);
    }
    if (cachePath !== undefined) checkCachePath(cachePath);
    this.#clock = runtime.clock;
    this.#logger = runtime.logger;
    this.#servers = servers;
    this.#cache = cachePath === undefined ? undefined : new CacheFile(runtime, cachePath);
    this.#registrations = new Registrations(runtime, () => this.#session);
    this.#watches = new Watches(runtime, () => this.#session, this.#cache);
    this.#session = new Session(runtime, connections, servers, {
      up: (connection) => this.#up(connection),
      down: () => {
        this.#registrations.down();
        this.#watches.down();
        this.#armPatience();
      },
      beaten: (answer, sentMs) => this.#registrations.beaten(answer, sentMs),
      unanswered: (reason) => void this.#unanswered(reason),
    });
    this.#armPatience();
  }

  /** True while a name server answers. */
  get isConnected(): boolean {
    return this.#session.connection !== undefined;
  }

  /**
   * Registers an instance and keeps it registered, over reconnects, until it is closed. `onRefused` is called when it
   * is given up for good: INVALID, QUOTA, or DUPLICATE_ID when another living process keeps claiming the same id, or
   * this registry has it registered already; CANCELLED when this registry is closed.
   */
  register(instance: NewInstance, onRefused: (error: TaskdError) => void = () => {}): Registration {
    return this.#registrations.add(instance, onRefused);
  }

  /**
   * Calls `listener` with the service's list as soon as it is known, then at each change. A service of '' is every
   * service of the group. `onRefused` is called when the watch is none, such as INVALID for a wrong selector. What a
   * listener throws is logged, and hinders no other one. Throws CANCELLED when this registry is closed.
   */
  watch(
    service: string,
    listener: InstancesListener,
    scope: WatchScope = {},
    onRefused: (error: TaskdError) => void = () => {},
  ): Watch {
    if (this.#isClosed) throw closedError();
    return this.#watches.add(targetOf(service, scope), listener, onRefused);
  }

  /** The watched service's instances in the order of their ids; undefined until the first list, or when not watched. */
  instances(service: string, scope: WatchScope = {}): readonly Instance[] | undefined {
    return this.#watches.find(targetOf(service, scope));
  }

  /**
   * The service's instances, for whoever looks them up again and again: from the first call on they are watched. Waits
   * for a name server only while nothing is known, and rejects then when none answers, or not within 10 s.
   */
  async known(service: string, scope: WatchScope = {}): Promise<readonly Instance[]> {
    const target = targetOf(service, scope);
    const known = this.#watches.find(target);
    if (known !== undefined) return known;
    if (this.#isClosed) throw closedError();
    const key = targetKey(target);
    this.#session.hurry();
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { reached: () => {}, failed: (error) => end(() => reject(error)) };
      const watch = this.#watches.add(
        target,
        (instances) => end(() => resolve(instances)),
        (error) => end(() => reject(error)),
      );
      const text = `no name server told who is ${service} within ${knownMs} ms; see whether they are ready`;
      const timer = this.#clock.timer(knownMs, () => {
        end(() => reject(new TaskdError(ErrorCode.DEADLINE, text, { retry: Retry.OTHER })));
      });
      let isOver = false;
      const end = (settle: () => void): void => {
        if (isOver) return;
        isOver = true;
        timer.cancel();
        this.#waiting.delete(waiting);
        // One watch stays open.
        if (this.#kept.has(key)) watch.close();
        else this.#kept.set(key, watch);
        settle();
      };
      this.#waiting.add(waiting);
    });
  }

  /** Asks a name server now: the instances of one service, or of all. Rejects when none of them answers. */
  async list(service = '', scope: WatchScope = {}): Promise<readonly Instance[]> {
    const target = targetOf(service, scope);
    for (let tries = 1; ; tries++) {
      const connection = await this.#reached();
      try {
        const instances = await listFrom(connection, target);
        this.#session.heard(connection);
        return instances;
      } catch (error) {
        const isPassing = isTaskdError(error, ErrorCode.CONNECTION_LOST, ErrorCode.NOT_SENT, ErrorCode.DRAINING);
        const isElsewhere = isTaskdError(error) && error.retry === Retry.OTHER;
        if (!(isPassing || isElsewhere) || tries > this.#servers.length) throw error;
        this.#session.leave(connection, error as Error);
      }
    }
  }

  /** Deregisters everything, stops the watches. Resolves when a name server has answered or none does, or after 2 s. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#registrations.close();
    this.#patience?.cancel();
    this.#watches.close();
    this.#session.close();
    this.#fail(closedError());
    await this.#cache?.close();
  }

  /** The connection to a name server; rejects when all were asked in vain. */
  #reached(): Promise<OwnConnection> {
    if (this.#isClosed) return Promise.reject(closedError());
    const { connection } = this.#session;
    if (connection !== undefined) return Promise.resolve(connection);
    this.#session.hurry();
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        this.#waiting.delete(waiting);
        settle();
      };
      const waiting: Waiting = {
        reached: (reached) => end(() => resolve(reached)),
        failed: (error) => end(() => reject(error)),
      };
      this.#waiting.add(waiting);
    });
  }

  #up(connection: OwnConnection): void {
    this.#patience?.cancel();
    if (this.#isAlone) this.#logger.info({}, 'a name server answers again');
    this.#isAlone = false;
    for (const { reached } of [...this.#waiting]) reached(connection);
    this.#registrations.up(connection);
    this.#watches.up(connection);
  }

  #armPatience(): void {
    if (this.#cache === undefined || this.#isClosed) return;
    this.#patience = this.#clock.timer(patienceMs, () => void this.#useCache());
  }

  async #unanswered(reason: Error): Promise<void> {
    if (!this.#isAlone && !this.#isClosed) {
      this.#logger.warn({ reason: reason.message }, 'no name server answers: going on with what is known');
      this.#isAlone = true;
    }
    this.#registrations.unanswered();
    await this.#useCache();
    if (!this.isConnected) this.#fail(reason);
  }

  async #useCache(): Promise<void> {
    await this.#cache?.loaded;
    if (!this.isConnected && !this.#isClosed) this.#watches.useCache();
  }

  #fail(error: Error): void {
    for (const { failed } of [...this.#waiting]) failed(error);
  }
}

async function listFrom(caller: Caller, target: WatchTarget): Promise<Instance[]> {
  const instances: Instance[] = [];
  let after = '';
  do {
    const { message } = await caller.call(listInstances, { ...target, after });
    for (const each of message.instances) instances.push(instanceFrom(each));
    after = message.next;
  } while (after !== '');
  return instances;
}

function closedError(): TaskdError {
  return new TaskdError(ErrorCode.CANCELLED, 'the registry client is closed');
}
