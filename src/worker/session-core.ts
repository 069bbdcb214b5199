/**
 * What a worker may start, must return and still has to report: the worker's half of the lease protocol, without a
 * clock, a socket or a promise.
 *
 * A lease (named by its token) lives here as
 * ```
 *            offer                next               finish                  acknowledged
 *   (none) ────────► QUEUED ────────────► RUNNING ────────────► UNREPORTED ────────────► (forgotten)
 *                      │  └─ cancel ─► UNREPORTED (cancelled)
 *                      └─ not kept by the claim's answer, or drain ─► (forgotten)
 * ```
 * and a session as
 * ```
 *   CLOSED ── opened ──► OPEN ── claimed ──► CLAIMED ── closed ──► CLOSED
 * ```
 * The rules, each of which prevents a double start or a lost report:
 * - a session is valid until the *send* time of its last answered ping + 6 s on this process's monotonic clock; the
 *   owner lets a lease expire no earlier than 10 s after it answered, so nothing starts under an expired lease;
 * - a dispatch that is read later than that, or that names a lower epoch, is returned and never started;
 * - a repeat is known by its token and dropped; a token that runs or is unreported is never returned;
 * - what came on an older session starts only after the owner has kept it in the answer to this session's claim;
 * - a report is kept until it is known to be on disk, repeated on the next session, and handed out for an append by the
 *   worker itself when no acknowledgement came within a second;
 * - a token is forgotten when its report is acknowledged; the claim's offset tells the next owner how far to read first.
 */

/** From the send time of an answered ping until the session may start nothing more. */
export const sessionValidMs = 6_000;
/** A session without an answered ping for so long is given up. */
export const sessionSilentMs = 4_000;
/** A report without an acknowledgement for so long is appended by the worker itself. */
export const reportOwnMs = 1_000;
/** Time between the beats through the log, and how long the owner must be silent before the first. */
export const aliveMs = 3_000;
/** With so many reports unacknowledged nothing more is started. */
export const unreportedMax = 16_384;

export const LeasePhase = { QUEUED: 0, RUNNING: 1, UNREPORTED: 2, FORGOTTEN: 3 } as const;
export type LeasePhase = (typeof LeasePhase)[keyof typeof LeasePhase];

/** One lease as the core sees it; the driver hangs its own things on the same object. Fields are the core's to write. */
export class HeldLease {
  readonly run: number;
  readonly token: number;
  phase: LeasePhase = LeasePhase.QUEUED;
  /** When its report was made, monotonic. */
  finishedMs = 0;
  /** The worker's own append of its report is under way. */
  isAppending = false;

  constructor(run: number, token: number) {
    this.run = run;
    this.token = token;
  }
}

export interface ClaimLists {
  readonly running: readonly number[];
  readonly unreported: readonly number[];
  readonly acknowledgedOffset: number | undefined;
}

/** `start`: it was queued. `repeat`: known already, drop it. `return`: must not start here, tell the owner. */
export type Offer = 'start' | 'repeat' | 'return';

export class SessionCore<L extends HeldLease> {
  readonly #slots: number;
  readonly #leases = new Map<number, L>();
  #queue: L[] = [];
  #queueHead = 0;
  /** Reports in the order in which they were made, some acknowledged already. */
  #finished: L[] = [];
  #finishedHead = 0;
  #outbox: L[] = [];
  #runningCount = 0;
  #unreportedCount = 0;
  #queuedCount = 0;
  #acknowledgedOffset: number | undefined;
  #epochMax = -1;
  #isOpen = false;
  #isClaimed = false;
  #claimed: L[] = [];
  #openedMs = 0;
  #answeredSentMs = Number.NEGATIVE_INFINITY;
  #ownerHeardMs: number;
  #aliveSentMs = Number.NEGATIVE_INFINITY;
  #isDraining = false;

  constructor(slots: number, nowMs: number) {
    this.#slots = slots;
    this.#ownerHeardMs = nowMs;
  }

  get runningCount(): number {
    return this.#runningCount;
  }

