import type { Address } from '../runtime/net.js';
import { taskd } from '../wire/generated/messages.js';

/** The namespace of taskd's own services, and the default of all others. */
export const defaultNamespace = 'taskd';
/** taskd's own services: one instance a process, the instance id is the node id. */
export const nameServerService = 'taskd.nameserver';
export const brokerService = 'taskd.broker';
export const schedulerService = 'taskd.scheduler';

const defaultWeight = 100;

/** What a process says about one service that it serves. */
export interface NewInstance {
  readonly service: string;
  /** Unique in the service. */
  readonly instanceId: string;
  /** At least one. */
  readonly addresses: readonly Address[];
  /** Default `taskd`. */
  readonly namespace?: string;
  /** Services of one name in two groups have nothing to do with each other. Default: the empty group. */
  readonly group?: string;
  readonly zone?: string;
  /** Relative share of the load, 1 to 10,000; default 100. */
  readonly weight?: number;
  readonly tags?: readonly string[];
  /** At most 4 KiB in all. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An instance as the registry tells it. Immutable: a change is another object. */
export interface Instance {
  readonly namespace: string;
  readonly group: string;
  readonly service: string;
  readonly instanceId: string;
  readonly addresses: readonly Address[];
  readonly zone: string;
  /** What holds now: a person's word, else as registered. */
  readonly weight: number;
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Differs from start to start of the process. */
  readonly incarnation: number;
  readonly health: InstanceHealth;
}

/**
 * `suspect`: not heard of for a while, or its connection closed; use it last. A person's word: `draining`, nothing new
 * for it; `disabled`, not to be called at all.
 */
export type InstanceHealth = 'up' | 'suspect' | 'draining' | 'disabled';

const healthTexts: ReadonlyMap<taskd.Health, InstanceHealth> = new Map([
  [taskd.Health.HEALTH_SUSPECT, 'suspect'],
  [taskd.Health.HEALTH_DRAINING, 'draining'],
  [taskd.Health.HEALTH_DISABLED, 'disabled'],
]);

export function instanceFrom(message: taskd.Instance.$Properties): Instance {
  return {
    namespace: message.namespace ?? '',
    group: message.group ?? '',
    service: message.service ?? '',
    instanceId: message.instanceId ?? '',
    addresses: (message.addresses ?? []).map(({ host, port }) => ({ host: host ?? '', port: port ?? 0 })),
    zone: message.zone ?? '',
    weight: message.weight || defaultWeight,
    tags: [...(message.tags ?? [])],
    metadata: { ...message.metadata },
    incarnation: message.version?.incarnation ?? 0,
    health: healthTexts.get(message.health ?? taskd.Health.HEALTH_UP) ?? 'up',
  };
}

/** The instance as the wire has it; of its version only what is known here. */
export function messageOf(instance: Instance): taskd.Instance.$Properties {
  const { namespace, group, service, instanceId, addresses, zone, weight, tags, metadata, incarnation } = instance;
  let health = taskd.Health.HEALTH_UP;
  for (const [number, text] of healthTexts) if (text === instance.health) health = number;
  return {
    namespace,
    group,
    service,
    instanceId,
    addresses: [...addresses],
    zone,
    weight,
    tags: [...tags],
    metadata: { ...metadata },
    version: { incarnation, counter: 0 },
    health,
  };
}

/** True when nobody who uses the instance would see a difference. */
export function isSameInstance(a: Instance, b: Instance): boolean {
  return (
    a.incarnation === b.incarnation &&
    a.health === b.health &&
    a.zone === b.zone &&
    a.weight === b.weight &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every((address, i) => address.host === b.addresses[i]!.host && address.port === b.addresses[i]!.port) &&
    a.tags.length === b.tags.length &&
    a.tags.every((tag, i) => tag === b.tags[i]) &&
    isSameMetadata(a.metadata, b.metadata)
  );
}

function isSameMetadata(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key]);
}
