import { nameLengthMax } from '../base/limits.js';
import { taskd } from '../wire/generated/messages.js';
import type { InstanceKey } from './core/instance-key.js';
import { checkName } from './instance.js';
import { lastSet, type Override, type OverrideMode } from './overrides.js';

const modeNumbers: Readonly<Record<OverrideMode, taskd.OverrideMode>> = {
  enabled: taskd.OverrideMode.OVERRIDE_ENABLED,
  draining: taskd.OverrideMode.OVERRIDE_DRAINING,
  disabled: taskd.OverrideMode.OVERRIDE_DISABLED,
};

/** The mode of a number on the wire; undefined for UNCHANGED and for numbers of a newer version. */
export function overrideModeOf(number: number | null | undefined): OverrideMode | undefined {
  for (const mode of Object.keys(modeNumbers) as OverrideMode[]) if (modeNumbers[mode] === number) return mode;
  return undefined;
}

/** The override as the wire and the disk have it. */
export function overrideMessage(override: Override): taskd.Override.$Properties {
  const { namespace, group, service, instanceId, mode, modeSet, weight, weightSet } = override;
  return {
    namespace,
    group,
    service,
    instanceId,
    mode: modeNumbers[mode],
    weight,
    ...lastSet(override),
    modeAtMs: modeSet.atMs,
    modeNodeId: modeSet.nodeId,
    weightAtMs: weightSet.atMs,
    weightNodeId: weightSet.nodeId,
  };
}

/** An override from the wire or the disk; undefined when it is none. Never throws. */
export function overrideFrom(message: taskd.Override.$Properties): Override | undefined {
  const { namespace, group, service, instanceId, weight } = message;
  const target = {
    namespace: namespace ?? '',
    group: group ?? '',
    service: service ?? '',
    instanceId: instanceId ?? '',
  };
  const mode = overrideModeOf(message.mode);
  const modeSet = { atMs: message.modeAtMs ?? 0, nodeId: message.modeNodeId ?? '' };
  const weightSet = { atMs: message.weightAtMs ?? 0, nodeId: message.weightNodeId ?? '' };
  if (mode === undefined || (weight ?? 0) > overrideWeightMax || !isTarget(target)) return undefined;
  if (Math.max(modeSet.atMs, weightSet.atMs) < 1) return undefined;
  if (Math.max(modeSet.nodeId.length, weightSet.nodeId.length) > nameLengthMax) return undefined;
  return { ...target, mode, modeSet, weight: weight ?? 0, weightSet };
}

/** Throws INVALID, naming what is wrong with it. */
export function checkTarget(target: InstanceKey): void {
  checkName('namespace', target.namespace);
  if (target.group !== '') checkName('group', target.group);
  checkName('service', target.service);
  checkName('instance id', target.instanceId);
}

function isTarget(target: InstanceKey): boolean {
  try {
    checkTarget(target);
    return true;
  } catch {
    return false;
  }
}

export const overrideWeightMax = 10_000;
