/** What can be asked of a name server: lists in pages. Pure: a page is cut from the state of now. */
import { taskd } from '../wire/generated/messages.js';
import type { Catalog } from './catalog.js';
import { instanceKey, serviceKey } from './core/instance-key.js';
import type { RegistryCore } from './core/registry-core.js';
import type { OwnerInfo } from './core/view-state.js';
import { checkName } from './instance.js';
import { servedMessage } from './instance-message.js';
import { overrideMessage } from './override-message.js';
import type { Overrides } from './overrides.js';
import type { PeerLinkState } from './peer-links.js';
import { Selector } from './selector.js';
import { sizeOf, stateMessage } from './watch-set.js';

const pageBytesAim = 256 * 1_024;
const pageRowsMax = 1_000;

const ownerStates: Readonly<Record<OwnerInfo['state'], taskd.OwnerState>> = {
  self: taskd.OwnerState.OWNER_ALIVE,
  alive: taskd.OwnerState.OWNER_ALIVE,
  suspect: taskd.OwnerState.OWNER_SUSPECT,
  gone: taskd.OwnerState.OWNER_GONE,
  hidden: taskd.OwnerState.OWNER_HIDDEN,
  left: taskd.OwnerState.OWNER_LEFT,
};

export class RegistryReads {
  readonly #core: RegistryCore;
  readonly #catalog: Catalog;
  readonly #overrides: Overrides;

  constructor(core: RegistryCore, catalog: Catalog, overrides: Overrides) {
    this.#core = core;
    this.#catalog = catalog;
    this.#overrides = overrides;
  }

  /** Instances of one service or, for '', of all in a group, in the order of service and instance id. */
  instances(request: taskd.ListInstancesRequest): taskd.ListInstancesResponse.$Properties {
    const { namespace, group, service, after } = request;
    checkName('namespace', namespace);
    if (group !== '') checkName('group', group);
    if (service !== '') checkName('service', service);
    const selector = Selector.parse(request.selector);
    const isProtected = service !== '' && this.#core.isProtected(namespace, group, service);
    const state = stateMessage(this.#core.viewState(), false, isProtected);
    const instances: taskd.Instance.$Properties[] = [];
    let bytes = 0;
    let last = '';
    const afterService = after.split('\n', 1)[0]!;
    for (const name of service === '' ? this.#catalog.serviceNames(namespace, group) : [service]) {
      if (name < afterService) continue;
      for (const id of this.#catalog.ids(namespace, group, name).sort()) {
        const place = `${name}\n${id}`;
        if (after !== '' && place <= after) continue;
        if (bytes >= pageBytesAim) return { instances, state, next: last };
        last = place;
        const instance = this.#catalog.find(namespace, group, name, id);
        if (instance === undefined || selector?.matches(instance.claim) === false) continue;
        instances.push({ ...servedMessage(instance), owner: instance.owner });
        bytes += sizeOf(instance);
      }
    }
    return { instances, state, next: '' };
  }

  services(request: taskd.ListServicesRequest): taskd.ListServicesResponse.$Properties {
    const { namespace, after } = request;
    if (namespace !== '') checkName('namespace', namespace);
    const state = stateMessage(this.#core.viewState(), false, false);
    const services: taskd.ServiceInfo.$Properties[] = [];
    for (const each of this.#catalog.services(namespace)) {
      const place = serviceKey(each.namespace, each.group, each.service);
      if (after !== '' && place <= after) continue;
      if (services.length === pageRowsMax) return { services, state, next: keyOfService(services.at(-1)!) };
      const { isProtected, ...rest } = this.#catalog.count(each);
      services.push({ ...rest, protected: isProtected });
    }
    return { services, state, next: '' };
  }

  overrides(request: taskd.ListOverridesRequest): taskd.ListOverridesResponse.$Properties {
    const { namespace, after } = request;
    if (namespace !== '') checkName('namespace', namespace);
    const page: taskd.Override.$Properties[] = [];
    let last = '';
    for (const override of this.#overrides.inForce()) {
      const place = instanceKey(override);
      if ((namespace !== '' && override.namespace !== namespace) || (after !== '' && place <= after)) continue;
      if (page.length === pageRowsMax) return { overrides: page, next: last };
      page.push(overrideMessage(override));
      last = place;
    }
    return { overrides: page, next: '' };
  }

  nodes(links: readonly PeerLinkState[], watchers: number): taskd.NodesResponse.$Properties {
    const { revision, staleMs, isCold, isFrozen, isReady } = this.#core.viewState();
    return {
      nodeId: this.#core.nodeId,
      incarnation: this.#core.incarnation,
      ready: isReady,
      frozen: isFrozen,
      cold: isCold,
      sessions: this.#core.sessionCount,
      instances: this.#core.instanceCount,
      watchers,
      overrides: this.#overrides.size,
      owners: this.#core.owners().map(({ owner, incarnation, sequence, ageMs, state, instances }) => ({
        owner,
        incarnation,
        sequence,
        ageMs: Math.max(0, Math.round(ageMs)),
        state: ownerStates[state],
        instances,
      })),
      peers: links.map(({ address, nodeId, isUp, queuedBytes }) => ({ address, nodeId, connected: isUp, queuedBytes })),
      revision: [...revision],
      staleMs: Math.round(staleMs),
    };
  }
}

function keyOfService({ namespace, group, service }: taskd.ServiceInfo.$Properties): string {
  return serviceKey(namespace ?? '', group ?? '', service ?? '');
}
