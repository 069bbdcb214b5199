import { compareVersions, type InstanceClaim } from '../instance.js';
import type { Place, Places } from './place.js';

export const ghostsMax = 200_000;

/**
 * Claims that no log holds any more and that stay in sight for a while: of an owner's former incarnation, or ended for
 * a higher claim that isn't known yet. Where such a claim or a tombstone is known, in sight or not, there is no ghost: it
 * would come back when that claim's log begins anew.
 */
export class Ghosts {
  readonly #places: Places;
  readonly #haunted = new Set<Place>();
  /** Nobody's time is up before this. */
  #nextMs = Number.POSITIVE_INFINITY;

  constructor(places: Places) {
    this.#places = places;
  }

  get size(): number {
    return this.#haunted.size;
  }

  /** Keeps a claim in sight until then, unless as much is known already, or its end. */
  add(place: Place, claim: InstanceClaim, owner: string, untilMs: number, liveMs: number): void {
    const { ghost, tombstone } = place;
    if (untilMs <= liveMs) return;
    if (ghost !== undefined && compareVersions(claim.version, ghost.claim.version) <= 0) return;
    if (tombstone !== undefined && compareVersions(claim.version, tombstone.version) <= 0) return;
    if (place.entries.some((entry) => compareVersions(claim.version, entry.claim.version) <= 0)) return;
    if (ghost === undefined && this.#haunted.size >= ghostsMax) return;
    place.ghost = { claim, owner, untilMs };
    this.#haunted.add(place);
    this.#nextMs = Math.min(this.#nextMs, untilMs);
    this.#places.touch(place);
  }

  /** Lets those go whose time is up. */
  sweep(liveMs: number): void {
    if (liveMs < this.#nextMs) return;
    this.#nextMs = Number.POSITIVE_INFINITY;
    for (const place of this.#haunted) {
      const { ghost } = place;
      if (ghost !== undefined && ghost.untilMs > liveMs) {
        this.#nextMs = Math.min(this.#nextMs, ghost.untilMs);
        continue;
      }
      this.#haunted.delete(place);
      place.ghost = undefined;
      this.#places.touch(place);
    }
  }

  /** Those that this node shows itself: only they are told to others. */
  *shipped(liveMs: number): Iterable<Place> {
    for (const place of this.#haunted) {
      const { ghost, shown } = place;
      if (ghost === undefined || shown === undefined || ghost.untilMs <= liveMs) continue;
      if (compareVersions(shown.claim.version, ghost.claim.version) === 0) yield place;
    }
  }
}
