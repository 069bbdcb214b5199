import { ErrorCode, Retry, TaskdError } from '../../base/errors.js';
import { compareVersions, formatVersion, type InstanceClaim, type InstanceVersion } from '../instance.js';
import { type InstanceKey, instanceKey } from './instance-key.js';
import type { LiveTime } from './live-time.js';
import { instancesMax, type LogTable } from './log-table.js';
import { hiderWaitMs } from './merged-view.js';
import type { Change } from './owner-log.js';
import type { Place, Places } from './place.js';
import { type Session, Sessions, sessionInstancesMax } from './sessions.js';
import type { SupersededClaim } from './view-state.js';

/** The instances whose sessions this node holds: the one writer of its own log. */
export class OwnInstances {
  readonly #time: LiveTime;
  readonly #places: Places;
  readonly #logs: LogTable;
  readonly #sessions = new Sessions();
  /** Claims that something of another process hides, and when their sessions were told. */
  readonly #told = new Map<Place, number>();

  constructor(time: LiveTime, places: Places, logs: LogTable) {
    this.#time = time;
    this.#places = places;
    this.#logs = logs;
  }

  /** Sessions that hold an instance, or are to be told that they lost one. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** Places that have to be defended again as time passes. */
  get told(): Iterable<Place> {
    return this.#told.keys();
  }

