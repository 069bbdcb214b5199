import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import type { Caller, OwnConnection } from '../rpc/caller.js';
import type { ClientIdentity } from '../rpc/connection.js';
import type { Connections } from '../rpc/connections.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { listInstances } from '../wire/methods.js';
import { type Instance, instanceFrom, type NewInstance } from './instance.js';
import { type Registration, Registrations } from './registrations.js';
import { Session } from './session.js';
import { type InstancesListener, targetOf, type Watch, Watches, type WatchScope, type WatchTarget } from './watches.js';

export type { Registration } from './registrations.js';
export type { InstancesListener, Watch, WatchScope } from './watches.js';

/** Whoever waits for a name server. */
interface Waiting {
  readonly reached: (connection: OwnConnection) => void;
  readonly failed: (error: Error) => void;
}

/**
 * The registry's client: what this process registers and watches, at one of the name servers at a time (`session.ts`).
 * On every change of the name server all instances are registered again with a higher version and all watches are opened
 * again. Lists stay as they were while no name server answers.
 */
export class Registry {
  readonly #servers: readonly Address[];
  readonly #registrations: Registrations;
  readonly #watches: Watches;
  readonly #session: Session;
  readonly #waiting = new Set<Waiting>();
  #isClosed = false;

  /** Starts at once to look for a name server among `servers`. */
  constructor(runtime: Runtime, connections: Connections, servers: readonly Address[], self: ClientIdentity) {
    if (servers.length === 0) {
      throw new TaskdError(ErrorCode.INVALID, `${self.clientId} needs the address of at least one name server`);
    }
    this.#servers = servers;
    this.#registrations = new Registrations(runtime, () => this.#session);
    this.#watches = new Watches(runtime, () => this.#session);
    this.#session = new Session(runtime, connections, servers, {
      up: (connection) => this.#up(connection),
      down: () => {
        this.#registrations.down();
        this.#watches.down();
      },
      beaten: (answer, sentMs) => this.#registrations.beaten(answer, sentMs),
      unanswered: (reason) => this.#unanswered(reason),
    });
  }

  /** True while a name server answers. */
  get isConnected(): boolean {
    return this.#session.connection !== undefined;
  }

  /**
   * Registers an instance and keeps it registered, over reconnects, until it is closed. `onRefused` is called when it
   * is given up for good: INVALID, QUOTA, or DUPLICATE_ID when another living process keeps claiming the same id.
   */
  register(instance: NewInstance, onRefused: (error: TaskdError) => void = () => {}): Registration {
    return this.#registrations.add(instance, onRefused);
  }

  /**
   * Calls `listener` with the service's list as soon as it is known, then at each change. A service of '' is every
   * service of the group. `onRefused` is called when the watch is none, such as INVALID for a wrong selector.
   */
  watch(
    service: string,
    listener: InstancesListener,
    scope: WatchScope = {},
    onRefused: (error: TaskdError) => void = () => {},
  ): Watch {
    return this.#watches.add(targetOf(service, scope), listener, onRefused);
  }

  /** The watched service's instances in the order of their ids; undefined until the first list, or when not watched. */
  instances(service: string, scope: WatchScope = {}): readonly Instance[] | undefined {
    return this.#watches.find(targetOf(service, scope));
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
    this.#watches.close();
    this.#session.close();
    this.#fail(closedError());
  }

  /** The connection to a name server; rejects when all were asked in vain. */
  #reached(): Promise<OwnConnection> {
    if (this.#isClosed) return Promise.reject(closedError());
    const { connection } = this.#session;
    if (connection !== undefined) return Promise.resolve(connection);
    this.#session.hurry();
    return new Promise((reached, failed) => this.#waiting.add({ reached, failed }));
  }

  #up(connection: OwnConnection): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const { reached } of waiting) reached(connection);
    this.#registrations.up(connection);
    this.#watches.up(connection);
  }

  #unanswered(reason: Error): void {
    this.#registrations.unanswered();
    this.#fail(reason);
  }

  #fail(error: Error): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const { failed } of waiting) failed(error);
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
