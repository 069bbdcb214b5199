/**
 * What people say about instances, beside what these say about themselves: out of service, draining, another weight.
 * Pure: a map of which every name server has a copy, merged entry by entry.
 *
 * Of two entries for one instance the later holds: higher `atMs`, then higher node id. So the order in which entries
 * come doesn't matter, and neither does how often. An entry that takes everything back is kept as well, or an old copy
 * would bring back what it ended. When there are too many, those set longest ago go, everywhere the same ones.
 */
import { ErrorCode, TaskdError } from '../base/errors.js';
import { murmur2 } from '../base/murmur2.js';
import { type InstanceKey, instanceKey } from './core/instance-key.js';

export type OverrideMode = 'enabled' | 'draining' | 'disabled';

export interface Override extends InstanceKey {
  readonly mode: OverrideMode;
  /** 0: as registered. */
  readonly weight: number;
  /** Wall clock of the name server that took it, or later. */
  readonly atMs: number;
  readonly nodeId: string;
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
    const entry: Override = {
      namespace,
      group,
      service,
      instanceId,
      mode: change.mode ?? before?.mode ?? 'enabled',
      weight: change.weight ?? before?.weight ?? 0,
      // Also when that one came from a node whose clock is ahead.
      atMs: Math.max(wallMs, (before?.atMs ?? 0) + 1),
      nodeId,
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

  /** Takes an entry in, of whichever name server. False: an entry that is as late or later is here already. */
  put(entry: Override): boolean {
    const key = instanceKey(entry);
    const before = this.#entries.get(key);
    if (before !== undefined && compare(entry, before) <= 0) return false;
    if (before !== undefined) this.#count(before, -1);
    this.#entries.set(key, entry);
    this.#count(entry, 1);
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
    const text = `${instanceKey(entry)}\n${entry.mode}\n${entry.weight}\n${entry.atMs}\n${entry.nodeId}`;
    this.#low = (this.#low + by * murmur2(Buffer.from(text))) >>> 0;
    this.#high = (this.#high + by * murmur2(Buffer.from(`high\n${text}`))) >>> 0;
  }
}

function isNothing({ mode, weight }: Override): boolean {
  return mode === 'enabled' && weight === 0;
}

/** The order of setting; total, so that all copies agree also when a node lost its clock and its disk. */
function compare(a: Override, b: Override): number {
  return (
    a.atMs - b.atMs ||
    compareText(a.nodeId, b.nodeId) ||
    compareText(a.mode, b.mode) ||
    a.weight - b.weight ||
    comparePlaces(a, b)
  );
}

function comparePlaces(a: Override, b: Override): number {
  return compareText(instanceKey(a), instanceKey(b));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
