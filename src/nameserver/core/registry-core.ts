/**
 * The registry of one name server among others, pure: claims, sessions, frames of peers and time in, effects out. Time
 * is monotonic milliseconds, and wall-clock milliseconds where an incarnation may be drawn.
 *
 * Each node writes one log: the changes of the instances whose sessions it holds. It keeps the logs of all others as
 * well, and shows the merge of them all. The parts:
 *
 *   sessions, own-instances   whose instances this node holds, and when they end
 *   owner-log, log-table      all logs; tombstones and ghosts, what is left of claims
 *   place, merged-view        what is known of one instance, and what of it is shown
 *   owners, readiness         who is alive; whether this node serves, and whether an absence proves anything
 *   digests, peer-exchange    how logs get from node to node
 *
 * Input of any kind ends with `#settle`: places that were touched are looked at again, and what changed becomes effects.
 */
import { ErrorCode, Retry, TaskdError } from '../../base/errors.js';
import type { Random } from '../../runtime/random.js';
import type { taskd } from '../../wire/generated/messages.js';
import type { InstanceClaim, InstanceVersion } from '../instance.js';
import { DeltaSender } from './delta-sender.js';
import { Digests } from './digests.js';
import { Ghosts } from './ghosts.js';
import { Identity } from './identity.js';
import type { InstanceKey } from './instance-key.js';
import { LiveTime } from './live-time.js';
import { LogTable } from './log-table.js';
import { MergedView } from './merged-view.js';
import { OwnInstances } from './own-instances.js';
import type { OwnerLog } from './owner-log.js';
import { Owners } from './owners.js';
import { PeerExchange } from './peer-exchange.js';
import { Places } from './place.js';
import { updateProtection } from './protection.js';
import { Readiness } from './readiness.js';
import { allPeers, type PeerMessage, type RegistryEffect } from './registry-effect.js';
import { Tombstones } from './tombstones.js';
import type {
  OwnerInfo,
  OwnerPosition,
  RegistryViewState,
  ServiceInfo,
  SupersededClaim,
  VisibleInstance,
} from './view-state.js';

export interface RegistryCoreOptions {
  /** Other name servers of the cluster, as configured. */
  readonly peers: number;
  /** What a node of two does without the other one. */
  readonly onPeerLoss: 'freeze' | 'expire';
  /** The last incarnation that was made durable; 0: none. */
  readonly storedIncarnation: number;
  readonly random: Random;
}

export class RegistryCore {
  readonly nodeId: string;
  readonly #time: LiveTime;
  readonly #places = new Places();
  readonly #tombstones = new Tombstones(this.#places);
  readonly #ghosts = new Ghosts(this.#places);
  readonly #logs: LogTable;
  readonly #owners: Owners;
  readonly #readiness: Readiness;
  readonly #view: MergedView;
  readonly #own: OwnInstances;
  readonly #deltas: DeltaSender;
  readonly #digests: Digests;
  readonly #exchange: PeerExchange;
  readonly #identity: Identity;
  readonly #isLoneExpiry: boolean;
  #effects: RegistryEffect[] = [];
  #lastState = -1;

