/**
 * What readers of one name server are shown: the core's merged view, static entries where nobody is registered, and on
 * top of both what people say about an instance.
 */
import { serviceKey } from './core/instance-key.js';
import type { RegistryCore } from './core/registry-core.js';
import type { Health, InstanceClaim } from './instance.js';
import type { Overrides } from './overrides.js';
import type { StaticEntries } from './static-entries.js';

/** Health as it is served: a person's word comes before what was observed. */
export type ServedHealth = Health | 'draining' | 'disabled';

export interface ServedInstance {
  readonly claim: InstanceClaim;
  readonly health: ServedHealth;
  /** What holds now: a person's, else as registered. */
  readonly weight: number;
  /** The name server that holds the session; empty for a static entry. */
  readonly owner: string;
}

export interface ServedService {
  readonly namespace: string;
  readonly group: string;
  readonly service: string;
  readonly instances: number;
  /** UP, and neither draining nor disabled. */
  readonly healthy: number;
  readonly isProtected: boolean;
}

type ServiceName = Pick<ServedService, 'namespace' | 'group' | 'service'>;

export class Catalog {
  readonly #core: RegistryCore;
  readonly #statics: StaticEntries;
  readonly #overrides: Overrides;

  constructor(core: RegistryCore, statics: StaticEntries, overrides: Overrides) {
    this.#core = core;
    this.#statics = statics;
    this.#overrides = overrides;
  }

  find(namespace: string, group: string, service: string, instanceId: string): ServedInstance | undefined {
    const key = { namespace, group, service, instanceId };
    const seen = this.#core.visible(key);
    const claim = seen?.claim ?? this.#statics.find(namespace, group, service, instanceId);
    if (claim === undefined) return undefined;
    const override = this.#overrides.find(key);
    const health = override === undefined || override.mode === 'enabled' ? (seen?.health ?? 'up') : override.mode;
    return { claim, health, weight: override?.weight || claim.weight, owner: seen?.owner ?? '' };
  }

  /** Ids of a service's instances, each once, in no order. */
  ids(namespace: string, group: string, service: string): string[] {
    const ids = this.#core.ids(namespace, group, service);
    const statics = this.#statics.ids(namespace, group, service);
    return statics.length === 0 ? ids : [...new Set([...ids, ...statics])];
  }

  /** Names of a group's services, in order. */
  serviceNames(namespace: string, group: string): string[] {
    const names = new Set(this.#core.serviceNames(namespace, group));
    for (const each of this.#statics.services()) {
      if (each.namespace === namespace && each.group === group) names.add(each.service);
    }
    return [...names].sort();
  }

  /** The services of one namespace, or of all for '', in the order of namespace, group and name. */
  services(namespace: string): ServiceName[] {
    const found = new Map<string, ServiceName>();
    for (const each of this.#core.services(namespace === '' ? undefined : namespace)) found.set(keyOf(each), each);
    for (const each of this.#statics.services()) {
      if (namespace === '' || each.namespace === namespace) found.set(keyOf(each), each);
    }
    return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
  }

  /** Counts a service's instances as they are served. */
  count({ namespace, group, service }: ServiceName): ServedService {
    let healthy = 0;
    const ids = this.ids(namespace, group, service);
    for (const id of ids) if (this.find(namespace, group, service, id)?.health === 'up') healthy++;
    const isProtected = this.#core.isProtected(namespace, group, service);
    return { namespace, group, service, instances: ids.length, healthy, isProtected };
  }
}

function keyOf({ namespace, group, service }: ServiceName): string {
  return serviceKey(namespace, group, service);
}
