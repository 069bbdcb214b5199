import { ErrorCode, TaskdError } from '../base/errors.js';
import { nameLengthMax } from '../base/limits.js';
import type { Address } from '../runtime/net.js';
import { taskd } from '../wire/generated/messages.js';

/** Orders the registrations of one instance: incarnation first, then counter. */
export interface InstanceVersion {
  readonly incarnation: number;
  readonly counter: number;
}

/** What a client says about one instance. */
export interface InstanceClaim {
  readonly namespace: string;
  /** Empty: the default group. */
  readonly group: string;
  readonly service: string;
  readonly instanceId: string;
  readonly addresses: readonly Address[];
  readonly zone: string;
  readonly weight: number;
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly version: InstanceVersion;
}

export type Health = 'up' | 'suspect';

export const defaultWeight = 100;
const weightMax = 10_000;
const addressesMax = 8;
const hostLengthMax = 255;
const tagsMax = 32;
const tagLengthMax = 64;
const metadataEntriesMax = 64;
const metadataBytesMax = 4_096;
const namePattern: RegExp = new RegExp(`^[\\x21-\\x7e]{1,${nameLengthMax}}$`);

export function compareVersions(a: InstanceVersion, b: InstanceVersion): number {
  return a.incarnation - b.incarnation || a.counter - b.counter;
}

export function formatVersion(version: InstanceVersion): string {
  return `${version.incarnation}.${version.counter}`;
}

/** A claim from a register request; INVALID, naming the field and its limit, when something is out of bounds. */
export function claimFrom(message: taskd.Instance | null | undefined): InstanceClaim {
  if (message === null || message === undefined) throw invalid('the request has no instance');
  return { ...unversionedFrom(message), version: versionFrom(message.version) };
}

/** All of a claim but its version; INVALID as for `claimFrom`. */
export function unversionedFrom(message: taskd.Instance): Omit<InstanceClaim, 'version'> {
  const { namespace, group, service, instanceId, zone } = message;
  checkName('namespace', namespace);
  if (group !== '') checkName('group', group);
  checkName('service', service);
  checkName('instance id', instanceId);
  if (zone !== '') checkName('zone', zone);
  const count = message.addresses.length;
  if (count < 1 || count > addressesMax) throw invalid(`an instance has 1 to ${addressesMax} addresses, not ${count}`);
  const addresses = message.addresses.map(({ host = '', port = 0 }) => {
    if (host === null || port === null || host === '' || host.length > hostLengthMax || port < 1 || port > 65_535) {
      throw invalid(`an address has a host of at most ${hostLengthMax} characters and a port from 1 to 65535`);
    }
    return { host, port };
  });
  if (message.weight > weightMax) throw invalid(`a weight is 1 to ${weightMax}, not ${message.weight}`);
  if (message.tags.length > tagsMax || message.tags.some((tag) => tag === '' || tag.length > tagLengthMax)) {
    throw invalid(`an instance has at most ${tagsMax} tags of 1 to ${tagLengthMax} characters`);
  }
  const metadata = Object.entries(message.metadata);
  const bytes = metadata.reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
  if (metadata.length > metadataEntriesMax || bytes > metadataBytesMax) {
    throw invalid(
      `metadata has at most ${metadataEntriesMax} entries and ${metadataBytesMax} bytes, not ${metadata.length} and ${bytes}`,
    );
  }
  return {
    namespace,
    group,
    service,
    instanceId,
    addresses,
    zone,
    weight: message.weight === 0 ? defaultWeight : message.weight,
    tags: [...message.tags],
    metadata: Object.fromEntries(metadata),
  };
}

export function versionFrom(message: taskd.InstanceVersion.$Properties | null | undefined): InstanceVersion {
  const incarnation = message?.incarnation ?? 0;
  if (incarnation < 1) throw invalid('a version has an incarnation above 0, such as the start time in milliseconds');
  return { incarnation, counter: message?.counter ?? 0 };
}

/** A version of a client: an incarnation is a time in milliseconds, a counter counts; there must be room above both. */
const versionMax: number = 2 ** 48;

/** Refuses what no client can have drawn or counted; INVALID. */
export function checkVersion({ incarnation, counter }: InstanceVersion): void {
  if (incarnation <= versionMax && counter <= versionMax) return;
  throw invalid(
    `a version has an incarnation, such as the start time in milliseconds, and a counter of at most 2^48, not ${incarnation} and ${counter}`,
  );
}

export function checkName(what: string, name: string): void {
  if (namePattern.test(name)) return;
  throw invalid(
    `a ${what} has 1 to ${nameLengthMax} printable ASCII characters without spaces, not "${name.slice(0, 64)}"`,
  );
}

/** The instance as the wire has it. */
export function instanceMessage(claim: InstanceClaim, health: Health): taskd.Instance.$Properties {
  return {
    namespace: claim.namespace,
    group: claim.group,
    service: claim.service,
    instanceId: claim.instanceId,
    addresses: [...claim.addresses],
    zone: claim.zone,
    weight: claim.weight,
    tags: [...claim.tags],
    metadata: claim.metadata,
    version: claim.version,
    health: health === 'up' ? taskd.Health.HEALTH_UP : taskd.Health.HEALTH_SUSPECT,
  };
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, message);
}
