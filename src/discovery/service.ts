import type { Balancer } from './balancer.js';
import type { Instance } from './instance.js';
import { candidatesOf } from './instance-candidate.js';
import type { PickOutcome } from './picker.js';
import type { Registry, Watch, WatchScope } from './registry.js';

/**
 * A service that this program calls: its instances as the registry tells them, and a balancer that chooses among them.
 * While no name server answers, the instances that were known last are chosen from.
 *
 *     const instance = service.pick(orderId);          // whom to call
 *     ...
 *     service.done(instance, { latencyMs, isOk });      // how it went
 */
export class Service {
  /**
   * Resolves when the first list has come, also an empty one; never when the service is closed before. Rejects with
   * INVALID for a name or a selector that is none.
   */
  readonly known: Promise<void>;
  readonly #balancer: Balancer;
  readonly #watch: Watch;
  #instances: readonly Instance[] = [];

  /** Watches the service until it is closed. */
  constructor(registry: Registry, balancer: Balancer, name: string, scope?: WatchScope) {
    this.#balancer = balancer;
    let watch: Watch | undefined;
    this.known = new Promise<void>((resolve, reject) => {
      const take = (instances: readonly Instance[]): void => {
        this.#instances = instances;
        resolve();
      };
      watch = registry.watch(name, take, scope, reject);
    });
    this.known.catch(() => {});
    this.#watch = watch!;
  }

  /** All that are registered, whatever their health. */
  get instances(): readonly Instance[] {
    return this.#instances;
  }

  /** Chooses an instance to call; undefined when none may be called now. Say with `done` how it went. */
  pick(key?: string): Instance | undefined {
    return this.#balancer.pick(key, candidatesOf(this.#instances))?.instance;
  }

  /** All instances to call: for a broadcast everyone, for other strategies the one that `pick` gives. */
  pickAll(key?: string): readonly Instance[] {
    return this.#balancer.pickAll(key, candidatesOf(this.#instances)).map(({ instance }) => instance);
  }

  /** The call to an instance that was picked is over. Call it once for each pick, also when the call failed. */
  done(instance: Instance, outcome: PickOutcome): void {
    this.#balancer.done(instance.instanceId, outcome);
  }

  /** Stops watching; what was known last can still be chosen from. */
  close(): void {
    this.#watch.close();
  }
}
