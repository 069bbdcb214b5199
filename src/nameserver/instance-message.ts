import { taskd } from '../wire/generated/messages.js';
import type { ServedHealth, ServedInstance } from './catalog.js';
import { instanceMessage } from './instance.js';

const healthNumbers: Readonly<Record<ServedHealth, taskd.Health>> = {
  up: taskd.Health.HEALTH_UP,
  suspect: taskd.Health.HEALTH_SUSPECT,
  draining: taskd.Health.HEALTH_DRAINING,
  disabled: taskd.Health.HEALTH_DISABLED,
};

/** The instance as clients are told of it. */
export function servedMessage({ claim, health, weight }: ServedInstance): taskd.Instance.$Properties {
  return { ...instanceMessage(claim, 'up'), weight, health: healthNumbers[health] };
}
