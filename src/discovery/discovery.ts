import { Connections } from '../rpc/connections.js';
import type { Address } from '../runtime/net.js';
import { nodeRuntime } from '../runtime/node/node-runtime.js';
import { StderrLogger } from '../runtime/node/stderr-logger.js';
import type { Runtime } from '../runtime/runtime.js';
import { Balancer, type BalancerOptions } from './balancer.js';
import { parseServers } from './name-servers.js';
import { defaultPicker, pickerNamed } from './pickers/picker-names.js';
import { Registry, type WatchScope } from './registry.js';
import { Service } from './service.js';

export { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
export type { Clock } from '../runtime/clock.js';
export type { Address } from '../runtime/net.js';
export type { Random } from '../runtime/random.js';
export { Balancer, type BalancerOptions } from './balancer.js';
export { checkPicker, type PickerTraits } from './check-picker.js';
export type { Instance, InstanceHealth, NewInstance } from './instance.js';
export { candidatesOf, type InstanceCandidate } from './instance-candidate.js';
export type { OutlierOptions } from './outliers.js';
export { type Candidate, type Picker, type PickOutcome, usable } from './picker.js';
export {
  type PickerDeps,
  type PickerFactory,
  pickerNamed,
  pickerNames,
  registerPicker,
} from './pickers/picker-names.js';
export type { CallerZones } from './pickers/zone-first-picker.js';
export type { InstancesListener, Registration, Registry, Watch, WatchScope } from './registry.js';
export type { Service } from './service.js';
export type { SlowStartOptions } from './slow-start.js';

export interface DiscoveryOptions {
  /** Name servers, as `host:port` or addresses; standalone is one. */
  readonly servers: readonly string[] | readonly Address[];
  /** What the name servers know this program by. Default: a random name. */
  readonly clientId?: string;
  /** Where this program runs; `zone-first` prefers instances there. */
  readonly zone?: string;
  /**
   * An absolute path: what is watched is kept in this file as it was known last, to start from while no name server
   * answers. Each process needs a file of its own. Default: none.
   */
  readonly cachePath?: string;
  /** Default: the real one, without a log. */
  readonly runtime?: Runtime;
}

export interface ServiceOptions extends BalancerOptions {
  /** By name, see `pickerNames`. Default `p2c`. */
  readonly picker?: string;
  /** Default `taskd`. */
  readonly namespace?: string;
  /** Default: the empty group. */
  readonly group?: string;
  /** Only instances that match, such as `zone=east,!canary`; see "Selectors" in docs/protocol.md. Default: all. */
  readonly selector?: string;
  /**
   * The service whose instances call this one, as this program does: how they are spread over zones tells `zone-first`
   * how much of each zone is for whom. Left out: evenly.
   */
  readonly callers?: string;
}

/** What programs use to register themselves, and to find and choose whom they call. One object a process. */
export class Discovery {
  /** Registers this program's own instances, and watches others'. */
  readonly registry: Registry;
  readonly #runtime: Runtime;
  readonly #connections: Connections;
  readonly #zone: string;

  /** Throws INVALID for addresses and paths that are none. Begins at once to look for a name server. */
  constructor(options: DiscoveryOptions, connections?: Connections) {
    const servers = parseServers(options.servers);
    this.#runtime = options.runtime ?? nodeRuntime(new StderrLogger());
    const self = { clientId: options.clientId ?? `client-${this.#runtime.random.u32().toString(36)}`, kind: 'client' };
    this.#zone = options.zone ?? '';
    this.#connections = connections ?? new Connections(this.#runtime, self);
    this.registry = new Registry(this.#runtime, this.#connections, servers, self, options.cachePath);
  }

  /** A service to call. Make one for each and keep it: it remembers who answers how. Throws INVALID for an unknown picker. */
  service(name: string, options: ServiceOptions = {}): Service {
    const { picker = defaultPicker, callers } = options;
    const { random, clock } = this.#runtime;
    const { selector: _, ...scope } = scopeOf(options);
    const counts = (): ReadonlyMap<string, number> | undefined => this.#countByZone(callers, scope);
    const made = pickerNamed(picker, { random, clock, callers: { zone: this.#zone, counts } });
    // Watched for the counts, until this object is closed.
    if (callers !== undefined) this.registry.watch(callers, () => {}, scope);
    return new Service(this.registry, new Balancer(made, clock, options), name, scopeOf(options));
  }

  /** Deregisters what this program registered and closes the connections to name servers. */
  async close(): Promise<void> {
    await this.registry.close();
    await this.#connections.close();
  }

  #countByZone(callers: string | undefined, scope: WatchScope): Map<string, number> | undefined {
    const instances = callers === undefined ? undefined : this.registry.instances(callers, scope);
    if (instances === undefined) return undefined;
    const counts = new Map<string, number>();
    for (const { zone } of instances) counts.set(zone, (counts.get(zone) ?? 0) + 1);
    return counts;
  }
}

function scopeOf({ namespace, group, selector }: ServiceOptions): WatchScope {
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(group === undefined ? {} : { group }),
    ...(selector === undefined ? {} : { selector }),
  };
}
