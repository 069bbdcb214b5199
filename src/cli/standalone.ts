import { MetricSet } from '../base/counters.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { roleNames } from './config.js';
import { type RunningRoles, startRoles } from './roles.js';

export interface StandaloneOptions {
  readonly dataFolder: string;
  readonly listen: Address;
  readonly shards: number;
  /** Of the broker's logs; absent: the default. */
  readonly segmentBytes?: number;
}

/** All roles in one process; the scheduler reads and writes the broker's log without the wire. See `startRoles`. */
export function startStandalone(runtime: Runtime, options: StandaloneOptions): Promise<RunningRoles> {
  const settings = { ...options, roles: roleNames, nameServers: [], nodeId: undefined };
  return startRoles(runtime, settings, new MetricSet());
}
