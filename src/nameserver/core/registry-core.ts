/**
 * The registry of one name server, pure: claims, sessions and time in, changes out. Time is monotonic milliseconds.
 *
 * A *session* is one client connection; the instances that it registered live with it.
 *
 *   instance:  (none) ──register──▶ UP ◀──any frame── SUSPECT ──15 s after the last frame──▶ removed
 *                                   └──9 s of silence, or the connection closed──▶ SUSPECT
 *              any state ──register with a higher version──▶ UP, in the session that registered it
 *              any state ──deregister──▶ removed
 *
 * The highest version of an instance wins; the session that held a lower one is told SUPERSEDED. A deregistration
 * leaves a tombstone for a minute, so that a register that comes late doesn't bring the instance back.
 *
 * *Lateness*: `tick` is called every `tickMs`. Time in which no input came for longer than that is time in which this
 * process stood still, not its clients, and doesn't count: ages are measured in *live time*, from which such stretches
 * are left out. Removal has two phases: a session is marked a beat before its time, and only removed when at least a
 * beat of live time went by without a frame, after the mark and after the last such stretch: what came meanwhile may
 * still wait to be read.
 *
 * Every change has a number in the log of this owner: (node, incarnation, sequence). That is the revision.
 */
import { ErrorCode, Retry, TaskdError } from '../../base/errors.js';
import type { Random } from '../../runtime/random.js';
import { compareVersions, formatVersion, type Health, type InstanceClaim, type InstanceVersion } from '../instance.js';
import { type InstanceKey, instanceKey, serviceKey } from './instance-key.js';
import type { PeerMessage, RegistryEffect } from './registry-effect.js';
import type {
  OwnerInfo,
  OwnerPosition,
  RegistryViewState,
  ServiceInfo,
  SupersededClaim,
  VisibleInstance,
} from './view-state.js';

/** How often a client says something. */
export const beatMs = 3_000;
/** Silence after which an instance is suspect. */
export const suspectMs = 9_000;
/** From the last frame to removal. */
export const removalMs = 15_000;
/** How often `tick` must be called. */
export const tickMs = 500;
/** A call of `tick` that is late by no more than this is on time. */
const tickSlackMs = 500;
export const tombstoneMs = 60_000;
/** After a start without any state, an empty list isn't to be believed for so long. */
export const coldMs: number = 2 * removalMs;

export const sessionInstancesMax = 1_024;
export const instancesMax = 200_000;
const tombstonesMax = 100_000;
const supersededMax = sessionInstancesMax;

export interface RegistryCoreOptions {
  /** Other name servers of the cluster, as configured. */
  readonly peers: number;
  /** What a node of two does without the other one. */
  readonly onPeerLoss: 'freeze' | 'expire';
  /** The last incarnation that was made durable; 0: none. */
  readonly storedIncarnation: number;
  readonly random: Random;
}

interface Entry {
  claim: InstanceClaim;
  health: Health;
  session: Session;
}

interface Session {
  readonly id: number;
  readonly entries: Set<Entry>;
  /** In live time, like the other times here. */
  heardMs: number;
  markedMs: number | undefined;
  isOpen: boolean;
  health: Health;
  superseded: SupersededClaim[];
}

interface Tombstone {
  readonly version: InstanceVersion;
  readonly untilMs: number;
}

export class RegistryCore {
  readonly #services = new Map<string, Map<string, Entry>>();
  readonly #sessions = new Map<number, Session>();
  /** In the order of their ends. */
  readonly #tombstones = new Map<string, Tombstone>();
  #effects: RegistryEffect[] = [];
  #instances = 0;
  #sequence = 0;
  /** The last input, in real time. */
  #inputMs: number;
  /** Real time that doesn't count. */
  #skippedMs = 0;
  /** Live time at the end of the last stretch that was skipped. */
  #resumedMs = Number.NEGATIVE_INFINITY;
  readonly #coldUntilMs: number;
  readonly #nodeId: string;
  #incarnation = 0;
  #isLeaving = false;
  #wasCold = true;

  constructor(self: { readonly nodeId: string }, options: RegistryCoreOptions, nowMs: number, wallMs: number) {
    this.#nodeId = self.nodeId;
    this.#inputMs = nowMs;
    this.#coldUntilMs = nowMs + coldMs;
    this.#effects.push({ kind: 'store', incarnation: Math.max(options.storedIncarnation, Math.floor(wallMs)) + 1 });
  }

  get nodeId(): string {
    return this.#nodeId;
  }

