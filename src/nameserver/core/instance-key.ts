/** What an instance is called: the only place where the four names are glued together. */
export interface InstanceKey {
  readonly namespace: string;
  /** Empty: the default group. Services of one name in two groups are two services. */
  readonly group: string;
  readonly service: string;
  readonly instanceId: string;
}

/** The name of a service as one text; names hold no line breaks, so no two services share it. */
export function serviceKey(namespace: string, group: string, service: string): string {
  return `${namespace}\n${group}\n${service}`;
}

/** The name of an instance as one text. */
export function instanceKey(key: InstanceKey): string {
  return `${serviceKey(key.namespace, key.group, key.service)}\n${key.instanceId}`;
}
