import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import { silentLogger } from '../base/logger.js';
import { type InstancesListener, Registry, type WatchScope } from '../discovery/registry.js';
import { Connections } from '../rpc/connections.js';
import { type Address, formatAddress } from '../runtime/net.js';
import { nodeRuntime } from '../runtime/node/node-runtime.js';
import type { taskd } from '../wire/generated/messages.js';
import { listInstances, listNodes, listOverrides, listServices, type Method, setOverride } from '../wire/methods.js';
import {
  addressOf,
  type InstanceOverride,
  instanceOverride,
  type NameServerView,
  nameServerView,
  type OverrideModeText,
  overrideModes,
  type RegisteredInstance,
  registeredInstance,
  type ServiceCount,
  serviceCount,
} from './name-server-views.js';

/** A person waits so long for one name server before the next is asked. */
const dialMs = 2_000;
const answerMs = 3_000;
/** Addresses that `nodes` asks, those that it learns of included. */
const addressesMax = 32;

/** What one name server says, or why it says nothing. */
export interface NodeAnswer {
  readonly address: string;
  readonly view: NameServerView | undefined;
  readonly error: TaskdError | undefined;
}

/** A list, and whether the name server that gave it doesn't reach most of the others. */
export interface Listed<T> {
  readonly items: readonly T[];
  readonly isFrozen: boolean;
}

/** Whose word, and what of it changes. */
export interface Word {
  readonly namespace: string;
  readonly group: string;
  readonly service: string;
  readonly instanceId: string;
  readonly mode?: OverrideModeText;
  /** 0: as registered. */
  readonly weight?: number;
}

/** The watch of a service, as `ns watch` needs it. */
export interface OpenWatch {
  /** A name server answers. */
  readonly isConnected: boolean;
}

/** What taskctl needs of name servers, so that tests can stand in for them. */
export interface NameServers {
  /** Asks each name server itself, also those that only others know; rejects when none of them answers. */
  nodes(): Promise<readonly NodeAnswer[]>;
  services(namespace: string): Promise<Listed<ServiceCount>>;
  instances(scope: Required<WatchScope>, service: string): Promise<Listed<RegisteredInstance>>;
  overrides(namespace: string): Promise<readonly InstanceOverride[]>;
  /** On the disk of one name server when it resolves. */
  override(word: Word): Promise<InstanceOverride>;
  watch(
    service: string,
    scope: WatchScope,
    listener: InstancesListener,
    onRefused: (error: TaskdError) => void,
  ): OpenWatch;
  close(): Promise<void>;
}

/** Name servers over the wire. The first that answers serves, one that reaches most of the others before one that doesn't. */
export class NameServerClient implements NameServers {
  readonly #servers: readonly Address[];
  readonly #runtime = nodeRuntime(silentLogger);
  readonly #self = { clientId: `taskctl-${this.#runtime.random.u32().toString(36)}`, kind: 'client' };
  readonly #connections = new Connections(this.#runtime, this.#self);
  #registry: Registry | undefined;

  constructor(servers: readonly Address[]) {
    this.#servers = servers;
  }

