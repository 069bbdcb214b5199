import { instanceKey } from './instance-key.js';
import type { Place } from './place.js';
import type { SupersededClaim } from './view-state.js';

/** How often a client says something. */
export const beatMs = 3_000;
/** Silence after which an instance is suspect. */
export const suspectMs = 9_000;
/** From the last frame to removal. */
export const removalMs = 15_000;

export const sessionInstancesMax = 1_024;
const supersededMax = sessionInstancesMax;

/** When more than this part of the sessions is lost within `massMs`, from `massMin` on, it isn't deaths. */
const massPart = 0.2;
const massMin = 3;
const massMs = 4_000;
/** Then removal waits for so long. */
const massHoldMs = 30_000;

/** One client connection that registered something. Sessions form a list in the order of their last frames. */
export class Session {
  readonly id: number;
  readonly places: Set<Place> = new Set();
  /** What it lost, until it registers above it or gives it up; told at each of its beats. */
  readonly superseded: Map<string, SupersededClaim> = new Map();
  heardMs: number;
  markedMs: number | undefined;
  isOpen = true;
  isSuspect = false;
  older: Session | undefined;
  newer: Session | undefined;

  constructor(id: number, liveMs: number) {
    this.id = id;
    this.heardMs = liveMs;
  }

  /** To be told at its beats. */
  supersede(claim: SupersededClaim): void {
    if (this.isOpen && this.superseded.size < supersededMax) this.superseded.set(instanceKey(claim), claim);
  }
}

/**
 * The sessions of this node, and whose time is up. All times are live time.
 *
 *   OPEN ──9 s of silence──▶ SUSPECT ──12 s──▶ MARKED ──15 s, and a beat after the mark──▶ ended
 *     ◀──────any frame──────────┴───────────────┘
 *   closed: SUSPECT for good
 *
 * Whoever is lost with many others at once is held: a switch failed, or a NAT, or we stood still; not they.
 */
export class Sessions {
  readonly #sessions = new Map<number, Session>();
  #oldest: Session | undefined;
  #newest: Session | undefined;
  #holding = 0;
  /** When sessions were lost lately, the latest last. */
  #lostMs: number[] = [];
  #holdUntilMs = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#sessions.size;
  }

  get(id: number): Session | undefined {
    return this.#sessions.get(id);
  }

  open(id: number, liveMs: number): Session {
    const session = new Session(id, liveMs);
    this.#sessions.set(id, session);
    this.#append(session);
    return session;
  }

  /** A frame came; true when the session was suspect until now. */
  hear(session: Session, liveMs: number): boolean {
    if (!session.isOpen) return false;
    session.heardMs = liveMs;
    session.markedMs = undefined;
    if (session !== this.#newest) {
      this.#unlink(session);
      this.#append(session);
    }
    const wasSuspect = session.isSuspect;
    session.isSuspect = false;
    return wasSuspect;
  }

  hold(session: Session, place: Place): void {
    if (place.session === session) return;
    if (place.session !== undefined) this.release(place);
    if (session.places.size === 0) this.#holding++;
    session.places.add(place);
    place.session = session;
  }

  release(place: Place): void {
    const { session } = place;
    if (session === undefined) return;
    place.session = undefined;
    session.places.delete(place);
    if (session.places.size === 0) this.#holding--;
  }

  /** Marks a session suspect; false when it was. Counts for the mass rule. */
  lose(session: Session, liveMs: number): boolean {
    if (session.isSuspect) return false;
    session.isSuspect = true;
    if (session.places.size === 0) return true;
    if (this.#lostMs.length > 0 && this.#lostMs[0]! <= liveMs - massMs) {
      this.#lostMs = this.#lostMs.filter((ms) => ms > liveMs - massMs);
    }
    this.#lostMs.push(liveMs);
    const lost = this.#lostMs.length;
    if (lost >= massMin && lost > massPart * this.#holding) this.#holdUntilMs = liveMs + massHoldMs;
    return true;
  }

  /** Open sessions that have been silent for too long and aren't suspect yet. */
  silent(liveMs: number): Session[] {
    const found: Session[] = [];
    for (let at = this.#oldest; at !== undefined && liveMs - at.heardMs >= suspectMs; at = at.newer) {
      if (!at.isSuspect) found.push(at);
    }
    return found;
  }

  /**
   * Marks whose time is nearly up, and gives those whose time is up. `resumedMs`: what came before this may still wait
   * to be read, so a session is only ended when it was silent for a beat since.
   */
  expired(liveMs: number, resumedMs: number): Session[] {
    const found: Session[] = [];
    const isHeld = liveMs < this.#holdUntilMs;
    for (let at = this.#oldest; at !== undefined; at = at.newer) {
      const silentMs = liveMs - at.heardMs;
      if (silentMs < removalMs - beatMs) break;
      at.markedMs ??= liveMs;
      const watchedMs = liveMs - Math.max(at.markedMs, resumedMs);
      if (silentMs >= removalMs && watchedMs >= beatMs && !isHeld) found.push(at);
    }
    return found;
  }

  /** Forgets a session; what it holds must have been released. */
  remove(session: Session): void {
    if (this.#sessions.get(session.id) !== session) return;
    this.#sessions.delete(session.id);
    this.#unlink(session);
  }

  /** A session without instances and without anything to tell needs no memory. */
  removeIfIdle(session: Session): void {
    if (session.places.size === 0 && session.superseded.size === 0) this.remove(session);
  }

  #append(session: Session): void {
    session.older = this.#newest;
    session.newer = undefined;
    if (this.#newest === undefined) this.#oldest = session;
    else this.#newest.newer = session;
    this.#newest = session;
  }

  #unlink(session: Session): void {
    const { older, newer } = session;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
  }
}
