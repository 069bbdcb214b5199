import { compareVersions, type Health, type InstanceClaim, type InstanceVersion } from '../instance.js';
import type { Owners } from './owners.js';
import type { LogEntry, Place, Service, Shown } from './place.js';

/**
 * A tombstone, or a hidden owner's claim, of another process hides a claim whose owner lives only after so long: its
 * client hears of it at its next beat and registers above it.
 */
export const hiderWaitMs = 5_000;
/** An owner heard within this time lives. */
const livesMs = 2_000;

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
    let entry = isGhost ? undefined : best;
    let stays: LogEntry | undefined;
    if (isEnded) stays = this.#staying(place, tombstone.version, tombstone.atMs, liveMs);
    else if (entry?.log.hides(entry) === true) stays = this.#staying(place, entry.claim.version, entry.atMs, liveMs);
    const isHidden = isEnded || entry?.log.hides(entry) === true;
    toggle(this.waiting, place, stays !== undefined);
    toggle(this.contested, place, isEnded && entry !== undefined && entry.log.owner !== this.#self);
    if (isHidden) entry = stays;
    if (entry !== undefined)
      this.#show(place, entry.claim, entry.log.isSuspect ? 'suspect' : entry.health, entry.log.owner);
    else if (isGhost && !isEnded) this.#show(place, ghost.claim, 'suspect', ghost.owner);
    else this.#show(place, undefined, 'up', '');
  }

  /** The claim in view, if it stays for a moment although something of another process, learnt just now, hides it. */
  #staying(place: Place, by: InstanceVersion, atMs: number, liveMs: number): LogEntry | undefined {
    const shown = place.shown?.claim.version;
    if (shown === undefined || liveMs - atMs >= hiderWaitMs) return undefined;
    return place.entries.find(
      ({ claim, health, log }) =>
        compareVersions(claim.version, shown) === 0 &&
        claim.version.incarnation !== by.incarnation &&
        health === 'up' &&
        (log.owner === this.#self || this.#owners.isHeard(log.owner, livesMs, liveMs)),
    );
  }

  #show(place: Place, claim: InstanceClaim | undefined, health: Health, owner: string): void {
    const before: Shown | undefined = place.shown;
    if (claim === undefined) {
      if (before === undefined) return;
      this.#count(place.of, before, -1);
      place.shown = undefined;
    } else {
      // Of one version there is one claim, however often it was read.
      const isSame =
        before !== undefined && before.health === health && compareVersions(before.claim.version, claim.version) === 0;
      if (isSame && before.claim === claim && before.owner === owner) return;
      if (before !== undefined) this.#count(place.of, before, -1);
      place.shown = { claim, health, owner };
      this.#count(place.of, place.shown, 1);
      if (isSame) return;
    }
    this.#changed(place);
  }

  #count(service: Service, shown: Shown, sign: 1 | -1): void {
    this.#shown += sign;
    service.shown += sign;
    if (shown.health === 'up') service.healthy += sign;
    this.moved.add(service);
  }
}

function toggle(set: Set<Place>, place: Place, isIn: boolean): void {
  if (isIn) set.add(place);
  else if (set.size > 0) set.delete(place);
}