  /** See `RegistryCore.register`. */
  register(sessionId: number, claim: InstanceClaim): void {
    const session = this.#sessions.get(sessionId);
    const found = this.#places.find(claim);
    const isHeld = session !== undefined && found?.session === session;
    if (isHeld && compareVersions(claim.version, found.entryOf(this.#logs.own)!.claim.version) === 0) {
      this.#hear(session);
      return;
    }
    if (!isHeld) this.#checkQuota(session, found === undefined || found.entries.length === 0);
    const seen = found?.seen();
    if (seen !== undefined && compareVersions(claim.version, seen) <= 0) throw supersededError(claim, seen);
    const holder = session ?? this.#sessions.open(sessionId, this.#time.nowMs);
    this.#hear(holder);
    const before = found?.session;
    if (before !== undefined && before !== holder) before.supersede(lost(claim, claim.version));
    this.#change({ kind: 'put', claim, health: 'up' });
    const place = this.#places.find(claim)!;
    this.#sessions.hold(holder, place);
    holder.superseded.delete(instanceKey(claim));
    this.#told.delete(place);
    if (before !== undefined) this.#sessions.removeIfIdle(before);
  }

  /** See `RegistryCore.deregister`. */
  deregister(sessionId: number, key: InstanceKey, version: InstanceVersion): boolean {
    const session = this.#sessions.get(sessionId);
    session?.superseded.delete(instanceKey(key));
    const place = this.#places.find(key);
    const claimed = place?.claimed();
    if (claimed !== undefined && compareVersions(version, claimed) < 0) return false;
    const ended = place?.tombstone?.version;
    if (claimed === undefined && ended !== undefined && compareVersions(version, ended) <= 0) return false;
    const { namespace, group, service, instanceId } = key;
    this.#end({ namespace, group, service, instanceId }, version, undefined);
    return place?.shown !== undefined;
  }

  heard(sessionId: number): void {
    const session = this.#sessions.get(sessionId);
    if (session !== undefined) this.#hear(session);
  }

  /** What the session is to be told, and how many instances it holds. */
  beat(sessionId: number): { superseded: readonly SupersededClaim[]; held: number } {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return { superseded: [], held: 0 };
    this.#hear(session);
    return { superseded: [...session.superseded.values()], held: session.places.size };
  }

  closed(sessionId: number): void {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return;
    session.isOpen = false;
    session.superseded.clear();
    this.#lose(session);
    this.#sessions.removeIfIdle(session);
  }

  /** Suspicion, marks, removal. Sessions whose connections are to be closed, so that their clients register anew. */
  sweep(): Session[] {
    const { nowMs, resumedMs } = this.#time;
    for (const session of this.#sessions.silent(nowMs)) this.#lose(session);
    const ended = this.#sessions.expired(nowMs, resumedMs);
    for (const session of ended) {
      for (const place of [...session.places]) {
        this.#end(place, place.entryOf(this.#logs.own)!.claim.version, undefined);
      }
      this.#sessions.remove(session);
    }
    return ended.filter(({ isOpen }) => isOpen);
  }

  /** Ends our claim when a higher one or a tombstone is known; its session is told. */
  defend(place: Place): void {
    const { session, tombstone } = place;
    const own = place.entryOf(this.#logs.own);
    if (session === undefined || own === undefined) return;
    const { version } = own.claim;
    const claimed = place.claimed()!;
    const isEnded = tombstone !== undefined && compareVersions(tombstone.version, claimed) >= 0;
    const best = place.best()!;
    const order = compareVersions(claimed, version);
    if (!isEnded && (order < 0 || (order === 0 && best === own))) {
      this.#told.delete(place);
      return;
    }
    // Of two claims of one version the other one won: only a version above it helps.
    const tie = { incarnation: version.incarnation, counter: version.counter + 1 };
    const by = isEnded ? tombstone.version : order === 0 ? tie : claimed;
    session.supersede(lost(place, by));
    const isSeen = !isEnded && (best.claim.version !== claimed || !best.log.hides(best));
    // What shows nothing in its place, and is of another process, leaves the session a while to register above it.
    if (!isSeen && by.incarnation !== version.incarnation && this.#mayAnswer(place)) return;
    this.#end(place, version, isEnded ? undefined : by);
  }

  /** The session was told not long ago, or just now. */
  #mayAnswer(place: Place): boolean {
    const toldMs = this.#told.get(place);
    if (toldMs === undefined) this.#told.set(place, this.#time.nowMs);
    return toldMs === undefined || this.#time.nowMs - toldMs < hiderWaitMs;
  }

  #end(key: InstanceKey, version: InstanceVersion, movedBy: InstanceVersion | undefined): void {
    const place = this.#places.find(key);
    if (place !== undefined) {
      const { session } = place;
      this.#sessions.release(place);
      this.#told.delete(place);
      if (session !== undefined) this.#sessions.removeIfIdle(session);
    }
    const { namespace, group, service, instanceId } = key;
    this.#change({ kind: 'end', key: { namespace, group, service, instanceId }, version, movedBy });
  }

  #hear(session: Session): void {
    if (this.#sessions.hear(session, this.#time.nowMs)) this.#say(session, 'up');
  }

  #lose(session: Session): void {
    if (this.#sessions.lose(session, this.#time.nowMs)) this.#say(session, 'suspect');
  }

  #say(session: Session, health: 'up' | 'suspect'): void {
    for (const place of session.places) {
      this.#change({ kind: 'put', claim: place.entryOf(this.#logs.own)!.claim, health });
    }
  }

  #change(change: Change): void {
    this.#logs.apply(this.#logs.own, change, this.#time.nowMs);
  }

  #checkQuota(session: Session | undefined, isNew: boolean): void {
    if (session !== undefined && session.places.size >= sessionInstancesMax) {
      throw new TaskdError(
        ErrorCode.QUOTA,
        `one connection registers at most ${sessionInstancesMax} instances; register the others over another one`,
      );
    }
    if (isNew && this.#logs.entries >= instancesMax) {
      throw new TaskdError(
        ErrorCode.QUOTA,
        `this name server holds its limit of ${instancesMax} instances; deregister some or run another cluster`,
        { retry: Retry.AFTER, retryAfterMs: 10_000 },
      );
    }
  }
}

function lost({ namespace, group, service, instanceId }: InstanceKey, seen: InstanceVersion): SupersededClaim {
  return { namespace, group, service, instanceId, seen };
}

function supersededError(claim: InstanceClaim, seen: InstanceVersion): TaskdError {
  return new TaskdError(
    ErrorCode.SUPERSEDED,
    `instance ${claim.instanceId} of ${claim.service} is registered with version ${formatVersion(seen)}, not below ` +
      `${formatVersion(claim.version)}; register above it, or give this process another id`,
    { hint: formatVersion(seen) },
  );
}
