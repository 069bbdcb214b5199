import type { LiveTime } from './live-time.js';
import type { LogTable } from './log-table.js';
import type { OwnerLog } from './owner-log.js';
import { removalMs } from './sessions.js';
import type { OwnerInfo, OwnerPosition } from './view-state.js';

/** An owner heard of within this time is alive. */
const silentMs = 2_000;
/** A peer not heard for so long is out of reach; an owner of whom nobody heard anything for so long is gone. */
export const goneMs = 5_000;
/** A gone owner's instances are hidden after so long. */
export const hideMs = 15_000;
/**
 * Not caught up with a digest of an owner for so long: there is more than is known here. What others pass on of one that
 * isn't heard itself counts as 8 s old or so.
 */
const behindMs: number = 3 * goneMs;
/** Nobody has heard of it for so long: it is forgotten with all that it said. */
export const forgetMs: number = 24 * 60 * 60_000;
/** So long after a pause of our own, what is read may be as old as the pause. */
export const quietMs = 500;

/**
 * Another name server, as seen from here. Times are live time.
 *
 *   ALIVE ──silent to all for 5 s──▶ GONE (suspect) ──15 s──▶ GONE, HIDDEN
 *     ▲◀──────────heard of──────────────┘                        │ heard of
 *     └──caught up to its own digest── HIDDEN (counts as suspect) ◀─┘
 */
export class Owner {
  readonly id: string;
  readonly log: OwnerLog;
  /** Last frame from it. */
  heardMs: number = Number.NEGATIVE_INFINITY;
  /**
   * Last sign of life that anyone had of it, and what had been skipped by then. What is read right after a pause counts
   * as of now for our own judgement, since our clock stood still too, and as of before the pause for what we tell others.
   */
  aliveMs: number = Number.NEGATIVE_INFINITY;
  aliveSkippedMs = 0;
  /** When it last told that it hears us. */
  hearsUsMs: number = Number.NEGATIVE_INFINITY;
  goneSinceMs: number | undefined;
  leftMs: number | undefined;
  /** It stopped cleanly and hasn't come back. */
  hasLeft = false;
  /** Its own latest digest: when it came, and a time after which it was made for certain. */
  digest:
    | {
        readonly incarnation: number;
        readonly sequence: number;
        readonly atMs: number;
        readonly madeAfterMs: number;
      }
    | undefined;
  /** How far somebody has its log who had just caught up with it. */
  relayed: Owner['digest'];
  /** Nobody heard of it for so long that what is known of it may be old; until it is caught up again. */
  isStale = false;
  /** All that it had said by this time is known. */
  caughtMs: number = Number.NEGATIVE_INFINITY;
  /** Whether it is ready and what it has: said when, and made after which time of ours. */
  readiness:
    | {
        readonly isReady: boolean;
        readonly atMs: number;
        readonly madeAfterMs: number;
        readonly positions: readonly OwnerPosition[];
        readonly coldLeftMs: number;
      }
    | undefined;
  /** The incarnation that it said it has: what is of an older one is refused, whoever passes it on. */
  floor = 0;
  /** The process that it is, and the stamp of its last beat. */
  boot = 0;
  stamp = 0;
  /** How far it has our log, and how far we told that we have its. */
  acknowledged: { readonly incarnation: number; readonly sequence: number } | undefined;
  toldIncarnation = 0;
  toldSequence = 0;

  constructor(id: string, log: OwnerLog) {
    this.id = id;
    this.log = log;
  }
}

/** The other name servers: who is alive, gone, hidden. */
export class Owners {
  readonly #time: LiveTime;
  readonly #logs: LogTable;
  readonly #configured: number;
  readonly #touchLog: (log: OwnerLog) => void;
  readonly #owners = new Map<string, Owner>();
  readonly #startMs: number;

  /** `configured`: others, as configured. `touchLog`: what is shown of a log has to be looked at again. */
  constructor(time: LiveTime, logs: LogTable, configured: number, touchLog: (log: OwnerLog) => void) {
    this.#time = time;
    this.#logs = logs;
    this.#configured = configured;
    this.#touchLog = touchLog;
    this.#startMs = time.nowMs;
  }

  get configured(): number {
    return this.#configured;
  }

