import { ErrorCode, TaskdError } from '../../base/errors.js';
import { taskd } from '../../wire/generated/messages.js';
import {
  checkName,
  claimFrom,
  type Health,
  type InstanceClaim,
  type InstanceVersion,
  instanceMessage,
} from '../instance.js';
import type { InstanceKey } from './instance-key.js';
import type { EndTold } from './log-table.js';
import type { Change } from './owner-log.js';
import type { Tombstone } from './place.js';

/** About so many bytes, and so many changes or instances, in one frame. */
export const frameBytesAim: number = 256 * 1_024;
export const frameChangesMax = 2_000;
const endBytes = 64;

/** A claim with its health, as one name server tells it to another. Throws INVALID. */
export function entryFrom(message: taskd.Instance.$Properties): { claim: InstanceClaim; health: Health } {
  const claim = claimFrom(message as taskd.Instance);
  return { claim, health: message.health === taskd.Health.HEALTH_UP ? 'up' : 'suspect' };
}

/** The name and version of what ended, and where that was said first. Throws INVALID. */
export function endFrom(message: taskd.InstanceEnd.$Properties): EndTold {
  const { namespace = '', group = '', service = '', instanceId = '' } = message;
  checkName('namespace', namespace ?? '');
  if (group !== '') checkName('group', group ?? '');
  checkName('service', service ?? '');
  checkName('instance id', instanceId ?? '');
  const key = { namespace: namespace!, group: group!, service: service!, instanceId: instanceId! };
  const { origin, originIncarnation, originSequence } = message;
  const isKnown = origin !== undefined && origin !== null && origin !== '';
  if (isKnown) checkName('node id', origin);
  return {
    key,
    version: plainVersion(message.version),
    origin: isKnown ? { owner: origin, incarnation: originIncarnation ?? 0, sequence: originSequence ?? 0 } : undefined,
  };
}

/** A change from the wire. Throws INVALID. */
export function changeFrom(message: taskd.Change.$Properties): Change {
  if (message.put) return { kind: 'put', ...entryFrom(message.put) };
  if (message.end) {
    const movedBy = message.end.movedBy ? plainVersion(message.end.movedBy) : undefined;
    const { key, version } = endFrom(message.end);
    return { kind: 'end', key, version, movedBy };
  }
  throw new TaskdError(ErrorCode.INVALID, 'a change is a put or an end');
}

export function changeMessage(change: Change): taskd.Change.$Properties {
  if (change.kind === 'put') return { put: instanceMessage(change.claim, change.health) };
  const end = endMessage(change.key, change.version);
  if (change.movedBy !== undefined) end.movedBy = change.movedBy;
  return { end };
}

export function endMessage(key: InstanceKey, version: InstanceVersion): taskd.InstanceEnd.$Properties {
  const { namespace, group, service, instanceId } = key;
  return { namespace, group, service, instanceId, version };
}

/** The tombstone of a place, to be told outside its log. */
export function tombstoneMessage(place: InstanceKey, tombstone: Tombstone): taskd.InstanceEnd.$Properties {
  const { version, origin } = tombstone;
  const end = endMessage(place, version);
  if (origin === undefined) return end;
  return { ...end, origin: origin.owner, originIncarnation: origin.incarnation, originSequence: origin.sequence };
}

/** About what a change takes on the wire. */
export function changeBytes(change: Change): number {
  return change.kind === 'put' ? claimBytes(change.claim) : endBytes + keyBytes(change.key);
}

/** About what a claim takes on the wire. */
export function claimBytes(claim: InstanceClaim): number {
  let bytes = 64 + keyBytes(claim) + claim.zone.length;
  for (const { host } of claim.addresses) bytes += host.length + 8;
  for (const tag of claim.tags) bytes += tag.length + 2;
  for (const [key, value] of Object.entries(claim.metadata)) bytes += key.length + 3 * value.length + 6;
  return bytes;
}

export function keyBytes({ namespace, group, service, instanceId }: InstanceKey): number {
  return namespace.length + group.length + service.length + instanceId.length + 8;
}

/** Milliseconds as the wire has them. */
export function wireMs(ms: number): number {
  return Math.min(0x7fff_ffff, Math.max(0, Math.round(ms)));
}

function plainVersion(message: taskd.InstanceVersion.$Properties | null | undefined): InstanceVersion {
  const { incarnation, counter } = message ?? {};
  return { incarnation: incarnation ?? 0, counter: counter ?? 0 };
}
