/**
 * Instances that are in a name server's configuration and never register: databases, machines, programs of others. They
 * are served with version 0, so whoever registers under the same name is served in its place, for as long as it lives.
 * Pure.
 */
import { ErrorCode, TaskdError } from '../base/errors.js';
import { serviceKey } from './core/instance-key.js';
import type { InstanceClaim } from './instance.js';

export const staticEntriesMax = 10_000;

export class StaticEntries {
  /** By namespace, group, service and instance id. */
  readonly #claims = new Map<string, Map<string, InstanceClaim>>();
  readonly #size: number;

  /** INVALID when two have one name; QUOTA when there are too many. */
  constructor(claims: readonly InstanceClaim[]) {
    if (claims.length > staticEntriesMax) {
      throw new TaskdError(
        ErrorCode.QUOTA,
        `a name server has at most ${staticEntriesMax} static instances, not ${claims.length}; let some register`,
      );
    }
    for (const claim of claims) {
      const key = serviceKey(claim.namespace, claim.group, claim.service);
      let service = this.#claims.get(key);
      if (service === undefined) this.#claims.set(key, (service = new Map()));
      if (service.has(claim.instanceId)) {
        const what = `static instance ${claim.instanceId} of ${claim.service} is there twice`;
        throw new TaskdError(ErrorCode.INVALID, `${what}; give one of the two another id`);
      }
      service.set(claim.instanceId, claim);
    }
    this.#size = claims.length;
  }

  get size(): number {
    return this.#size;
  }

  find(namespace: string, group: string, service: string, instanceId: string): InstanceClaim | undefined {
    return this.#claims.get(serviceKey(namespace, group, service))?.get(instanceId);
  }

  /** Ids in one service. */
  ids(namespace: string, group: string, service: string): readonly string[] {
    return [...(this.#claims.get(serviceKey(namespace, group, service))?.keys() ?? [])];
  }

  /** One claim of each service. */
  *services(): Generator<InstanceClaim> {
    for (const service of this.#claims.values()) yield service.values().next().value!;
  }
}