  get(id: string): Owner | undefined {
    return this.#owners.get(id);
  }

  all(): Iterable<Owner> {
    return this.#owners.values();
  }

  /** The owner of this id, new if need be: somebody knows that it was alive so long ago. Undefined: there are too many. */
  admit(id: string, ageMs: number): Owner | undefined {
    let owner = this.#owners.get(id);
    if (owner === undefined) {
      if (ageMs < goneMs && !this.#logs.hasRoom) this.#makeRoom();
      const log = ageMs < forgetMs ? this.#logs.admit(id) : undefined;
      if (log === undefined) return undefined;
      owner = new Owner(id, log);
      this.#owners.set(id, owner);
    }
    this.#alive(owner, this.#time.nowMs - ageMs);
    return owner;
  }

  /** We stood still a moment ago: nothing is judged before our sockets are read. */
  get isQuiet(): boolean {
    return this.#time.nowMs < this.#time.resumedMs + quietMs;
  }

  /** A frame came from it. True when it had been silent, so that it is worth asking what it did meanwhile. */
  hear(owner: Owner): boolean {
    const wasSilent = owner.heardMs < this.#time.nowMs - silentMs;
    owner.heardMs = this.#time.nowMs;
    this.#alive(owner, this.#time.nowMs);
    this.#back(owner);
    return wasSilent;
  }

  /** How long ago it was alive, pauses of our own included. */
  ageMs(owner: Owner): number {
    return Math.max(0, this.#time.nowMs - owner.aliveMs + this.#time.skippedMs - owner.aliveSkippedMs);
  }

  isHeard(id: string, withinMs: number, liveMs: number): boolean {
    const owner = this.#owners.get(id);
    return owner !== undefined && owner.heardMs > liveMs - withinMs;
  }

  /** How long nobody at all was heard; 0 when nobody ever was. */
  get silentMs(): number {
    let heardMs = Number.NEGATIVE_INFINITY;
    for (const owner of this.#owners.values()) heardMs = Math.max(heardMs, owner.heardMs);
    return Number.isFinite(heardMs) ? Math.round(this.#time.nowMs - heardMs) : 0;
  }

  /** All whom we hear have acknowledged all of our log. */
  haveAcknowledged({ incarnation, sequence }: OwnerLog): boolean {
    const sinceMs = this.#time.nowMs - silentMs;
    for (const { heardMs, acknowledged } of this.#owners.values()) {
      if (heardMs <= sinceMs) continue;
      if (acknowledged?.incarnation !== incarnation || acknowledged.sequence < sequence) return false;
    }
    return true;
  }

  /** No other node is heard, though there are some. */
  get isAlone(): boolean {
    if (this.#configured === 0) return false;
    const sinceMs = this.#time.nowMs - goneMs;
    for (const owner of this.#owners.values()) if (owner.heardMs > sinceMs) return false;
    return true;
  }

  /** Half of the nodes or more don't hear us, or aren't heard. */
  get isMinority(): boolean {
    const sinceMs = this.#time.nowMs - goneMs;
    let reached = 1;
    for (const owner of this.#owners.values()) if (owner.heardMs > sinceMs && owner.hearsUsMs > sinceMs) reached++;
    return 2 * reached <= this.#configured + 1;
  }

  /** An owner may have instances that are on their way to somewhere else, or that we don't know: absence proves nothing. */
  get isAnySuspect(): boolean {
    const caughtSinceMs = this.#time.nowMs - behindMs;
    for (const { caughtMs, goneSinceMs, hasLeft, log } of this.#owners.values()) {
      if ((goneSinceMs !== undefined) !== log.isHidden) return true;
      if (!log.isHidden && !hasLeft && caughtMs <= caughtSinceMs) return true;
    }
    const isAnyMissing = this.#owners.size < this.#configured;
    return isAnyMissing && this.#time.nowMs - this.#startMs < goneMs + hideMs;
  }

  /** An owner is hidden that didn't say goodbye: its clients may be on their way. */
  get isAnyHidden(): boolean {
    for (const { hasLeft, log } of this.#owners.values()) if (log.isHidden && !hasLeft) return true;
    return false;
  }

  /**
   * What everyone has of each log, by the latest digests of all, and a time after which all of them were made; undefined
   * when some haven't said anything yet.
   */
  everyonesPositions():
    | { readonly madeAfterMs: number; readonly least: ReadonlyMap<string, OwnerPosition> }
    | undefined {
    if (this.#owners.size < this.#configured) return undefined;
    let madeAfterMs = Number.POSITIVE_INFINITY;
    const least = new Map<string, OwnerPosition>();
    for (const { readiness, hasLeft, log } of this.#owners.values()) {
      if (hasLeft && log.isHidden) continue;
      if (readiness === undefined) return undefined;
      madeAfterMs = Math.min(madeAfterMs, readiness.madeAfterMs);
      for (const { owner } of this.#logs.all()) {
        const has = readiness.positions.find((each) => each.owner === owner) ?? { owner, incarnation: 0, sequence: 0 };
        const before = least.get(owner);
        if (before === undefined || isBefore(has, before)) least.set(owner, has);
      }
    }
    return { madeAfterMs, least };
  }

  /** Every owner's log has been caught up to a digest that was made after this time. */
  get caughtMs(): number {
    if (this.#owners.size < this.#configured) return Number.NEGATIVE_INFINITY;
    let caughtMs = Number.POSITIVE_INFINITY;
    for (const { caughtMs: own, hasLeft, log } of this.#owners.values()) {
      if (!(hasLeft && log.isHidden)) caughtMs = Math.min(caughtMs, own);
    }
    return caughtMs;
  }

  /** Lets time pass. `isLoneExpiry`: this node decides alone, since it is one of two and was told to. */
  sweep(isFrozen: boolean, isLoneExpiry: boolean): void {
    const nowMs = this.#time.nowMs;
    for (const owner of this.#owners.values()) {
      if (this.#isOld(owner)) owner.isStale = true;
      if (nowMs - owner.aliveMs < silentMs) this.#back(owner);
      const isAsked = isLoneExpiry || this.#isOtherHeard(owner);
      if (owner.goneSinceMs === undefined && nowMs - owner.aliveMs >= goneMs && isAsked) {
        owner.goneSinceMs = owner.aliveMs + goneMs;
        owner.log.isSuspect = true;
        this.#touchLog(owner.log);
      }
      if (owner.goneSinceMs !== undefined && nowMs - owner.goneSinceMs >= hideMs && !isFrozen) this.#hide(owner);
      if (nowMs - owner.aliveMs >= forgetMs) this.#forget(owner);
    }
    if (isFrozen) return;
    for (const owner of this.#owners.values()) {
      if (owner.leftMs === undefined || nowMs - owner.leftMs < removalMs || nowMs - owner.heardMs <= silentMs) continue;
      owner.leftMs = undefined;
      this.#hide(owner);
    }
  }

  /** It says that it stops. */
  leave(owner: Owner): void {
    owner.leftMs ??= this.#time.nowMs;
    owner.hasLeft = true;
  }

  /** Its log began anew: it is back, whatever it said before. */
  restarted(owner: Owner): void {
    owner.leftMs = undefined;
    owner.hasLeft = false;
  }

  /** A sign of life is known that isn't old: what others hide of it isn't for us, we shall have it from itself. */
  isAlive(owner: Owner): boolean {
    return this.#time.nowMs - owner.aliveMs < goneMs;
  }

  /** Whoever passes on this log hides it, up to this number; so do we. */
  takeHiddenMark(owner: Owner, sequence: number): void {
    if (sequence <= owner.log.hiddenSequence) return;
    owner.log.isHidden = true;
    owner.log.hiddenSequence = sequence;
    this.#touchLog(owner.log);
  }

  /**
   * What goes with a log that is passed on: the sequence up to which it is hidden, plus 1, or 0. The log of an owner that
   * would be hidden by now, if only we weren't frozen or hadn't stood still, counts as hidden.
   */
  hiddenMark(log: OwnerLog): number {
    const owner = this.#owners.get(log.owner);
    if (owner === undefined) return 0;
    if (log.isHidden) return log.hiddenSequence + 1;
    return owner.isStale || this.#isOld(owner) ? log.sequence + 1 : 0;
  }

  /** We show it and have caught up with a digest that it made within the last 5 s. */
  isCaught({ digest, log }: Owner): boolean {
    if (digest === undefined || log.isHidden || digest.incarnation !== log.incarnation) return false;
    if (digest.sequence > log.sequence) return false;
    return digest.madeAfterMs >= Math.max(this.#time.nowMs - goneMs, this.#time.resumedMs);
  }

  /**
   * Notes what its log has been caught up to; an owner that is back is shown again then. Whoever doesn't hear it itself
   * may go by somebody who just caught up with it, one node away.
   */
  settle(owner: Owner): void {
    const { digest, relayed, log } = owner;
    if (digest !== undefined && log.covers(digest.incarnation, digest.sequence)) {
      owner.caughtMs = Math.max(owner.caughtMs, digest.madeAfterMs);
      this.#unhide(owner, digest);
    }
    if (relayed !== undefined && log.covers(relayed.incarnation, relayed.sequence)) {
      owner.caughtMs = Math.max(owner.caughtMs, relayed.madeAfterMs - goneMs);
      if (this.isAlive(owner)) this.#unhide(owner, relayed);
    }
  }

  info(): OwnerInfo[] {
    return [...this.#owners.values()].map((owner) => ({
      owner: owner.id,
      incarnation: owner.log.incarnation,
      sequence: owner.log.sequence,
      ageMs: Math.round(this.ageMs(owner)),
      state: this.#stateOf(owner),
      instances: owner.log.entries.size,
    }));
  }

  #isOld(owner: Owner): boolean {
    return this.ageMs(owner) >= goneMs + hideMs;
  }

  #unhide(owner: Owner, by: NonNullable<Owner['digest']>): void {
    const { log } = owner;
    const { nowMs, resumedMs } = this.#time;
    // Covered by a later incarnation isn't caught up: an owner may come back with a lower one, before it goes above that.
    if (by.incarnation !== log.incarnation) return;
    if (owner.goneSinceMs !== undefined || by.atMs <= nowMs - goneMs) return;
    // A digest that lay in our socket while we stood still is not the latest.
    if (nowMs - resumedMs < goneMs && by.madeAfterMs < Math.floor(resumedMs)) return;
    owner.isStale = false;
    if (!log.isHidden) return;
    log.isHidden = false;
    this.#touchLog(log);
  }

  #alive(owner: Owner, atMs: number): void {
    if (atMs <= owner.aliveMs) return;
    owner.aliveMs = atMs;
    owner.aliveSkippedMs = this.isQuiet ? this.#time.skippedBeforeMs : this.#time.skippedMs;
  }

  #back(owner: Owner): void {
    if (owner.goneSinceMs === undefined) return;
    owner.goneSinceMs = undefined;
    owner.log.isSuspect = false;
    this.#touchLog(owner.log);
  }

  #hide(owner: Owner): void {
    const { log } = owner;
    if (log.isHidden && log.hiddenSequence >= log.sequence) return;
    log.isHidden = true;
    log.hiddenSequence = log.sequence;
    this.#touchLog(log);
  }

  #isOtherHeard(owner: Owner): boolean {
    const sinceMs = this.#time.nowMs - silentMs;
    for (const other of this.#owners.values()) if (other !== owner && other.heardMs > sinceMs) return true;
    return false;
  }

  /** One that lives comes before the one that is hidden and has been silent for longest. */
  #makeRoom(): void {
    let oldest: Owner | undefined;
    for (const owner of this.#owners.values()) {
      if (owner.log.isHidden && (oldest === undefined || this.ageMs(owner) > this.ageMs(oldest))) oldest = owner;
    }
    if (oldest !== undefined) this.#forget(oldest);
  }

  #forget(owner: Owner): void {
    this.#owners.delete(owner.id);
    this.#logs.forget(owner.id);
  }

  #stateOf(owner: Owner): OwnerInfo['state'] {
    if (owner.hasLeft) return 'left';
    if (owner.log.isHidden) return 'hidden';
    if (owner.goneSinceMs !== undefined) return 'gone';
    return this.#time.nowMs - owner.aliveMs < silentMs ? 'alive' : 'suspect';
  }
}

function isBefore(a: OwnerPosition, b: OwnerPosition): boolean {
  return a.incarnation < b.incarnation || (a.incarnation === b.incarnation && a.sequence < b.sequence);
}
