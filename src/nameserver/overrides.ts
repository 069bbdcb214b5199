/**
 * What people say about instances, beside what these say about themselves: out of service, draining, another weight.
 * Pure: a map of which every name server has a copy, merged entry by entry.
 *
 * Mode and weight are decided each on its own: of two words the later holds (higher time, then higher node id). So the
 * order in which entries come doesn't matter, nor how often they do, and a new weight set on one side of a cut doesn't
 * end what was said on the other. An entry that takes everything back is kept as well, or an old copy would bring back
 * what it ended. When there are too many, those touched longest ago go.
 */
import { ErrorCode, TaskdError } from '../base/errors.js';
import { murmur2 } from '../base/murmur2.js';
import { type InstanceKey, instanceKey } from './core/instance-key.js';

export type OverrideMode = 'enabled' | 'draining' | 'disabled';

/** When something was said: the wall clock of the name server that took it, or later; 0 and '': never. */
export interface Stamp {
  readonly atMs: number;
  readonly nodeId: string;
}

export interface Override extends InstanceKey {
  readonly mode: OverrideMode;
  readonly modeSet: Stamp;
  /** 0: as registered. */
  readonly weight: number;
  readonly weightSet: Stamp;
}

/** Absent: as it is. */
export interface OverrideChange {
  readonly mode?: OverrideMode;
  readonly weight?: number;
}

/** Two sums over all entries, which don't depend on their order. */
export type OverridesHash = readonly [number, number];

/** Overrides in force at once. */
export const overridesMax = 10_000;
/** Entries in all, those that took something back included. */
export const overrideEntriesMax: number = 2 * overridesMax;

export class Overrides {
  readonly #entries = new Map<string, Override>();
  #inForce = 0;
  #low = 0;
  #high = 0;

  /** Another one with the same entries. */
  copy(): Overrides {
    const copy = new Overrides();
    for (const [key, entry] of this.#entries) copy.#entries.set(key, entry);
    copy.#inForce = this.#inForce;
    copy.#low = this.#low;
    copy.#high = this.#high;
    return copy;
  }

  /** Overrides in force. */
  get size(): number {
    return this.#inForce;
  }

  /** Equal hashes say that two copies are the same. */
  get hash(): OverridesHash {
    return [this.#low, this.#high];
  }

  /** What holds for an instance; undefined when nobody says anything. */
  find(target: InstanceKey): Override | undefined {
    const entry = this.#entries.get(instanceKey(target));
    return entry === undefined || isNothing(entry) ? undefined : entry;
  }

  /**
   * The entry that `change` makes of what holds now, later than it: not put in yet, `put` does that. QUOTA when
   * too many are in force.
   */
  changed(target: InstanceKey, change: OverrideChange, nodeId: string, wallMs: number): Override {
    const before = this.#entries.get(instanceKey(target));
    const { namespace, group, service, instanceId } = target;
    const { mode, modeSet, weight, weightSet } = before ?? unsaid;
    // Also when what holds came from a node whose clock is ahead.
    const later = ({ atMs }: Stamp): Stamp => ({ atMs: Math.max(wallMs, atMs + 1), nodeId });
    const entry: Override = {
      namespace,
      group,
      service,
      instanceId,
      mode: change.mode ?? mode,
      modeSet: change.mode === undefined ? modeSet : later(modeSet),
      weight: change.weight ?? weight,
      weightSet: change.weight === undefined ? weightSet : later(weightSet),
    };
    const isNew = before === undefined || isNothing(before);
    if (isNew && !isNothing(entry) && this.#inForce >= overridesMax) {
      throw new TaskdError(
        ErrorCode.QUOTA,
        `${overridesMax} overrides are in force, which is the limit; enable instances that need none any more, ` +
          'as registry.overrides lists them',
      );
    }
    return entry;
  }

  /** Takes an entry in, of whichever name server. False: it says nothing that is later than what is here. */
  put(entry: Override): boolean {
    const key = instanceKey(entry);
    const before = this.#entries.get(key);
    const isMode = before === undefined || compareMode(entry, before) > 0;
    const isWeight = before === undefined || compareWeight(entry, before) > 0;
    if (!isMode && !isWeight) return false;
    if (before !== undefined) this.#count(before, -1);
    const { mode, modeSet } = isMode ? entry : before;
    const { weight, weightSet } = isWeight ? entry : before;
    const merged = { ...entry, mode, modeSet, weight, weightSet };
    this.#entries.set(key, merged);
    this.#count(merged, 1);
    return true;
  }

  /** Drops the earliest of too many entries; returns those that were in force. To be called after `put`s. */
  trim(): readonly Override[] {
    const excess = this.#entries.size - overrideEntriesMax;
    if (excess <= 0) return [];
    const dropped = [...this.#entries.values()].sort(compare).slice(0, excess);
    for (const entry of dropped) {
      this.#entries.delete(instanceKey(entry));
      this.#count(entry, -1);
    }
    return dropped.filter((entry) => !isNothing(entry));
  }

  /** All entries, those that took something back included, in no order. */
  all(): IterableIterator<Override> {
    return this.#entries.values();
  }

  /** Those in force, in the order of namespace, group, service and instance id. */
  inForce(): Override[] {
    return [...this.#entries.values()].filter((entry) => !isNothing(entry)).sort(comparePlaces);
  }

  #count(entry: Override, by: 1 | -1): void {
    if (!isNothing(entry)) this.#inForce += by;
    const { mode, modeSet, weight, weightSet } = entry;
    const sets = `${modeSet.atMs}\n${modeSet.nodeId}\n${weightSet.atMs}\n${weightSet.nodeId}`;
    const text = `${instanceKey(entry)}\n${mode}\n${weight}\n${sets}`;
    this.#low = (this.#low + by * murmur2(Buffer.from(text))) >>> 0;
    this.#high = (this.#high + by * murmur2(Buffer.from(`high\n${text}`))) >>> 0;
  }
}

function isNothing({ mode, weight }: Override): boolean {
  return mode === 'enabled' && weight === 0;
}

/** When anything was last said of it. */
export function lastSet({ modeSet, weightSet }: Override): Stamp {
  return compareStamps(modeSet, weightSet) >= 0 ? modeSet : weightSet;
}

const unsaid = {
  mode: 'enabled',
  modeSet: { atMs: 0, nodeId: '' },
  weight: 0,
  weightSet: { atMs: 0, nodeId: '' },
} as const;

function compareStamps(a: Stamp, b: Stamp): number {
  return a.atMs - b.atMs || compareText(a.nodeId, b.nodeId);
}

/** Ends with what was said, so that all copies agree also when a node lost its clock and its disk. */
function compareMode(a: Override, b: Override): number {
  return compareStamps(a.modeSet, b.modeSet) || compareText(a.mode, b.mode);
}

function compareWeight(a: Override, b: Override): number {
  return compareStamps(a.weightSet, b.weightSet) || a.weight - b.weight;
}

function compare(a: Override, b: Override): number {
  return compareStamps(lastSet(a), lastSet(b)) || comparePlaces(a, b);
}

function comparePlaces(a: Override, b: Override): number {
  return compareText(instanceKey(a), instanceKey(b));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
