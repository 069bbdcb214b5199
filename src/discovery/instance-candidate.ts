import type { Instance } from './instance.js';
import type { Candidate } from './picker.js';

/** A registered instance to choose. */
export interface InstanceCandidate extends Candidate {
  readonly instance: Instance;
}

const known = new WeakMap<readonly Instance[], readonly InstanceCandidate[]>();

/** The instances of one service as candidates. The same list gives the same candidates, as pickers like it. */
export function candidatesOf(instances: readonly Instance[]): readonly InstanceCandidate[] {
  let candidates = known.get(instances);
  if (candidates === undefined) {
    candidates = instances.map(candidateOf);
    known.set(instances, candidates);
  }
  return candidates;
}

function candidateOf(instance: Instance): InstanceCandidate {
  const { instanceId, weight, zone, incarnation, health } = instance;
  return {
    id: instanceId,
    weight,
    zone,
    incarnation,
    isSuspect: health === 'suspect',
    isDisabled: health === 'draining' || health === 'disabled',
    instance,
  };
}
