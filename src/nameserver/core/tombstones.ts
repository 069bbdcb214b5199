import { compareVersions, type InstanceVersion } from '../instance.js';
import type { OwnerLog } from './owner-log.js';
import type { Place, Places } from './place.js';

/** A tombstone lives for so long at least. */
export const tombstoneMs = 60_000;
/** And for so long at most, whoever hasn't been heard of. */
export const tombstoneMsMax: number = 24 * 60 * 60_000;
export const tombstonesMax = 100_000;

/**
 * What was ended, and up to which version. A tombstone goes only when every owner's log has been caught up to a digest
 * that was made after it and no log holds a lower claim: until then such a claim may still come from somewhere.
 */
export class Tombstones {
  readonly #places: Places;
  /** In the order in which they were learnt. */
  readonly #buried = new Set<Place>();
  /** Those that went for want of room. */
  dropped = 0;

  constructor(places: Places) {
    this.#places = places;
  }

  get size(): number {
    return this.#buried.size;
  }

  /** Notes that claims up to `version` ended, said by `log` or by nobody in particular. */
  bury(place: Place, version: InstanceVersion, log: OwnerLog | undefined, liveMs: number): void {
    const before = place.tombstone;
    if (before !== undefined && compareVersions(before.version, version) >= 0) return;
    place.tombstone = { version, atMs: liveMs, log };
    if (place.ghost !== undefined && compareVersions(place.ghost.claim.version, version) <= 0) place.ghost = undefined;
    this.#buried.delete(place);
    this.#buried.add(place);
    this.#places.touch(place);
    if (this.#buried.size <= tombstonesMax) return;
    this.#drop(this.#buried.values().next().value!);
    this.dropped++;
  }

  /** The log begins anew: its tombstones stay, nobody's from now on. */
  keep(log: OwnerLog): void {
    for (const { tombstone } of this.#buried) if (tombstone?.log === log) tombstone.log = undefined;
  }

  /** Drops what isn't needed any more. `caughtMs`: a digest made after this time was caught up with, of every owner. */
  sweep(liveMs: number, caughtMs: number): void {
    for (const place of this.#buried) {
      const { atMs, version } = place.tombstone!;
      const isOld = liveMs - atMs >= tombstoneMsMax;
      if (!isOld && (liveMs - atMs < tombstoneMs || caughtMs <= atMs)) return;
      const isNeeded = place.entries.some(({ claim }) => compareVersions(claim.version, version) <= 0);
      if (isOld || !isNeeded) this.#drop(place);
    }
  }

  /** Those that a snapshot of this log takes along: its own and nobody's. All, when no log is given. */
  *shipped(log?: OwnerLog): Iterable<Place> {
    for (const place of this.#buried) {
      const owner = place.tombstone!.log;
      if (log === undefined || owner === undefined || owner === log) yield place;
    }
  }

  #drop(place: Place): void {
    this.#buried.delete(place);
    place.tombstone = undefined;
    this.#places.touch(place);
  }
}
