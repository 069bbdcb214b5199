import { compareVersions, type InstanceVersion } from '../instance.js';
import type { Owners } from './owners.js';
import type { LogEntry, Place, Service, Shown } from './place.js';

/**
 * A tombstone, or a hidden owner's claim, of another process hides a claim whose owner lives only after so long: its
 * client hears of it at its next beat and registers above it.
 */
export const hiderWaitMs = 5_000;
/** An owner heard within this time is heard. */
const heardMs = 2_000;

/**
 * The merge of all logs, place by place: the claim with the highest (version, owner id) wins, a tombstone hides what it
 * ends, and what a hidden owner said before is not shown. Nothing is ever rebuilt: a place is looked at again when
 * something about it changed.
 */
export class MergedView {
  readonly #self: string;
  readonly #owners: Owners;
  readonly #changed: (place: Place) => void;
  /** Places to be looked at again as time passes. */
  readonly waiting: Set<Place> = new Set();
  /** Places where a tombstone hides a claim in another owner's log, who should know of it. */
  readonly contested: Set<Place> = new Set();
  /** Services whose numbers changed since they were last looked at. */
  readonly moved: Set<Service> = new Set();
  #shown = 0;

  /** `changed` is called for each place that looks different. */
  constructor(self: string, owners: Owners, changed: (place: Place) => void) {
    this.#self = self;
    this.#owners = owners;
    this.#changed = changed;
  }

  /** Instances shown. */
  get size(): number {
    return this.#shown;
  }

  /** Looks at a place again. */
  look(place: Place, liveMs: number): void {
    const best = place.best();
    if (best !== undefined && place.ghost !== undefined) {
      if (compareVersions(place.ghost.claim.version, best.claim.version) <= 0) place.ghost = undefined;
    }
    const { ghost, tombstone } = place;
    const isGhost = ghost !== undefined;
    const claim = isGhost ? ghost.claim : best?.claim;
    const isEnded =
      claim !== undefined && tombstone !== undefined && compareVersions(tombstone.version, claim.version) >= 0;
    const entry = isGhost ? undefined : best;
    const isHidden = entry?.log.hides(entry) === true;
    let stays: Shown | undefined;
    if (isEnded) stays = this.#staying(place, tombstone.version, tombstone.atMs, liveMs);
    else if (isHidden) stays = this.#staying(place, best!.claim.version, best!.atMs, liveMs);
    toggle(this.waiting, place, stays !== undefined);
    toggle(this.contested, place, isEnded && entry !== undefined && entry.log.owner !== this.#self);
    if (isEnded || isHidden) this.#show(place, stays);
    else if (isGhost) this.#show(place, { claim: ghost.claim, health: 'suspect', owner: ghost.owner });
    else this.#show(place, entry && shownOf(entry));
  }

  /**
   * What stays in sight for a moment although something of another process, learnt just now, hides all claims: what was
   * in sight, if its owner lives, or else a claim that is up at an owner that is heard.
   */
  #staying(place: Place, by: InstanceVersion, atMs: number, liveMs: number): Shown | undefined {
    if (liveMs - atMs >= hiderWaitMs) return undefined;
    const { shown } = place;
    if (shown !== undefined && shown.claim.version.incarnation !== by.incarnation && this.#lives(shown.owner))
      return shown;
    const entry = place.entries.find(
      ({ claim, health, log }) =>
        claim.version.incarnation !== by.incarnation &&
        health === 'up' &&
        (log.owner === this.#self || (!log.isHidden && this.#owners.isHeard(log.owner, heardMs, liveMs))),
    );
    return entry && shownOf(entry);
  }

  #lives(owner: string): boolean {
    if (owner === this.#self) return true;
    const found = this.#owners.get(owner);
    return found !== undefined && this.#owners.isAlive(found);
  }

  #show(place: Place, shown: Shown | undefined): void {
    const before = place.shown;
    if (before === shown) return;
    // Of one version an owner has one claim, however often it was read.
    const isSame =
      before !== undefined &&
      shown !== undefined &&
      before.health === shown.health &&
      before.owner === shown.owner &&
      compareVersions(before.claim.version, shown.claim.version) === 0;
    if (before !== undefined) this.#count(place.of, before, -1);
    place.shown = shown;
    if (shown !== undefined) this.#count(place.of, shown, 1);
    if (!isSame) this.#changed(place);
  }

  #count(service: Service, shown: Shown, sign: 1 | -1): void {
    this.#shown += sign;
    service.shown += sign;
    if (shown.health === 'up') service.healthy += sign;
    this.moved.add(service);
  }
}

function shownOf({ claim, health, log }: LogEntry): Shown {
  return { claim, health: log.isSuspect ? 'suspect' : health, owner: log.owner };
}

function toggle(set: Set<Place>, place: Place, isIn: boolean): void {
  if (isIn) set.add(place);
  else if (set.size > 0) set.delete(place);
}
