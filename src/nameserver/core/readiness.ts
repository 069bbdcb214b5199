import type { LiveTime } from './live-time.js';
import type { LogTable } from './log-table.js';
import { goneMs, hideMs, type Owners } from './owners.js';
import { removalMs } from './sessions.js';
import type { OwnerPosition } from './view-state.js';

/** After a start without any state, an absence isn't to be believed for so long. */
export const coldMs: number = 2 * removalMs;
/** Nobody who is ready was found within this time: we are ready all the same. */
export const gateMs = 10_000;

/**
 * Whether this node serves, and whether an absence in its answers proves anything.
 *
 *   STARTING ──incarnation stored──▶ NOT_READY ──gate──▶ READY ──clean stop──▶ LEAVING
 *
 * The gate: caught up with a peer that is ready; or with all configured peers, none of them ready; or 10 s went by. What
 * was said before the gate shut says nothing about now: only digests count that were made after it.
 * In the last two cases the node is cold. Whoever takes its readiness from a cold peer takes what is left of its cold
 * time along. A node that was alone, or cut off from most, is incomplete until it has passed the gate again.
 */
export class Readiness {
  readonly #time: LiveTime;
  readonly #logs: LogTable;
  readonly #owners: Owners;
  /** A node of two that goes on without the other one. */
  readonly #isLoneExpiry: boolean;
  #status: 'starting' | 'notReady' | 'ready' | 'leaving' = 'starting';
  /** No other node is in reach, and this one serves. */
  isFrozen = false;
  /** No other node is in reach, whether this one serves or not: what others own isn't judged. */
  expiresNothing = false;
  /** Most of the nodes are not in reach both ways. */
  #isMinority = false;
  /** Since when this node has been ready, and most of the nodes in reach. */
  #majoritySinceMs = 0;
  #isShut = false;
  #shutMs = 0;
  #coldUntilMs = Number.POSITIVE_INFINITY;

  constructor(time: LiveTime, logs: LogTable, owners: Owners, isLoneExpiry: boolean) {
    this.#time = time;
    this.#logs = logs;
    this.#owners = owners;
    this.#isLoneExpiry = isLoneExpiry;
  }

  get isStarted(): boolean {
    return this.#status !== 'starting';
  }

  get isReady(): boolean {
    return this.#status === 'ready';
  }

  get isLeaving(): boolean {
    return this.#status === 'leaving';
  }

  /** Others may take their readiness from us. */
  get isSource(): boolean {
    return this.#status === 'ready' && !this.#isShut;
  }

  get isCold(): boolean {
    return this.#time.nowMs < this.#coldUntilMs;
  }

  get coldLeftMs(): number {
    return Number.isFinite(this.#coldUntilMs) ? Math.max(0, this.#coldUntilMs - this.#time.nowMs) : 0;
  }

  /** Clients do better elsewhere. */
  get isCutOff(): boolean {
    return this.isFrozen || this.#minority;
  }

  /** An absence can be believed. */
  get isComplete(): boolean {
    if (!this.isSource || this.isCutOff || this.isCold || this.#owners.isAnySuspect) return false;
    // The clients of an owner that is hidden need time to find their way to this side.
    return !this.#owners.isAnyHidden || this.#time.nowMs - this.#majoritySinceMs >= hideMs;
  }

  /** The incarnation is stored. */
  begin(): void {
    this.#status = 'notReady';
    this.#shut();
    this.look();
  }

  /** This node stood still: what it has may be old. */
  wake(): void {
    this.#shut();
  }

  /** The gate is shut: digests are to be asked for. */
  get isAsking(): boolean {
    return this.#isShut;
  }

  leave(): void {
    this.#status = 'leaving';
  }

  /** Looks at who is in reach, and at the gate. */
  sweep(): void {
    const isFrozen = this.#owners.isAlone && !this.#isLoneExpiry;
    this.expiresNothing = isFrozen;
    if (this.#status === 'ready') {
      const isMinority = this.#minority;
      if (isFrozen !== this.isFrozen || isMinority !== this.#isMinority) this.#shut();
      if (this.#isMinority && !isMinority) this.#majoritySinceMs = this.#time.nowMs;
      this.isFrozen = isFrozen;
      this.#isMinority = isMinority;
    }
    this.look();
  }

  /** Passes the gate if it can. */
  look(): void {
    if (!this.#isShut || this.#status === 'starting') return;
    if (this.#status === 'ready' && (this.isFrozen || this.#isMinority)) return;
    let isAnyReady = false;
    let caughtUp = 0;
    for (const { readiness } of this.#owners.all()) {
      if (readiness === undefined || !this.#isAnswer(readiness.madeAfterMs)) continue;
      const hasAll = this.#hasAllOf(readiness.positions);
      if (readiness.isReady && hasAll) {
        this.#open(readiness.coldLeftMs);
        return;
      }
      if (readiness.atMs < this.#time.nowMs - goneMs) continue;
      isAnyReady ||= readiness.isReady;
      if (hasAll) caughtUp++;
    }
    const isNobodyReady = !isAnyReady && caughtUp >= this.#owners.configured;
    if (isNobodyReady || this.#time.nowMs - this.#shutMs >= gateMs) this.#open(coldMs);
  }

  get #minority(): boolean {
    return this.#owners.isMinority && !this.#isLoneExpiry;
  }

  #hasAllOf(positions: readonly OwnerPosition[]): boolean {
    return positions.every(({ owner, incarnation, sequence }) => {
      const log = this.#logs.get(owner);
      const isStale = incarnation === 0 || incarnation < (this.#owners.get(owner)?.floor ?? 0);
      return isStale || log === this.#logs.own || log?.covers(incarnation, sequence) === true;
    });
  }

  /** Made after the gate shut; stamps are whole milliseconds. */
  #isAnswer(madeAfterMs: number): boolean {
    return madeAfterMs >= Math.floor(this.#shutMs);
  }

  #shut(): void {
    this.#isShut = true;
    this.#shutMs = this.#time.nowMs;
  }

  #open(coldLeftMs: number): void {
    this.#isShut = false;
    if (this.#status !== 'notReady') return;
    this.#status = 'ready';
    this.#majoritySinceMs = this.#time.nowMs;
    this.#coldUntilMs = this.#time.nowMs + coldLeftMs;
  }
}
