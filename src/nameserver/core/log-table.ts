import { compareVersions, type Health, type InstanceClaim, type InstanceVersion } from '../instance.js';
import type { Ghosts } from './ghosts.js';
import type { InstanceKey } from './instance-key.js';
import { type Change, OwnerLog } from './owner-log.js';
import type { Places } from './place.js';
import { removalMs } from './sessions.js';
import type { Tombstones } from './tombstones.js';
import type { OwnerPosition } from './view-state.js';

/** Instances that one name server holds in all: one more is QUOTA. */
export const instancesMax = 200_000;
/** Entries in the logs of all owners: what others say beyond this isn't taken, so that they stay ahead of us. */
const entriesMax: number = 2 * instancesMax;
/** Owners whose logs are kept, this node included. */
export const ownersMax = 32;

/** A tombstone as others tell it. */
export interface EndTold {
  readonly key: InstanceKey;
  readonly version: InstanceVersion;
  readonly origin: OwnerPosition | undefined;
}

/** The state of a log at one sequence, complete. */
export interface LogState {
  readonly incarnation: number;
  readonly sequence: number;
  readonly claims: readonly { readonly claim: InstanceClaim; readonly health: Health }[];
  readonly tombstones: readonly EndTold[];
}

/** The logs of all owners. Whatever changes a log goes through here, and touches the places that it concerns. */
export class LogTable {
  readonly own: OwnerLog;
  readonly #logs = new Map<string, OwnerLog>();
  readonly #places: Places;
  readonly #tombstones: Tombstones;
  readonly #ghosts: Ghosts;
  #entries = 0;

  constructor(self: string, places: Places, tombstones: Tombstones, ghosts: Ghosts) {
    this.own = new OwnerLog(self);
    this.#logs.set(self, this.own);
    this.#places = places;
    this.#tombstones = tombstones;
    this.#ghosts = ghosts;
  }

  /** Entries in all logs. */
  get entries(): number {
    return this.#entries;
  }

  get(owner: string): OwnerLog | undefined {
    return this.#logs.get(owner);
  }

  all(): Iterable<OwnerLog> {
    return this.#logs.values();
  }

  /**
   * True when all that was seen of an owner's log is known here, or can't matter: what is hidden counts, and so does an
   * incarnation that was not known as far once its clients had the time to register elsewhere.
   */
  covers({ owner, incarnation, sequence }: OwnerPosition, liveMs: number): boolean {
    const log = this.#logs.get(owner);
    if (log === undefined) return incarnation === 0;
    if (log.isHidden || log.incarnation <= incarnation) return log.isHidden || log.covers(incarnation, sequence);
    const { former } = log;
    if (former === undefined || liveMs - former.endedMs >= removalMs) return true;
    return former.incarnation === incarnation && former.sequence >= sequence;
  }

  /** One owner more can be admitted. */
  get hasRoom(): boolean {
    return this.#logs.size < ownersMax;
  }

  /** The log of an owner, empty when it is new; undefined when there are too many owners. */
  admit(owner: string): OwnerLog | undefined {
    let log = this.#logs.get(owner);
    if (log === undefined && this.hasRoom) this.#logs.set(owner, (log = new OwnerLog(owner)));
    return log;
  }

  /** Forgets an owner with all that it held. */
  forget(owner: string): void {
    const log = this.#logs.get(owner);
    if (log === undefined || log === this.own) return;
    this.#entries -= log.entries.size;
    for (const place of log.entries.keys()) this.#places.touch(place);
    log.restart(0, 0);
    this.#tombstones.keep(log);
    this.#logs.delete(owner);
  }

  /** Applies the next change of a log; false when there is no room for it. */
  apply(log: OwnerLog, change: Change, liveMs: number): boolean {
    const size = log.entries.size;
    if (change.kind === 'put') {
      if (this.#entries >= entriesMax && log !== this.own) return false;
      log.append(change);
      const place = this.#places.at(change.claim);
      log.set(place, change.claim, change.health, log.sequence, liveMs);
      this.#places.touch(place);
    } else {
      log.append(change);
      this.#end(log, change.key, change.version, change.movedBy !== undefined, liveMs);
    }
    this.#entries += log.entries.size - size;
    return true;
  }

  /** The log begins a new incarnation, empty: what it held stays in sight for a while. */
  restart(log: OwnerLog, incarnation: number, liveMs: number): void {
    this.#tombstones.keep(log);
    this.#entries -= log.entries.size;
    const entries = [...log.entries.values()];
    log.end(liveMs);
    log.restart(incarnation, 0);
    log.hiddenSequence = -1;
    for (const { place, claim } of entries) {
      if (!log.isHidden) this.#ghosts.add(place, claim, log.owner, liveMs + removalMs, liveMs);
      this.#places.touch(place);
    }
  }

  /** Takes a whole state; false when it is no news, or when there is no room for it. */
  install(log: OwnerLog, state: LogState, liveMs: number): boolean {
    const { incarnation, sequence, claims, tombstones } = state;
    if (incarnation < log.incarnation || (incarnation === log.incarnation && sequence < log.sequence)) return false;
    if (this.#entries - log.entries.size + claims.length > entriesMax) return false;
    if (incarnation > log.incarnation) this.restart(log, incarnation, liveMs);
    this.#entries -= log.entries.size;
    for (const place of log.entries.keys()) this.#places.touch(place);
    log.restart(incarnation, sequence);
    for (const { claim, health } of claims) {
      const place = this.#places.at(claim);
      log.set(place, claim, health, sequence, liveMs);
      this.#places.touch(place);
    }
    this.#entries += log.entries.size;
    for (const { key, version, origin } of tombstones) {
      const isItsOwn = origin === undefined || origin.owner === log.owner;
      this.#tombstones.bury(this.#places.at(key), version, isItsOwn ? log : undefined, origin, liveMs);
    }
    return true;
  }

  #end(log: OwnerLog, key: InstanceKey, version: InstanceVersion, isMoved: boolean, liveMs: number): void {
    const place = isMoved ? this.#places.find(key) : this.#places.at(key);
    if (place === undefined) return;
    this.#places.touch(place);
    const entry = log.entries.get(place);
    if (entry !== undefined && compareVersions(entry.claim.version, version) <= 0) {
      log.delete(place);
      if (isMoved && !log.isHidden) {
        this.#ghosts.add(place, entry.claim, log.owner, liveMs + removalMs, liveMs);
      }
    }
    if (isMoved) return;
    const { owner, incarnation, sequence } = log;
    this.#tombstones.bury(place, version, log, { owner, incarnation, sequence }, liveMs);
  }
}
