import { compareVersions, type InstanceVersion } from '../instance.js';
import type { OwnerLog } from './owner-log.js';
import type { Place, Places } from './place.js';
import type { OwnerPosition } from './view-state.js';

/** A tombstone lives for so long at least. */
export const tombstoneMs = 60_000;
/** And for so long at most, whoever hasn't been heard of. */
export const tombstoneMsMax: number = 24 * 60 * 60_000;
export const tombstonesMax = 100_000;

/**
 * What was ended, and up to which version. A tombstone goes only when every owner's log has been caught up to a digest
 * that was made after it and no log holds a lower claim, and everyone has the log that said it as far as there: until
 * then such a claim may still come from somewhere, or be shown by somebody who passes it on.
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

  /** Notes that claims up to `version` ended, said by `log` or by nobody in particular, and first at `origin`. */
  bury(
    place: Place,
    version: InstanceVersion,
    log: OwnerLog | undefined,
    origin: OwnerPosition | undefined,
    liveMs: number,
  ): void {
    const before = place.tombstone;
    if (before !== undefined && compareVersions(before.version, version) >= 0) return;
    place.tombstone = { version, atMs: liveMs, origin, log };
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

  /**
   * Drops what isn't needed any more. `caughtMs`: every owner was caught up with, and everyone said what it has, after
   * this time; `least`: what everyone has of each log.
   */
  sweep(liveMs: number, caughtMs: number, least: ReadonlyMap<string, OwnerPosition>): void {
    for (const place of this.#buried) {
      const { atMs, version, origin } = place.tombstone!;
      const isOld = liveMs - atMs >= tombstoneMsMax;
      if (!isOld && (liveMs - atMs < tombstoneMs || caughtMs <= atMs)) return;
      const isNeeded =
        place.entries.some(({ claim }) => compareVersions(claim.version, version) <= 0) ||
        (origin !== undefined && !hasReached(least.get(origin.owner), origin));
      if (isOld || !isNeeded) this.#drop(place);
    }
  }

  /**
   * Those that a snapshot of this log takes along: its own, nobody's, and those that hide an entry of it. All, when no log
   * is given.
   */
  *shipped(log?: OwnerLog): Iterable<Place> {
    for (const place of this.#buried) {
      const owner = place.tombstone!.log;
      if (log === undefined || owner === undefined || owner === log || log.entries.has(place)) yield place;
    }
  }

  #drop(place: Place): void {
    this.#buried.delete(place);
    place.tombstone = undefined;
    this.#places.touch(place);
  }
}

/** Unknown logs have nothing that could be missed. */
function hasReached(has: OwnerPosition | undefined, { incarnation, sequence }: OwnerPosition): boolean {
  if (has === undefined) return true;
  return has.incarnation > incarnation || (has.incarnation === incarnation && has.sequence >= sequence);
}