  get queuedCount(): number {
    return this.#queuedCount;
  }

  get unreportedCount(): number {
    return this.#unreportedCount;
  }

  get acknowledgedOffset(): number | undefined {
    return this.#acknowledgedOffset;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** True when nothing runs, waits or is unreported. */
  get isIdle(): boolean {
    return this.#leases.size === 0;
  }

  lease(token: number): L | undefined {
    return this.#leases.get(token);
  }

  /**
   * A new connection to the owner stands; the one before is over. Returns what its claim must say, complete. All
   * unacknowledged reports are to be sent again.
   */
  opened(nowMs: number): ClaimLists {
    this.#isOpen = true;
    this.#isClaimed = false;
    this.#openedMs = nowMs;
    this.#answeredSentMs = Number.NEGATIVE_INFINITY;
    this.#claimed = [];
    this.#outbox = [];
    const running: number[] = [];
    const unreported: number[] = [];
    for (const lease of this.#leases.values()) {
      if (lease.phase === LeasePhase.UNREPORTED) {
        unreported.push(lease.token);
        this.#outbox.push(lease);
      } else {
        running.push(lease.token);
        this.#claimed.push(lease);
      }
    }
    return { running, unreported, acknowledgedOffset: this.#acknowledgedOffset };
  }

  closed(): void {
    this.#isOpen = false;
    this.#isClaimed = false;
    this.#answeredSentMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * The owner answered the claim of this session. Returns the claimed leases that are no longer ours: those that run
   * must be told to stop; those that waited are forgotten already.
   */
  claimed(epoch: number, kept: readonly number[]): L[] {
    if (!this.#isOpen || this.#isClaimed) return [];
    this.#isClaimed = true;
    if (epoch > this.#epochMax) this.#epochMax = epoch;
    const keep = new Set(kept);
    const gone: L[] = [];
    for (const lease of this.#claimed) {
      if (keep.has(lease.token)) continue;
      if (lease.phase === LeasePhase.QUEUED) this.#forgetQueued(lease);
      else if (lease.phase === LeasePhase.RUNNING) gone.push(lease);
    }
    this.#claimed = [];
    return gone;
  }

  /** The ping of this session that left at `sentMs` was answered. */
  pingAnswered(sentMs: number, nowMs: number): void {
    if (!this.#isOpen) return;
    if (sentMs > this.#answeredSentMs) this.#answeredSentMs = sentMs;
    this.#ownerHeardMs = nowMs;
  }

  /** Whether this session may still start something. */
  isValid(nowMs: number): boolean {
    return this.#isOpen && nowMs <= this.#answeredSentMs + sessionValidMs;
  }

  /** Whether the session has been silent for so long that another one should be tried. */
  isSilent(nowMs: number): boolean {
    return this.#isOpen && nowMs - Math.max(this.#openedMs, this.#answeredSentMs) > sessionSilentMs;
  }

  /** A dispatch came on the current session. `lease` is kept only when the answer is `start`. */
  offer(lease: L, epoch: number, nowMs: number): Offer {
    if (this.#leases.has(lease.token)) return 'repeat';
    if (this.#isDraining || epoch < this.#epochMax || !this.isValid(nowMs)) return 'return';
    this.#epochMax = epoch;
    this.#leases.set(lease.token, lease);
    this.#queue.push(lease);
    this.#queuedCount++;
    return 'start';
  }

  /** The next lease to start now, or undefined when there is none, no slot, or no right to start. */
  next(nowMs: number): L | undefined {
    if (
      this.#runningCount >= this.#slots ||
      this.#unreportedCount >= unreportedMax ||
      !this.#isClaimed ||
      !this.isValid(nowMs)
    ) {
      return undefined;
    }
    while (this.#queueHead < this.#queue.length) {
      const lease = this.#queue[this.#queueHead++]!;
      if (this.#queueHead > 1_024 && this.#queueHead * 2 > this.#queue.length) {
        this.#queue = this.#queue.slice(this.#queueHead);
        this.#queueHead = 0;
      }
      if (lease.phase !== LeasePhase.QUEUED) continue;
      lease.phase = LeasePhase.RUNNING;
      this.#queuedCount--;
      this.#runningCount++;
      return lease;
    }
    return undefined;
  }

  /** The attempt is over, or a lease that still waits was cancelled; its report is due. False when it was over before. */
  finish(lease: L, nowMs: number): boolean {
    if (lease.phase === LeasePhase.RUNNING) this.#runningCount--;
    else if (lease.phase === LeasePhase.QUEUED) this.#queuedCount--;
    else return false;
    lease.phase = LeasePhase.UNREPORTED;
    lease.finishedMs = nowMs;
    this.#unreportedCount++;
    this.#finished.push(lease);
    if (this.#isOpen) this.#outbox.push(lease);
    return true;
  }

  /** At most `max` leases whose reports are to be sent on the session now. */
  takeReports(max: number): L[] {
    if (!this.#isOpen || this.#outbox.length === 0) return [];
    if (this.#outbox.length > max) return this.#outbox.splice(0, max);
    const taken = this.#outbox;
    this.#outbox = [];
    return taken;
  }

  /** At most `max` leases whose reports have waited too long: the worker appends them to the log itself. */
  takeOverdue(nowMs: number, max: number): L[] {
    const taken: L[] = [];
    for (let i = this.#finishedHead; i < this.#finished.length && taken.length < max; i++) {
      const lease = this.#finished[i]!;
      if (lease.phase === LeasePhase.FORGOTTEN) {
        if (i === this.#finishedHead) this.#finishedHead++;
        continue;
      }
      if (lease.finishedMs + reportOwnMs > nowMs) break;
      if (lease.isAppending) continue;
      lease.isAppending = true;
      taken.push(lease);
    }
    if (this.#finishedHead > 1_024 && this.#finishedHead * 2 > this.#finished.length) {
      this.#finished = this.#finished.slice(this.#finishedHead);
      this.#finishedHead = 0;
    }
    return taken;
  }

  /** The worker's own append of these failed for certain or for now: they will be handed out again. */
  appendFailed(leases: readonly L[]): void {
    for (const lease of leases) lease.isAppending = false;
  }

  /** The reports of these tokens are on disk, the last of them at `offset`. */
  acknowledged(tokens: readonly number[], offset: number): void {
    for (const token of tokens) {
      const lease = this.#leases.get(token);
      if (lease === undefined || lease.phase !== LeasePhase.UNREPORTED) continue;
      lease.phase = LeasePhase.FORGOTTEN;
      this.#leases.delete(token);
      this.#unreportedCount--;
    }
    if (this.#acknowledgedOffset === undefined || offset > this.#acknowledgedOffset) this.#acknowledgedOffset = offset;
    if (this.#unreportedCount === 0) {
      this.#finished = [];
      this.#finishedHead = 0;
    }
  }

  /** What a beat through the log must list, when one is due; the next comes after another `aliveMs`. */
  takeAlive(nowMs: number): number[] | undefined {
    if (nowMs - this.#ownerHeardMs < aliveMs || nowMs - this.#aliveSentMs < aliveMs) return undefined;
    const running: number[] = [];
    for (const lease of this.#leases.values()) if (lease.phase !== LeasePhase.UNREPORTED) running.push(lease.token);
    if (running.length === 0) return undefined;
    this.#aliveSentMs = nowMs;
    return running;
  }

  /** Nothing more is accepted. Returns the leases that had not started; they are forgotten and may be returned. */
  drain(): L[] {
    this.#isDraining = true;
    const waiting: L[] = [];
    for (const lease of this.#leases.values()) if (lease.phase === LeasePhase.QUEUED) waiting.push(lease);
    for (const lease of waiting) this.#forgetQueued(lease);
    return waiting;
  }

  *held(): IterableIterator<L> {
    yield* this.#leases.values();
  }

  #forgetQueued(lease: L): void {
    lease.phase = LeasePhase.FORGOTTEN;
    this.#leases.delete(lease.token);
    this.#queuedCount--;
  }
}