  async nodes(): Promise<readonly NodeAnswer[]> {
    const answers: NodeAnswer[] = [];
    const asked = new Set<string>();
    let next = this.#servers;
    while (next.length > 0) {
      for (const each of next) asked.add(formatAddress(each));
      const round = await Promise.all(next.map((address) => this.#nodesOf(address)));
      const known: Address[] = [];
      for (const { answer, peers } of round) {
        const isTwice = answer.view !== undefined && answers.some(({ view }) => view?.nodeId === answer.view?.nodeId);
        if (!isTwice) answers.push(answer);
        known.push(...peers.filter(({ port }) => port > 0));
      }
      const unasked = new Map(known.map((each) => [formatAddress(each), each]));
      for (const address of asked) unasked.delete(address);
      next = [...unasked.values()].slice(0, addressesMax - asked.size);
    }
    const { error } = answers[0]!;
    if (error !== undefined && answers.every(({ view }) => view === undefined)) throw error;
    return answers;
  }

  async services(namespace: string): Promise<Listed<ServiceCount>> {
    return this.#pages(listServices, { namespace }, (answer) => answer.services.map(serviceCount));
  }

  async instances(scope: Required<WatchScope>, service: string): Promise<Listed<RegisteredInstance>> {
    return this.#pages(listInstances, { ...scope, service }, (answer) => answer.instances.map(registeredInstance));
  }

  async overrides(namespace: string): Promise<readonly InstanceOverride[]> {
    const { items } = await this.#pages(listOverrides, { namespace }, (answer) =>
      answer.overrides.map(instanceOverride),
    );
    return items;
  }

  async override(word: Word): Promise<InstanceOverride> {
    const { mode, ...rest } = word;
    const request = mode === undefined ? rest : { ...rest, mode: overrideModes[mode] };
    const { override } = await this.#first((address) => this.#call(address, setOverride, request));
    return instanceOverride(override ?? {});
  }

  watch(
    service: string,
    scope: WatchScope,
    listener: InstancesListener,
    onRefused: (error: TaskdError) => void,
  ): OpenWatch {
    this.#registry ??= new Registry(this.#runtime, this.#connections, this.#servers, this.#self);
    this.#registry.watch(service, listener, scope, onRefused);
    return this.#registry;
  }

  async close(): Promise<void> {
    await this.#registry?.close();
    await this.#connections.close();
  }

  async #nodesOf(address: Address): Promise<{ answer: NodeAnswer; peers: readonly Address[] }> {
    const text = formatAddress(address);
    try {
      const message = await this.#call(address, listNodes, {});
      const answer = { address: text, view: nameServerView(message), error: undefined };
      return { answer, peers: message.peers.map(addressOf) };
    } catch (error) {
      if (!isTaskdError(error)) throw error;
      return { answer: { address: text, view: undefined, error }, peers: [] };
    }
  }

  /** All pages, from one name server. */
  #pages<A extends { next: string; state?: taskd.ViewState.$Properties | null }, QIn extends object, T>(
    // biome-ignore lint/suspicious/noExplicitAny: what a method's request looks like once it is read doesn't matter here
    method: Method<any, A, QIn, any>,
    request: QIn,
    itemsOf: (answer: A) => readonly T[],
  ): Promise<Listed<T>> {
    return this.#first(async (address) => {
      const items: T[] = [];
      let isFrozen = false;
      let after = '';
      do {
        const answer = await this.#call(address, method, { ...request, after });
        items.push(...itemsOf(answer));
        isFrozen = answer.state?.frozen === true;
        after = answer.next;
      } while (after !== '');
      return { items, isFrozen };
    });
  }

  /** The first answer that comes of a name server that isn't frozen, else of one that is; rejects with the first error. */
  async #first<T extends object>(ask: (address: Address) => Promise<T>): Promise<T> {
    let frozen: T | undefined;
    let failure: unknown;
    for (const address of this.#servers) {
      try {
        const answer = await ask(address);
        if (!('isFrozen' in answer) || answer.isFrozen !== true) return answer;
        frozen ??= answer;
      } catch (error) {
        if (!isWorthAnother(error)) throw error;
        failure ??= error;
      }
    }
    if (frozen !== undefined) return frozen;
    throw failure;
  }

  async #call<Q, A, QIn, AIn>(address: Address, method: Method<Q, A, QIn, AIn>, request: QIn): Promise<A> {
    try {
      return await this.#asked(address, method, request);
    } catch (cause) {
      const where = formatAddress(address);
      if (isTaskdError(cause, ErrorCode.UNKNOWN_METHOD)) {
        throw new TaskdError(ErrorCode.NOT_FOUND, `${where} is no name server: name one with --server`, { cause });
      }
      if (!isTaskdError(cause, ErrorCode.NOT_SENT)) throw cause;
      const remedy = 'is taskd running? name others with --server or TASKD_SERVER';
      const text = `no name server answers at ${where}: ${remedy} (${cause.message})`;
      throw new TaskdError(ErrorCode.NOT_SENT, text, { cause, retry: Retry.OTHER });
    }
  }

  /** Over a connection of its own: one that is there for long must not wait behind one that hangs. */
  async #asked<Q, A, QIn, AIn>(address: Address, method: Method<Q, A, QIn, AIn>, request: QIn): Promise<A> {
    const connection = await this.#connections.dial(address, dialMs);
    try {
      const { message } = await connection.call(method, request, { deadlineMs: answerMs });
      return message;
    } finally {
      connection.close();
    }
  }
}

/** All that is asked here may be asked twice. */
function isWorthAnother(error: unknown): boolean {
  const passing = [ErrorCode.NOT_SENT, ErrorCode.CONNECTION_LOST, ErrorCode.DEADLINE, ErrorCode.DRAINING] as const;
  return isTaskdError(error, ...passing) || (isTaskdError(error) && error.retry === Retry.OTHER);
}
