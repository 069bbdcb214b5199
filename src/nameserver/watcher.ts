import type { taskd } from '../wire/generated/messages.js';
import type { ChangeJournal } from './change-journal.js';
import type { OwnerPosition } from './core/view-state.js';
import type { InstanceClaim } from './instance.js';
import type { Selector } from './selector.js';

/** What somebody wants to hear of. */
export interface WatchTarget {
  readonly namespace: string;
  readonly group: string;
  /** Empty: all services of the group. */
  readonly service: string;
  /** Undefined: all instances. */
  readonly selector: Selector | undefined;
  /** What the client has seen, of whichever name server; empty: nothing. */
  readonly known: readonly OwnerPosition[];
}

/** Where a watcher's events go. False: not now; then nothing is pushed before `WatchSet.resume`. */
export type PushEvent = (event: taskd.WatchEvent.$Properties) => boolean;

/** How long a list waits until it covers what the client has seen. */
export const behindMs = 500;
/** After so long the client's vector is taken for outdated, if the registry is complete otherwise. */
const behindEndMs = 30_000;
const changesMaxBase = 1_024;

/**
 * One watcher, and what is remembered for it: names and where it reads on, never states.
 *
 *   WAITING ──what the client has seen is covered, or 500 ms──▶ LISTING ──whole list sent──▶ LIVE
 *   LIVE, LISTING ──too many changes wait, or a surer list can be had──▶ LISTING
 */
export class Watcher {
  readonly target: WatchTarget;
  readonly push: PushEvent;
  /** Places still to send of the whole list, from the end; undefined when live or waiting. */
  listing: string[] | undefined;
  isListStarted = false;
  /** What changed of what it watches, and where it reads on. */
  readonly journal: ChangeJournal;
  position = 0;
  /** A refused push: nothing is tried before `resume`. */
  isStuck = false;
  /** The state is to be told, even if nothing else is. */
  isStateDue = false;
  /** The last whole list didn't show what is gone; a sure one follows once it can. */
  isUnsure = false;
  /** With a selector: what the client has. */
  readonly #told: Set<string> | undefined;
  #known: readonly OwnerPosition[];
  #isBehind = false;
  #isWaiting: boolean;
  readonly #beganMs: number;
  #listedCount = 0;

  constructor(target: WatchTarget, journal: ChangeJournal, push: PushEvent, nowMs: number) {
    this.target = target;
    this.journal = journal;
    this.push = push;
    this.#told = target.selector === undefined ? undefined : new Set();
    this.#known = target.known;
    this.#isWaiting = target.known.length > 0;
    this.#beganMs = nowMs;
  }

  get isWide(): boolean {
    return this.target.service === '';
  }

  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  /** What it gets doesn't cover what the client has seen. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  get hasWork(): boolean {
    return !this.#isWaiting && (this.listing !== undefined || this.changes > 0 || this.isStateDue);
  }

  /** Changes that it was not told of. */
  get changes(): number {
    return this.journal.end - this.position;
  }

  /** So many wait that the whole list is cheaper. */
  get isLapped(): boolean {
    return !this.#isWaiting && this.changes > changesMaxBase + this.#listedCount;
  }

  /** Names kept for it. */
  get nameCount(): number {
    return this.changes + (this.listing?.length ?? 0) + (this.#told?.size ?? 0);
  }

  /**
   * Looks whether the client's vector still matters. True when a list is due now: the first one, or one that ends
   * being behind.
   */
  catchUp(nowMs: number, covers: (known: readonly OwnerPosition[]) => boolean, isComplete: boolean): boolean {
    if (!this.#isWaiting && !this.#isBehind) return false;
    const isOver = this.#isBehind && isComplete && nowMs - this.#beganMs >= behindEndMs;
    if (isOver || covers(this.#known)) {
      this.#known = [];
      this.#isWaiting = false;
      this.#isBehind = false;
      return true;
    }
    if (!this.#isWaiting || nowMs - this.#beganMs < behindMs) return false;
    this.#isWaiting = false;
    this.#isBehind = true;
    return true;
  }

  /** Begins the whole list of these places. */
  list(places: string[]): void {
    this.listing = places;
    this.isListStarted = false;
    this.isUnsure = false;
    this.#listedCount = places.length;
    this.position = this.journal.end;
    this.#told?.clear();
  }

  /** Whether the client shall have this instance, and whether it must be told that it is not there. */
  judge(place: string, claim: InstanceClaim | undefined): 'show' | 'remove' | 'skip' {
    const { selector } = this.target;
    const told = this.#told;
    if (selector === undefined || told === undefined) return claim === undefined ? 'remove' : 'show';
    if (claim !== undefined && selector.matches(claim)) return 'show';
    return told.has(place) ? 'remove' : 'skip';
  }

  /** The client has been told of this place. */
  told(place: string, isShown: boolean): void {
    if (isShown) this.#told?.add(place);
    else this.#told?.delete(place);
  }
}
