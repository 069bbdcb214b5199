/** What is registered and watched in the registry bench, the same for taskd and for its peers. */
export interface RegistryShape {
  /** `host:port` of the members. */
  readonly servers: readonly string[];
  /** Over which the registrations are spread, and which are spread over the servers. */
  readonly connections: number;
  /** All of them are registered once, then each again and again with a higher version. */
  readonly instances: number;
  readonly services: number;
  /** Connections that watch all services, spread over the servers. */
  readonly watchers: number;
}

/** One registration: the `number`-th of its run, 0 the first; below 0: it isn't counted. */
export interface Turn {
  readonly instance: number;
  readonly number: number;
}

/** Where an instance is registered. */
export function connectionOf(instance: number, { connections }: RegistryShape): number {
  return instance % connections;
}

export function serverOf(connection: number, { servers }: RegistryShape): string {
  return servers[connection % servers.length]!;
}

export function serviceOf(instance: number, { services }: RegistryShape): string {
  return `service-${instance % services}`;
}

/** What an instance carries, beside its address. */
export function metadataOf(number: number): Record<string, string> {
  return { n: String(number), version: '2.14.1' };
}

/** Microseconds of a clock that all processes of this machine share and nobody sets. */
export function sharedUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}