  /** 0 until the first one is stored. */
  get incarnation(): number {
    return this.#incarnation;
  }

  get instanceCount(): number {
    return this.#instances;
  }

  /** Sessions that hold or held an instance. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** The number of the last change. */
  get sequence(): number {
    return this.#sequence;
  }

  /** True until clients have had the time to register anew after our start: an empty list proves nothing. */
  get #isCold(): boolean {
    return this.#inputMs - this.#skippedMs < this.#coldUntilMs;
  }

  /** What there is to do since the last call. */
  takeEffects(): readonly RegistryEffect[] {
    const effects = this.#effects;
    if (effects.length > 0) this.#effects = [];
    return effects;
  }

  /**
   * Takes a claim into a session (made when unknown). The same claim again changes nothing. SUPERSEDED, with the
   * version seen as the hint, when another session or a tombstone has this version or a higher one; QUOTA at limits.
   */
  register(sessionId: number, claim: InstanceClaim, nowMs: number): void {
    const liveMs = this.#observe(nowMs);
    if (this.#incarnation === 0 || this.#isLeaving) throw notReady();
    const key = serviceKey(claim.namespace, claim.group, claim.service);
    const entry = this.#services.get(key)?.get(claim.instanceId);
    const session = this.#sessions.get(sessionId);
    if (entry === undefined || entry.session !== session) this.#checkQuota(session, entry === undefined);
    if (entry !== undefined) {
      const order = compareVersions(claim.version, entry.claim.version);
      if (order < 0 || (order === 0 && entry.session !== session)) throw superseded(claim, entry.claim.version);
      if (order === 0) {
        this.#hear(entry.session, liveMs);
        return;
      }
    }
    const tombstone = this.#tombstones.get(instanceKey(claim));
    if (tombstone !== undefined && compareVersions(claim.version, tombstone.version) <= 0) {
      throw superseded(claim, tombstone.version);
    }
    this.#accept(session ?? this.#open(sessionId, liveMs), key, claim, entry, liveMs);
  }

  /** Removes an instance at once unless it was registered with a higher version; any session may. */
  deregister(sessionId: number, target: InstanceKey, version: InstanceVersion, nowMs: number): boolean {
    this.heard(sessionId, nowMs);
    const key = serviceKey(target.namespace, target.group, target.service);
    const entry = this.#services.get(key)?.get(target.instanceId);
    if (entry !== undefined && compareVersions(version, entry.claim.version) < 0) return false;
    this.#bury(instanceKey(target), version, this.#liveMs());
    if (entry === undefined) return false;
    this.#remove(entry);
    return true;
  }

  /** A frame of any kind came. Cheap: called for every one. */
  heard(sessionId: number, nowMs: number): void {
    const liveMs = this.#observe(nowMs);
    const session = this.#sessions.get(sessionId);
    if (session !== undefined) this.#hear(session, liveMs);
  }

  /** A beat: what there is to tell the session, once, and whether its client does better at another node. */
  beat(sessionId: number, nowMs: number): { superseded: readonly SupersededClaim[]; isFrozen: boolean } {
    this.heard(sessionId, nowMs);
    const session = this.#sessions.get(sessionId);
    if (session === undefined || session.superseded.length === 0) return { superseded: [], isFrozen: false };
    const superseded = session.superseded;
    session.superseded = [];
    this.#forgetIfIdle(session);
    return { superseded, isFrozen: false };
  }

  /** The connection is gone. */
  closed(sessionId: number, nowMs: number): void {
    this.#observe(nowMs);
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return;
    session.isOpen = false;
    session.superseded = [];
    this.#setHealth(session, 'suspect');
    this.#forgetIfIdle(session);
  }

  /** Lets time pass: suspicion, marks, removal, tombstones. To be called every `tickMs`. */
  tick(nowMs: number, _wallMs: number): void {
    const liveMs = this.#observe(nowMs);
    if (this.#wasCold && !this.#isCold) {
      this.#wasCold = false;
      this.#effects.push({ kind: 'state' });
    }
    for (const session of this.#sessions.values()) {
      const silentMs = liveMs - session.heardMs;
      if (silentMs >= suspectMs) this.#setHealth(session, 'suspect');
      if (silentMs < removalMs - beatMs) continue;
      session.markedMs ??= liveMs;
      const watchedMs = liveMs - Math.max(session.markedMs, this.#resumedMs);
      if (silentMs >= removalMs && watchedMs >= beatMs) this.#end(session);
    }
    for (const [key, tombstone] of this.#tombstones) {
      if (tombstone.untilMs > liveMs) break;
      this.#tombstones.delete(key);
    }
  }

  /** A frame of another name server, as its sender calls itself. Whatever it says, it doesn't throw. */
  receive(_from: string, _message: PeerMessage, nowMs: number, _wallMs: number): void {
    this.#observe(nowMs);
  }

  /** Sends what was gathered; to be called when a `wake` effect says so. */
  flush(nowMs: number): void {
    this.#observe(nowMs);
  }

  /** The incarnation of the last `store` effect is durable. */
  incarnationStored(incarnation: number, nowMs: number): void {
    this.#observe(nowMs);
    this.#incarnation = incarnation;
    this.#effects.push({ kind: 'state' });
  }

  /** A clean stop: the peers are told, and nothing is registered any more. */
  leave(nowMs: number): void {
    this.#observe(nowMs);
    this.#isLeaving = true;
    this.#effects.push({ kind: 'state' });
  }

  /** The instance in the merged view. */
  visible(key: InstanceKey): VisibleInstance | undefined {
    const entry = this.#services.get(serviceKey(key.namespace, key.group, key.service))?.get(key.instanceId);
    return entry === undefined ? undefined : { claim: entry.claim, health: entry.health, owner: this.#nodeId };
  }

  /** Ids of a service's visible instances, in no order. */
  ids(namespace: string, group: string, service: string): string[] {
    return [...(this.#services.get(serviceKey(namespace, group, service))?.keys() ?? [])];
  }

  serviceSize(namespace: string, group: string, service: string): number {
    return this.#services.get(serviceKey(namespace, group, service))?.size ?? 0;
  }

  /** Names of a group's services that have visible instances, in order. */
  serviceNames(namespace: string, group: string): string[] {
    const prefix = serviceKey(namespace, group, '');
    const names: string[] = [];
    for (const key of this.#services.keys()) if (key.startsWith(prefix)) names.push(key.slice(prefix.length));
    return names.sort();
  }

  /** All services that have visible instances, of one namespace or of all, in no order. */
  services(namespace?: string): ServiceInfo[] {
    const found: ServiceInfo[] = [];
    for (const entries of this.#services.values()) {
      const { claim } = entries.values().next().value!;
      if (namespace !== undefined && claim.namespace !== namespace) continue;
      let healthy = 0;
      for (const { health } of entries.values()) if (health === 'up') healthy++;
      const { namespace: own, group, service } = claim;
      found.push({ namespace: own, group, service, instances: entries.size, healthy, isProtected: false });
    }
    return found;
  }

  isProtected(_namespace: string, _group: string, _service: string): boolean {
    return false;
  }

  viewState(): RegistryViewState {
    const isReady = this.#incarnation > 0 && !this.#isLeaving;
    const isCold = this.#isCold;
    return {
      revision: [{ owner: this.#nodeId, incarnation: this.#incarnation, sequence: this.#sequence }],
      staleMs: 0,
      isCold,
      isComplete: isReady && !isCold,
      isFrozen: false,
      isReady,
    };
  }

  /** True when this node has all that a watcher had seen; what is hidden here counts as covered. */
  covers(known: readonly OwnerPosition[]): boolean {
    return known.every(({ owner, incarnation, sequence }) => {
      if (owner !== this.#nodeId) return false;
      return this.#incarnation > incarnation || (this.#incarnation === incarnation && this.#sequence >= sequence);
    });
  }

  owners(): OwnerInfo[] {
    return [
      {
        owner: this.#nodeId,
        incarnation: this.#incarnation,
        sequence: this.#sequence,
        ageMs: 0,
        state: 'self',
        instances: this.#instances,
      },
    ];
  }

  /** Notes the time of an input; what passed unseen since the last one, beyond a tick, is skipped. */
  #observe(nowMs: number): number {
    const lateMs = nowMs - this.#inputMs - tickMs;
    if (nowMs > this.#inputMs) this.#inputMs = nowMs;
    if (lateMs > tickSlackMs) {
      this.#skippedMs += lateMs;
      this.#resumedMs = this.#liveMs();
    }
    return this.#liveMs();
  }

  #liveMs(): number {
    return this.#inputMs - this.#skippedMs;
  }

  #open(sessionId: number, liveMs: number): Session {
    const session: Session = {
      id: sessionId,
      entries: new Set(),
      heardMs: liveMs,
      markedMs: undefined,
      isOpen: true,
      health: 'up',
      superseded: [],
    };
    this.#sessions.set(sessionId, session);
    return session;
  }

  #hear(session: Session, liveMs: number): void {
    if (!session.isOpen) return;
    session.heardMs = liveMs;
    session.markedMs = undefined;
    if (session.health !== 'up') this.#setHealth(session, 'up');
  }

  #setHealth(session: Session, health: Health): void {
    if (session.health === health) return;
    session.health = health;
    for (const entry of session.entries) {
      entry.health = health;
      this.#changed(entry.claim);
    }
  }

  #accept(session: Session, key: string, claim: InstanceClaim, entry: Entry | undefined, liveMs: number): void {
    this.#hear(session, liveMs);
    this.#tombstones.delete(instanceKey(claim));
    if (entry === undefined) {
      let service = this.#services.get(key);
      if (service === undefined) this.#services.set(key, (service = new Map()));
      const added: Entry = { claim, health: session.health, session };
      service.set(claim.instanceId, added);
      session.entries.add(added);
      this.#instances++;
    } else {
      if (entry.session !== session) this.#moveOver(entry, session, claim);
      entry.claim = claim;
      entry.health = session.health;
    }
    this.#changed(claim);
  }

  #moveOver(entry: Entry, to: Session, claim: InstanceClaim): void {
    const from = entry.session;
    from.entries.delete(entry);
    if (from.isOpen && from.superseded.length < supersededMax) {
      const { namespace, group, service, instanceId, version } = claim;
      from.superseded.push({ namespace, group, service, instanceId, seen: version });
    }
    this.#forgetIfIdle(from);
    entry.session = to;
    to.entries.add(entry);
  }

  /** Removes a session with all that lives in it, and asks for its connection's end, so that its client comes anew. */
  #end(session: Session): void {
    for (const entry of session.entries) this.#remove(entry, false);
    this.#sessions.delete(session.id);
    if (session.isOpen) this.#effects.push({ kind: 'end', sessionId: session.id });
  }

  #remove(entry: Entry, forget = true): void {
    const { namespace, group, service, instanceId } = entry.claim;
    const key = serviceKey(namespace, group, service);
    const instances = this.#services.get(key)!;
    instances.delete(instanceId);
    if (instances.size === 0) this.#services.delete(key);
    entry.session.entries.delete(entry);
    this.#instances--;
    this.#changed(entry.claim);
    if (forget) this.#forgetIfIdle(entry.session);
  }

  /** A session without instances and without anything to tell needs no memory. */
  #forgetIfIdle(session: Session): void {
    if (session.entries.size === 0 && session.superseded.length === 0) this.#sessions.delete(session.id);
  }

  #bury(key: string, version: InstanceVersion, liveMs: number): void {
    const before = this.#tombstones.get(key);
    const kept = before !== undefined && compareVersions(before.version, version) > 0 ? before.version : version;
    this.#tombstones.delete(key);
    this.#tombstones.set(key, { version: kept, untilMs: liveMs + tombstoneMs });
    if (this.#tombstones.size > tombstonesMax) this.#tombstones.delete(this.#tombstones.keys().next().value!);
  }

  #changed(claim: InstanceClaim): void {
    this.#sequence++;
    const { namespace, group, service, instanceId } = claim;
    this.#effects.push({ kind: 'changed', namespace, group, service, instanceId });
  }

  #checkQuota(session: Session | undefined, isNew: boolean): void {
    if (session !== undefined && session.entries.size >= sessionInstancesMax) {
      throw new TaskdError(
        ErrorCode.QUOTA,
        `one connection registers at most ${sessionInstancesMax} instances; register the others over another one`,
      );
    }
    if (isNew && this.#instances >= instancesMax) {
      throw new TaskdError(
        ErrorCode.QUOTA,
        `this name server holds its limit of ${instancesMax} instances; deregister some or run another cluster`,
        { retry: Retry.AFTER, retryAfterMs: 10_000 },
      );
    }
  }
}

function superseded(claim: InstanceClaim, seen: InstanceVersion): TaskdError {
  return new TaskdError(
    ErrorCode.SUPERSEDED,
    `instance ${claim.instanceId} of ${claim.service} is registered with version ${formatVersion(seen)}, not below ` +
      `${formatVersion(claim.version)}; register above it, or give this process another id`,
    { hint: formatVersion(seen) },
  );
}

function notReady(): TaskdError {
  return new TaskdError(ErrorCode.NOT_READY, 'this name server is not ready; ask another one', { retry: Retry.OTHER });
}
