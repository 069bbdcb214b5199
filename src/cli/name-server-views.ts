/** What name servers tell a person, out of the messages that carry it. */
import { type Instance, instanceFrom } from '../discovery/instance.js';
import { type Address, formatAddress } from '../runtime/net.js';
import { taskd } from '../wire/generated/messages.js';

export type OwnerStateText = 'self' | 'alive' | 'suspect' | 'gone' | 'hidden' | 'left' | 'unknown';

/** One name server as another one, or it itself, sees it. */
export interface OwnerView {
  readonly owner: string;
  readonly state: OwnerStateText;
  readonly incarnation: number;
  readonly sequence: number;
  /** Since it was last known to live. */
  readonly ageMs: number;
  readonly instances: number;
}

/** What one name server says of itself and of all. */
export interface NameServerView {
  readonly nodeId: string;
  readonly incarnation: number;
  readonly isReady: boolean;
  readonly isFrozen: boolean;
  readonly isCold: boolean;
  readonly sessions: number;
  /** In its merged view. */
  readonly instances: number;
  readonly watchers: number;
  readonly overrides: number;
  readonly staleMs: number;
  readonly owners: readonly OwnerView[];
  readonly peers: readonly { readonly address: string; readonly nodeId: string; readonly isConnected: boolean }[];
}

export interface ServiceCount {
  readonly namespace: string;
  readonly group: string;
  readonly service: string;
  readonly instances: number;
  readonly healthy: number;
  readonly isProtected: boolean;
}

/** An instance with what only `list` tells. */
export interface RegisteredInstance extends Instance {
  /** The name server that holds its session; empty for a static entry. */
  readonly owner: string;
  /** `incarnation.counter`; `static` for a static entry. */
  readonly version: string;
}

export type OverrideModeText = 'enabled' | 'draining' | 'disabled';

/** A person's word on one instance. */
export interface InstanceOverride {
  readonly namespace: string;
  readonly group: string;
  readonly service: string;
  readonly instanceId: string;
  readonly mode: OverrideModeText;
  /** 0: as registered. */
  readonly weight: number;
  /** When and where it was said last. */
  readonly atMs: number;
  readonly nodeId: string;
}

const ownerStates: ReadonlyMap<number, OwnerStateText> = new Map([
  [taskd.OwnerState.OWNER_ALIVE, 'alive'],
  [taskd.OwnerState.OWNER_SUSPECT, 'suspect'],
  [taskd.OwnerState.OWNER_GONE, 'gone'],
  [taskd.OwnerState.OWNER_HIDDEN, 'hidden'],
  [taskd.OwnerState.OWNER_LEFT, 'left'],
]);

export const overrideModes: Readonly<Record<OverrideModeText, taskd.OverrideMode>> = {
  enabled: taskd.OverrideMode.OVERRIDE_ENABLED,
  draining: taskd.OverrideMode.OVERRIDE_DRAINING,
  disabled: taskd.OverrideMode.OVERRIDE_DISABLED,
};

export function nameServerView(message: taskd.NodesResponse): NameServerView {
  const { nodeId, incarnation, ready, frozen, cold, sessions, instances, watchers, overrides, staleMs } = message;
  return {
    ...{ nodeId, incarnation, isReady: ready, isFrozen: frozen, isCold: cold },
    ...{ sessions, instances, watchers, overrides, staleMs },
    owners: message.owners.map((each) => ({
      owner: each.owner ?? '',
      state: each.owner === nodeId ? 'self' : (ownerStates.get(each.state ?? 0) ?? 'unknown'),
      incarnation: each.incarnation ?? 0,
      sequence: each.sequence ?? 0,
      ageMs: each.ageMs ?? 0,
      instances: each.instances ?? 0,
    })),
    peers: message.peers.map((each) => ({
      address: formatAddress(addressOf(each)),
      nodeId: each.nodeId ?? '',
      isConnected: each.connected === true,
    })),
  };
}

export function addressOf({ address }: taskd.PeerInfo.$Properties): Address {
  return { host: address?.host ?? '', port: address?.port ?? 0 };
}

export function serviceCount(message: taskd.ServiceInfo.$Properties): ServiceCount {
  return {
    namespace: message.namespace ?? '',
    group: message.group ?? '',
    service: message.service ?? '',
    instances: message.instances ?? 0,
    healthy: message.healthy ?? 0,
    isProtected: message.protected === true,
  };
}

export function registeredInstance(message: taskd.Instance.$Properties): RegisteredInstance {
  const { incarnation = 0, counter = 0 } = message.version ?? {};
  const isStatic = !incarnation && !counter;
  return {
    ...instanceFrom(message),
    owner: message.owner ?? '',
    version: isStatic ? 'static' : `${incarnation}.${counter}`,
  };
}

export function instanceOverride(message: taskd.Override.$Properties): InstanceOverride {
  const mode = Object.entries(overrideModes).find(([, number]) => number === message.mode)?.[0] ?? 'enabled';
  return {
    namespace: message.namespace ?? '',
    group: message.group ?? '',
    service: message.service ?? '',
    instanceId: message.instanceId ?? '',
    mode: mode as OverrideModeText,
    weight: message.weight ?? 0,
    atMs: message.atMs ?? 0,
    nodeId: message.nodeId ?? '',
  };
}

/** An instance as programs get it. */
export function instanceJson<T extends Instance>(
  instance: T,
): Omit<T, 'addresses'> & { readonly addresses: readonly string[] } {
  return { ...instance, addresses: instance.addresses.map(formatAddress) };
}
