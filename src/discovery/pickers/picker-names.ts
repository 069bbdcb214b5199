import { ErrorCode, TaskdError } from '../../base/errors.js';
import type { Clock } from '../../runtime/clock.js';
import type { Random } from '../../runtime/random.js';
import type { Picker } from '../picker.js';
import { BroadcastPicker } from './broadcast-picker.js';
import { ConsistentHashPicker } from './consistent-hash-picker.js';
import { FailoverPicker } from './failover-picker.js';
import { LeastActivePicker } from './least-active-picker.js';
import { LeastDispatchedPicker } from './least-dispatched-picker.js';
import { P2cPicker } from './p2c-picker.js';
import { RandomPicker } from './random-picker.js';
import { RoundRobinPicker } from './round-robin-picker.js';
import { SpecifiedPicker } from './specified-picker.js';
import { type CallerZones, ZoneFirstPicker } from './zone-first-picker.js';

/** What pickers are made from; each takes what it needs. */
export interface PickerDeps {
  readonly random: Random;
  readonly clock: Clock;
  /** Where this process stands, for `zone-first`; without it that one has no zone to prefer. */
  readonly callers?: CallerZones;
}

/** Makes a picker for one purpose; called once for each, as pickers have memory. */
export type PickerFactory = (deps: PickerDeps) => Picker;

export const defaultPicker = 'p2c';
const namePattern = /^[a-z][a-z0-9-]{0,63}$/;
const registeredMax = 1_000;

const builtIn: Readonly<Record<string, PickerFactory>> = {
  p2c: ({ random, clock }) => new P2cPicker(random, clock),
  'round-robin': ({ random }) => new RoundRobinPicker(random),
  random: ({ random }) => new RandomPicker(random),
  'least-active': ({ random }) => new LeastActivePicker(random),
  'least-dispatched': ({ random }) => new LeastDispatchedPicker(random),
  'consistent-hash': ({ random }) => new ConsistentHashPicker(random),
  'zone-first': ({ random, clock, callers = { zone: '' } }) =>
    new ZoneFirstPicker(random, callers, () => new P2cPicker(random, clock)),
  specified: () => new SpecifiedPicker(),
  failover: ({ clock }) => new FailoverPicker(clock),
  broadcast: () => new BroadcastPicker(),
};
const factories = new Map<string, PickerFactory>(Object.entries(builtIn));

/**
 * Makes a program's own picker known by a name, in this process. Throws INVALID for a name that isn't lower case
 * letters, digits and hyphens, and ALREADY_EXISTS for one that is taken. `checkPicker` tells whether it keeps the rules.
 */
export function registerPicker(name: string, factory: PickerFactory): void {
  if (!namePattern.test(name)) {
    throw new TaskdError(
      ErrorCode.INVALID,
      `"${name}" is no name for a picker: 1 to 64 lower case letters, digits and hyphens, a letter first`,
    );
  }
  if (factories.has(name)) {
    throw new TaskdError(ErrorCode.ALREADY_EXISTS, `there is a picker "${name}" already; give yours another name`);
  }
  if (factories.size >= registeredMax) {
    throw new TaskdError(ErrorCode.QUOTA, `${registeredMax} pickers are registered: register each name once, at start`);
  }
  factories.set(name, factory);
}

/** All names that `pickerNamed` knows, sorted. */
export function pickerNames(): string[] {
  return [...factories.keys()].sort();
}

/** A new picker of that name. Throws INVALID, with the known names, for one that is unknown. */
export function pickerNamed(name: string, deps: PickerDeps): Picker {
  const factory = factories.get(name);
  if (factory !== undefined) return factory(deps);
  throw new TaskdError(
    ErrorCode.INVALID,
    `there is no picker "${name}"; known are ${pickerNames().join(', ')}. registerPicker makes your own known`,
  );
}
