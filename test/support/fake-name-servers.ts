import type { InstanceOverride, NameServerView, RegisteredInstance } from '../../src/cli/name-server-views.js';
import type { NameServers, NodeAnswer, OpenWatch } from '../../src/cli/name-servers.js';
import type { InstancesListener } from '../../src/discovery/registry.js';

/** For commands that have nothing to ask of name servers. */
export function noNameServers(): NameServers {
  throw new Error('name servers were asked for');
}

export const billing1: RegisteredInstance = {
  ...{ namespace: 'taskd', group: '', service: 'billing', instanceId: 'b1' },
  ...{ addresses: [{ host: '127.0.0.1', port: 9_000 }], zone: 'east', weight: 100, tags: ['gpu', 'new'] },
  ...{ metadata: { rack: '7' }, incarnation: 5, health: 'up', owner: 'n1', version: '5.1' },
};
export const billing2: RegisteredInstance = {
  ...billing1,
  ...{ instanceId: 'b2', addresses: [{ host: '127.0.0.1', port: 9_001 }], zone: '', weight: 10, tags: [] },
  ...{ health: 'draining', owner: '', version: 'static', incarnation: 0, metadata: {} },
};

export const drained: InstanceOverride = {
  ...{ namespace: 'taskd', group: '', service: 'billing', instanceId: 'b2' },
  ...{ mode: 'draining', weight: 10, atMs: Date.UTC(2029, 11, 31, 23, 59), nodeId: 'n2' },
};
/** Of an instance that isn't registered now. */
export const drainedBefore: InstanceOverride = { ...drained, instanceId: 'b9', weight: 0 };

/** What a name server says when all is well; `others` are alive. */
export function viewOf(nodeId: string, others: readonly string[]): NameServerView {
  const owner = { incarnation: 7, sequence: 3, ageMs: 200, instances: 1 };
  return {
    ...{ nodeId, incarnation: 7, isReady: true, isFrozen: false, isCold: false },
    ...{ sessions: 1, instances: others.length + 1, watchers: 0, overrides: 2, staleMs: 0 },
    owners: [
      { ...owner, owner: nodeId, state: 'self', ageMs: 0 },
      ...others.map((each) => ({ ...owner, owner: each, state: 'alive' as const })),
    ],
    peers: others.map((each) => ({ address: `${each}:7400`, nodeId: each, isConnected: true })),
  };
}

/** Name servers that answer from fixed values and note what they were asked. */
export class FakeNameServers implements NameServers {
  readonly calls: unknown[][] = [];
  answers: readonly NodeAnswer[] = [];
  isFrozen = false;
  failure: Error | undefined;
  isConnected = true;
  /** What the watch was opened with. */
  listener: InstancesListener = () => {};
  /** Calls back when a watch is opened. */
  onWatch: () => void = () => {};

  async nodes(): ReturnType<NameServers['nodes']> {
    return this.#answer(this.answers, 'nodes');
  }

  async services(namespace: string): ReturnType<NameServers['services']> {
    const place = { namespace: 'taskd', group: '', isProtected: false };
    const items = [
      { ...place, service: 'billing', instances: 2, healthy: 1 },
      { ...place, group: 'blue', service: 'shop', instances: 1, healthy: 1 },
    ];
    return this.#answer({ items, isFrozen: this.isFrozen }, 'services', namespace);
  }

  async instances(...parameters: Parameters<NameServers['instances']>): ReturnType<NameServers['instances']> {
    const [{ selector }, service] = parameters;
    const items = service === 'billing' && selector === '' ? [billing1, billing2] : [];
    return this.#answer({ items, isFrozen: this.isFrozen }, 'instances', ...parameters);
  }

  async overrides(namespace: string): ReturnType<NameServers['overrides']> {
    return this.#answer([drained, drainedBefore], 'overrides', namespace);
  }

  async override(...[word]: Parameters<NameServers['override']>): ReturnType<NameServers['override']> {
    return this.#answer({ ...drained, ...word }, 'override', word);
  }

  watch(...[service, scope, listener]: Parameters<NameServers['watch']>): OpenWatch {
    this.calls.push(['watch', service, scope]);
    this.listener = listener;
    this.onWatch();
    return this;
  }

  async close(): Promise<void> {
    this.calls.push(['close']);
  }

  #answer<T>(value: T, ...call: unknown[]): T {
    this.calls.push(call);
    if (this.failure !== undefined) throw this.failure;
    return value;
  }
}
