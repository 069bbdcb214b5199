import { taskd } from '../wire/generated/messages.js';
import type { InstanceKey } from './core/instance-key.js';
import { checkName } from './instance.js';
import type { Override, OverrideMode } from './overrides.js';

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
  return { ...override, mode: modeNumbers[override.mode] };
}

/** An override from the wire or the disk; undefined when it is none. Never throws. */
export function overrideFrom(message: taskd.Override.$Properties): Override | undefined {
  const { namespace = '', group = '', service = '', instanceId = '', weight, atMs, nodeId } = message;
  const target = {
    namespace: namespace ?? '',
    group: group ?? '',
    service: service ?? '',
    instanceId: instanceId ?? '',
  };
  const mode = overrideModeOf(message.mode);
  if (mode === undefined || !isTarget(target)) return undefined;
  if ((weight ?? 0) > overrideWeightMax || (atMs ?? 0) < 1 || nodeId === null || nodeId === undefined) return undefined;
  return { ...target, mode, weight: weight ?? 0, atMs: atMs ?? 0, nodeId };
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