  constructor(self: { readonly nodeId: string }, options: RegistryCoreOptions, nowMs: number, wallMs: number) {
    const { peers, random } = options;
    this.nodeId = self.nodeId;
    this.#time = new LiveTime(nowMs);
    this.#isLoneExpiry = peers === 1 && options.onPeerLoss === 'expire';
    this.#logs = new LogTable(self.nodeId, this.#places, this.#tombstones, this.#ghosts);
    this.#owners = new Owners(this.#time, this.#logs, peers, (log) => this.#touchLog(log));
    this.#readiness = new Readiness(this.#time, this.#logs, this.#owners, this.#isLoneExpiry);
    this.#view = new MergedView(self.nodeId, this.#owners, (place) => {
      const { namespace, group, service, instanceId } = place;
      this.#effects.push({ kind: 'changed', namespace, group, service, instanceId });
    });
    this.#own = new OwnInstances(this.#time, this.#places, this.#logs);
    this.#deltas = new DeltaSender(this.#logs.own);
    const send = (to: string, body: PeerMessage): void => this.#send(to, body);
    this.#identity = new Identity(this.#logs.own, this.#time, options, (effect) => this.#effects.push(effect), send);
    const { boot } = this.#identity;
    this.#digests = new Digests(this.#time, this.#logs, this.#owners, this.#readiness, random, boot);
    const known = {
      time: this.#time,
      places: this.#places,
      logs: this.#logs,
      tombstones: this.#tombstones,
      ghosts: this.#ghosts,
      owners: this.#owners,
      readiness: this.#readiness,
      digests: this.#digests,
      identity: this.#identity,
    };
    this.#exchange = new PeerExchange(known, send);
    this.#identity.start(wallMs);
  }

  /** Serves. */
  get isReady(): boolean {
    return this.#readiness.isReady;
  }

  /** 0 until the first one is stored. */
  get incarnation(): number {
    return this.#identity.incarnation;
  }

  /** Changes in this node's own log, of its incarnation. */
  get sequence(): number {
    return this.#logs.own.sequence;
  }

  /** Instances shown. */
  get instanceCount(): number {
    return this.#view.size;
  }

  /** Sessions that hold an instance or have lost one. */
  get sessionCount(): number {
    return this.#own.sessions;
  }

  get tombstoneCount(): number {
    return this.#tombstones.size;
  }

  /** Tombstones that went for want of room, before everyone knew of them. */
  get tombstonesDropped(): number {
    return this.#tombstones.dropped;
  }

  /** Frames of peers that could not be read. */
  get malformed(): number {
    return this.#exchange.malformed;
  }

  /** What others said that there was no room for. */
  get refused(): number {
    return this.#exchange.refused;
  }

  /** What there is to do since the last call. */
  takeEffects(): readonly RegistryEffect[] {
    const effects = this.#effects;
    if (effects.length > 0) this.#effects = [];
    return effects;
  }

  /**
   * Takes a claim into a session (made when unknown). The same claim again changes nothing. NOT_READY before this node
   * is ready; SUPERSEDED, with the version seen as the hint, when another session, another node or a tombstone has this
   * version or a higher one; QUOTA at limits.
   */
  register(sessionId: number, claim: InstanceClaim, nowMs: number): void {
    this.#observe(nowMs);
    this.#refuseUnlessReady();
    this.#own.register(sessionId, claim);
    this.#settle();
  }

  /** Removes an instance at once unless it was registered with a higher version; any session may. True when it was. */
  deregister(sessionId: number, target: InstanceKey, version: InstanceVersion, nowMs: number): boolean {
    this.heard(sessionId, nowMs);
    this.#refuseUnlessReady();
    const isRemoved = this.#own.deregister(sessionId, target, version);
    this.#settle();
    return isRemoved;
  }

  /** A frame of any kind came. Cheap: called for every one. */
  heard(sessionId: number, nowMs: number): void {
    this.#observe(nowMs);
    this.#own.heard(sessionId);
    this.#settle();
  }

  /**
   * A beat. `superseded`: what the session lost, told until it registers above it. `isFrozen`: its client does better at
   * a node that isn't. `held`: instances that the session holds here; a client that thinks otherwise registers anew.
   */
  beat(sessionId: number, nowMs: number): { superseded: readonly SupersededClaim[]; isFrozen: boolean; held: number } {
    this.#observe(nowMs);
    const told = this.#own.beat(sessionId);
    this.#settle();
    return { ...told, isFrozen: this.#readiness.isCutOff };
  }

  /** The connection is gone. */
  closed(sessionId: number, nowMs: number): void {
    this.#observe(nowMs);
    this.#own.closed(sessionId);
    this.#settle();
  }

  /** A frame of another name server, as its sender calls itself. Whatever it says, it doesn't throw. */
  receive(from: string, message: PeerMessage, nowMs: number, wallMs: number): void {
    this.#observe(nowMs);
    if (from === this.nodeId) this.#identity.meet(message);
    else this.#exchange.receive(from, message, wallMs);
    this.#readiness.look();
    this.#settleState();
  }

  /** A new link to or from a peer is up. What was said while there was none is lost: both learn what they missed. */
  linked(peer: string, nowMs: number): void {
    this.#observe(nowMs);
    this.#exchange.relinked(peer);
    this.#send(peer, { beat: this.#digests.beat(true) });
    if (this.#readiness.isStarted) this.#send(peer, { digest: this.#digests.digest() });
  }

  /** By this digest of a peer: for how long nothing that we sent it has arrived, ms of live time. */
  unheardMs(digest: taskd.Digest.$Properties): number {
    return this.#digests.unheardMs(digest);
  }

  /** A frame to this one peer found no link: what it asked for may be asked of others. */
  unsent(peer: string): void {
    this.#exchange.relinked(peer);
  }

  /** Lets time pass. To be called every `tickMs`. */
  tick(nowMs: number, wallMs: number): void {
    this.#observe(nowMs);
    this.#identity.start(wallMs);
    if (this.#digests.takeBeatDue()) this.#send(allPeers, { beat: this.#digests.beat(this.#readiness.isAsking) });
    if (this.#readiness.isStarted) {
      if (this.#digests.takeDigestDue()) this.#send(allPeers, { digest: this.#digests.digest() });
      if (!this.#owners.isQuiet) this.#sweep();
    }
    this.#settleState();
  }

  /** Sends what was gathered; to be called when a `wake` effect says so. */
  flush(nowMs: number): void {
    this.#observe(nowMs);
    this.#identity.start(0);
    this.#settle();
  }

  /** The incarnation of the last `store` effect is durable. */
  incarnationStored(incarnation: number, nowMs: number): void {
    this.#observe(nowMs);
    const isFirst = this.incarnation === 0;
    if (this.#identity.stored(incarnation) && isFirst) this.#readiness.begin();
    this.#settleState();
  }

  /** A clean stop: the peers are told, and nothing is registered any more. */
  leave(nowMs: number): void {
    this.#observe(nowMs);
    this.#readiness.leave();
    this.#flushDeltas();
    this.#send(allPeers, { ownerLeave: {} });
    this.#settleState();
  }

  /** All that this node said is with every peer in reach. */
  get isHandedOver(): boolean {
    return this.#owners.haveAcknowledged(this.#logs.own);
  }

  /** The instance in the merged view. */
  visible(key: InstanceKey): VisibleInstance | undefined {
    return this.#places.find(key)?.shown;
  }

  /** Up to which version the instance ended; undefined when nothing here says so: then it is only not in sight. */
  endedVersion(key: InstanceKey): InstanceVersion | undefined {
    return this.#places.find(key)?.tombstone?.version;
  }

  /** Ids of a service's visible instances, in no order. */
  ids(namespace: string, group: string, service: string): string[] {
    return this.#places.service(namespace, group, service)?.shownIds() ?? [];
  }

  serviceSize(namespace: string, group: string, service: string): number {
    return this.#places.service(namespace, group, service)?.shown ?? 0;
  }

  isProtected(namespace: string, group: string, service: string): boolean {
    return this.#places.service(namespace, group, service)?.isProtected ?? false;
  }

  /** Names of a group's services that have visible instances, in order. */
  serviceNames(namespace: string, group: string): string[] {
    return this.services(namespace)
      .filter((each) => each.group === group)
      .map(({ service }) => service)
      .sort();
  }

  /** All services that have visible instances, of one namespace or of all, in no order. */
  services(namespace?: string): ServiceInfo[] {
    return [...this.#places.services(namespace)].filter(({ shown }) => shown > 0).map((service) => service.info());
  }

  viewState(): RegistryViewState {
    const { isCold, isComplete, isCutOff, isReady, isFrozen } = this.#readiness;
    return {
      revision: [...this.#logs.all()].map(position),
      staleMs: isFrozen ? this.#owners.silentMs : 0,
      isCold,
      isComplete,
      isFrozen: isCutOff,
      isReady,
    };
  }

  /** True when this node has all that a watcher had seen, as far as that still matters. */
  covers(known: readonly OwnerPosition[]): boolean {
    return known.every((position) => this.#logs.covers(position, this.#time.nowMs));
  }

  /** This node and the others that it knows. */
  owners(): OwnerInfo[] {
    const own = this.#logs.own;
    const self: OwnerInfo = { ...position(own), ageMs: 0, state: 'self', instances: own.entries.size };
    return [self, ...this.#owners.info()];
  }

  /** Notes the time of an input. After a pause: digests first, expiry after. */
  #observe(nowMs: number): void {
    if (this.#time.observe(nowMs) === 0) return;
    this.#readiness.wake();
    this.#noteState();
    this.#send(allPeers, { beat: this.#digests.beat(true) });
  }

  #sweep(): void {
    const { nowMs } = this.#time;
    const ended = this.#own.sweep();
    this.#settle();
    for (const { id } of ended) this.#effects.push({ kind: 'end', sessionId: id });
    for (const place of this.#view.waiting) this.#places.touch(place);
    for (const place of this.#own.told) this.#places.touch(place);
    this.#readiness.sweep();
    this.#owners.sweep(this.#readiness.expiresNothing, this.#isLoneExpiry);
    if (!this.#readiness.expiresNothing) this.#ghosts.sweep(nowMs);
    this.#sweepTombstones();
    this.#exchange.sweep();
    this.#exchange.tell(this.#view.contested);
    this.#readiness.look();
  }

  #sweepTombstones(): void {
    const everyone = this.#tombstones.size === 0 ? undefined : this.#owners.everyonesPositions();
    if (everyone === undefined) return;
    const caughtMs = Math.min(this.#owners.caughtMs, everyone.madeAfterMs);
    this.#tombstones.sweep(this.#time.nowMs, caughtMs, everyone.least);
  }

  /** Looks at what was touched, and makes effects of what changed. */
  #settle(): void {
    for (;;) {
      const touched = this.#places.takeTouched();
      if (touched.length === 0) break;
      for (const place of touched) {
        this.#view.look(place, this.#time.nowMs);
        this.#own.defend(place);
        this.#places.dropIfEmpty(place);
      }
    }
    for (const service of this.#view.moved) {
      if (!updateProtection(service)) continue;
      const { namespace, group, name, isProtected } = service;
      this.#effects.push({ kind: 'protection', namespace, group, service: name, isProtected });
    }
    this.#view.moved.clear();
    this.#sendDeltas();
  }

  #sendDeltas(): void {
    if (this.#owners.configured === 0 || this.incarnation === 0 || !this.#deltas.isDue) return;
    const nowMs = this.#time.realMs;
    const wakeMs = this.#deltas.wakeMs(nowMs);
    if (wakeMs === undefined) return;
    if (wakeMs > nowMs) this.#effects.push({ kind: 'wake', atMs: wakeMs });
    else this.#flushDeltas();
  }

  #flushDeltas(): void {
    const changes = this.#deltas.take(this.#time.realMs);
    if (changes === undefined) this.#send(allPeers, { digest: this.#digests.digest() });
    else for (const delta of changes) this.#send(allPeers, { delta });
  }

  /** Settles after an input that may change what answers are worth. */
  #settleState(): void {
    this.#settle();
    this.#noteState();
  }

  #noteState(): void {
    const { isReady, isCold, isComplete, isCutOff } = this.#readiness;
    const state = Number(isReady) | (Number(isCold) << 1) | (Number(isComplete) << 2) | (Number(isCutOff) << 3);
    if (state !== this.#lastState) this.#effects.push({ kind: 'state' });
    this.#lastState = state;
  }

  #send(to: string, body: PeerMessage): void {
    if (this.#owners.configured === 0) return;
    const message = { sender: this.nodeId, incarnation: this.incarnation, boot: this.#identity.boot, ...body };
    this.#effects.push({ kind: 'send', to, message });
  }

  #touchLog(log: OwnerLog): void {
    for (const place of log.entries.keys()) this.#places.touch(place);
  }

  #refuseUnlessReady(): void {
    if (this.#readiness.isReady) return;
    throw new TaskdError(ErrorCode.NOT_READY, 'this name server is not ready; ask another one', { retry: Retry.OTHER });
  }
}

function position({ owner, incarnation, sequence }: OwnerLog): OwnerPosition {
  return { owner, incarnation, sequence };
}
