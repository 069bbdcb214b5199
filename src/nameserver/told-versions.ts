import { type InstanceKey, serviceKey } from './core/instance-key.js';
import { compareVersions, type InstanceClaim, type InstanceVersion } from './instance.js';

type ServiceName = Pick<InstanceKey, 'namespace' | 'group' | 'service'>;

/**
 * The highest version of each instance that any watcher of this name server was told of: what a tombstone must reach to
 * remove it from their lists. Kept for watched services only, and only for instances that were not removed yet.
 */
export class ToldVersions {
  readonly #services = new Map<string, ServiceName & { readonly versions: Map<string, InstanceVersion> }>();

  /** Services of which something is kept. */
  get size(): number {
    return this.#services.size;
  }

  note({ namespace, group, service, instanceId, version }: InstanceClaim): void {
    const key = serviceKey(namespace, group, service);
    let told = this.#services.get(key);
    if (told === undefined) this.#services.set(key, (told = { namespace, group, service, versions: new Map() }));
    const before = told.versions.get(instanceId);
    if (before === undefined || compareVersions(version, before) > 0) told.versions.set(instanceId, version);
  }

  find({ namespace, group, service, instanceId }: InstanceKey): InstanceVersion | undefined {
    return this.#services.get(serviceKey(namespace, group, service))?.versions.get(instanceId);
  }

  /** Watchers are being told that it is gone. */
  forget({ namespace, group, service, instanceId }: InstanceKey): void {
    const key = serviceKey(namespace, group, service);
    const versions = this.#services.get(key)?.versions;
    if (versions?.delete(instanceId) === true && versions.size === 0) this.#services.delete(key);
  }

  /** The last watcher of a service, or for the service '' of a group, has left. `isWatched` is asked by service keys. */
  forgetUnwatched({ namespace, group, service }: ServiceName, isWatched: (key: string) => boolean): void {
    const key = serviceKey(namespace, group, service);
    if (service !== '') {
      if (!isWatched(serviceKey(namespace, group, ''))) this.#services.delete(key);
      return;
    }
    for (const [each, told] of this.#services) {
      if (told.namespace === namespace && told.group === group && !isWatched(each)) this.#services.delete(each);
    }
  }

  /** What is out of sight while that is certain needs no version any more. */
  forgetGone(isGone: (key: InstanceKey) => boolean): void {
    for (const [key, { namespace, group, service, versions }] of this.#services) {
      for (const instanceId of versions.keys()) {
        if (isGone({ namespace, group, service, instanceId })) versions.delete(instanceId);
      }
      if (versions.size === 0) this.#services.delete(key);
    }
  }
}
