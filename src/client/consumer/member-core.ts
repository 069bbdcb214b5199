/**
 * A member's half of the group protocol, without a clock, a socket or a promise.
 *
 * The session:
 * ```
 *   OUT ── join ──► JOINING ── first push ──► IN ── stream over ──► OUT (comes back with its epoch and what it holds)
 *    ▲                 │                       │
 *    └── fenced or unknown: all that it holds is lost, epoch 0 ──┘        close ──► CLOSED, from anywhere
 * ```
 * A partition that it holds:
 * ```
 *   (none) ── assigned ──► HELD ── not assigned any more, or closing ──► RELEASING ── released ──► (none), and a beat
 *                            └────────── fenced, lost ──────────────────────┴────────────────────► (none)
 * ```
 * The rules, each of which keeps a partition from two members at once:
 * - a partition stands in `owned` of every beat from the moment it was assigned until it was released: until nothing of
 *   it runs, and what was done of it is committed;
 * - nothing new may start while the session is in doubt: one session timeout after the member sent the last join or beat
 *   that the coordinator says it has heard, others may have what it holds (a cut, a network that loses all, a process
 *   that stood still). It joins anew and goes on when a push has come. The coordinator counts from when it heard, which
 *   is later; clocks that run at different speeds have a fiftieth of the time for that. The same holds half a second
 *   after the stream was lost: whoever seems to have closed its connection is put out after one second;
 * - a push counts only with an epoch that is not lower than the last one's.
 */
import { assert } from '../../base/errors.js';
import { placeOf } from '../../base/place.js';

export interface GroupPartition {
  readonly topicId: number;
  readonly partition: number;
}

/** A partition that this member holds; the driver hangs its own things on the same object. */
export class Holding<W> implements GroupPartition {
  readonly topicId: number;
  readonly partition: number;
  isReleasing = false;
  isGone = false;
  /** What is done with it; the driver's. */
  work: W | undefined;

  constructor({ topicId, partition }: GroupPartition) {
    this.topicId = topicId;
    this.partition = partition;
  }
}

/** What the driver must do, in this order. */
export type MemberEffect<W> =
  /** Opens a stream; one that stands is over. */
  | { readonly kind: 'join'; readonly epoch: number; readonly owned: readonly GroupPartition[] }
  /** Stops work on these at once: others may have them. */
  | { readonly kind: 'lose'; readonly holdings: readonly Holding<W>[] }
  /** Lets these end, commits, and says `released`. */
  | { readonly kind: 'release'; readonly holdings: readonly Holding<W>[] }
  /** Begins to work on these. */
  | { readonly kind: 'take'; readonly holdings: readonly Holding<W>[] }
  | {
      readonly kind: 'beat';
      readonly epoch: number;
      readonly owned: readonly GroupPartition[];
      readonly number: number;
    };

export interface MemberPush {
  readonly epoch: number;
  readonly assigned: readonly GroupPartition[];
  readonly heartbeatMs: number;
  readonly sessionTimeoutMs: number;
  /** The highest number of a beat that the coordinator has heard. */
  readonly heard: number;
}

interface SentBeat {
  readonly number: number;
  readonly sentMs: number;
}

const heartbeatMsDefault = 1_000;
const heartbeatMsMin = 50;
/** The part of a session that is left unused: clocks differ by less. */
const clockMargin = 0.02;
/**
 * Without a stream for so long nothing new may start. The coordinator waits for twice that, as it may have noticed
 * earlier that the connection is over.
 */
const strandedMs = 500;
/** Beats that may be waited for; the oldest are forgotten, which only makes the member more careful. */
const unheardMax = 64;

export class MemberCore<W> {
  #sessionTimeoutMs: number;
  readonly #holdings = new Map<number, Holding<W>>();
  #state: 'out' | 'joining' | 'in' | 'closed' = 'out';
  #epoch = 0;
  /** The latest assignment, by `placeOf`. */
  #assigned = new Map<number, GroupPartition>();
  #heartbeatMs = heartbeatMsDefault;
  /** When it sent the latest join or beat that it knows was heard. */
  #heardMs = Number.NEGATIVE_INFINITY;
  /** When the last stream was lost; endless while there is one. */
  #lostMs = Number.POSITIVE_INFINITY;
  /** When the stream was opened whose first push is waited for. */
  #openedMs = Number.NEGATIVE_INFINITY;
  #beatNumber = 0;
  #beatMs = 0;
  /** By number; none of them is known to be heard. */
  #unheard: SentBeat[] = [];
  #beatDueMs = Number.POSITIVE_INFINITY;
  #mustBeat = false;
  #isClosing = false;
  #effects: MemberEffect<W>[] = [];

  constructor(sessionTimeoutMs: number) {
    this.#sessionTimeoutMs = sessionTimeoutMs;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get isIn(): boolean {
    return this.#state === 'in';
  }

  get holdings(): IterableIterator<Holding<W>> {
    return this.#holdings.values();
  }

  get heldCount(): number {
    return this.#holdings.size;
  }

  holding(topicId: number, partition: number): Holding<W> | undefined {
    return this.#holdings.get(placeOf(topicId, partition));
  }

  /** True while nobody else can have what this member holds, as far as it can know. */
  mayStart(nowMs: number): boolean {
    if (nowMs > this.#lostMs + strandedMs) return false;
    return nowMs <= this.#heardMs + this.#sessionTimeoutMs * (1 - clockMargin);
  }

  /** Effects since the last call. */
  take(): MemberEffect<W>[] {
    const effects = this.#effects;
    if (this.#mustBeat && this.#state === 'in') {
      this.#unheard.push({ number: ++this.#beatNumber, sentMs: this.#beatMs });
      if (this.#unheard.length > unheardMax) this.#unheard.shift();
      effects.push({ kind: 'beat', epoch: this.#epoch, owned: this.#owned(), number: this.#beatNumber });
    }
    this.#mustBeat = false;
    this.#effects = [];
    return effects;
  }

  /** Joins, for the first time or again. */
  join(): void {
    if (this.#state === 'closed' || (this.#isClosing && this.#holdings.size === 0)) return;
    this.#state = 'joining';
    this.#beatDueMs = Number.POSITIVE_INFINITY;
    this.#effects.push({ kind: 'join', epoch: this.#epoch, owned: this.#owned() });
  }

  /** The stream that `join` wants is being opened. */
  opened(nowMs: number): void {
    this.#openedMs = nowMs;
  }

  /** On the current stream the coordinator says which beats it has heard. */
  heard(number: number): void {
    if (this.#state !== 'in') return;
    while (this.#unheard.length > 0 && this.#unheard[0]!.number <= number) {
      this.#heardMs = Math.max(this.#heardMs, this.#unheard.shift()!.sentMs);
    }
  }

  /** A push came on the current stream. */
  pushed(push: MemberPush, nowMs: number): void {
    if (this.#state !== 'joining' && this.#state !== 'in') return;
    if (push.epoch < this.#epoch) return;
    if (this.#state === 'joining') this.#heardMs = Math.max(this.#heardMs, this.#openedMs);
    this.#state = 'in';
    this.#lostMs = Number.POSITIVE_INFINITY;
    this.heard(push.heard);
    this.#epoch = push.epoch;
    if (push.sessionTimeoutMs > 0) this.#sessionTimeoutMs = push.sessionTimeoutMs;
    if (push.heartbeatMs > 0) this.#heartbeatMs = Math.max(heartbeatMsMin, push.heartbeatMs);
    this.#assigned = new Map(push.assigned.map((each) => [placeOf(each.topicId, each.partition), each]));
    const releasing: Holding<W>[] = [];
    for (const [key, holding] of this.#holdings) {
      if (holding.isReleasing || this.#assigned.has(key)) continue;
      holding.isReleasing = true;
      releasing.push(holding);
    }
    if (releasing.length > 0) this.#effects.push({ kind: 'release', holdings: releasing });
    this.#takeAssigned();
    this.#beatNow(nowMs);
  }

  /** The driver is done with a partition that was to be released: nothing of it runs, its progress is committed. */
  released(holding: Holding<W>, nowMs: number): void {
    if (holding.isGone) return;
    assert(holding.isReleasing, 'only what is being released can be released');
    this.#forget(holding);
    // It may have come back to this member meanwhile.
    this.#takeAssigned();
    this.#beatNow(nowMs);
  }

  /** The coordinator says that this partition is not this member's. */
  refused(holding: Holding<W>, nowMs: number): void {
    if (holding.isGone) return;
    this.#forget(holding);
    this.#effects.push({ kind: 'lose', holdings: [holding] });
    this.#beatNow(nowMs);
  }

  /** The stream is over; it is to be opened again with `join`. */
  cut(nowMs: number): void {
    if (this.#state === 'closed') return;
    this.#lostMs = Math.min(this.#lostMs, nowMs);
    this.#state = 'out';
    this.#beatDueMs = Number.POSITIVE_INFINITY;
  }

  /** The coordinator doesn't know this member, or has fenced it: all that it holds is others'. `join` comes next. */
  fenced(nowMs: number): void {
    if (this.#state === 'closed') return;
    this.cut(nowMs);
    this.#epoch = 0;
    this.#assigned = new Map();
    this.#heardMs = Number.NEGATIVE_INFINITY;
    this.#unheard = [];
    const lost = [...this.#holdings.values()];
    for (const holding of lost) this.#forget(holding);
    if (lost.length > 0) this.#effects.push({ kind: 'lose', holdings: lost });
  }

  /** Time went by: beats, and finds out about a pause. Call it every heartbeat, or so. */
  tick(nowMs: number): void {
    if (nowMs >= this.#beatDueMs) this.#beatNow(nowMs);
  }

  /** When `tick` is to be called. */
  get dueMs(): number {
    return this.#beatDueMs;
  }

  /** All that it holds is to be released; nothing new is taken. */
  releaseAll(): void {
    this.#isClosing = true;
    this.#assigned = new Map();
    const releasing = [...this.#holdings.values()].filter(({ isReleasing }) => !isReleasing);
    for (const holding of releasing) holding.isReleasing = true;
    if (releasing.length > 0) this.#effects.push({ kind: 'release', holdings: releasing });
  }

  close(): void {
    this.#state = 'closed';
  }

  #takeAssigned(): void {
    if (this.#isClosing) return;
    const taken: Holding<W>[] = [];
    for (const [key, place] of this.#assigned) {
      if (this.#holdings.has(key)) continue;
      const holding = new Holding<W>(place);
      this.#holdings.set(key, holding);
      taken.push(holding);
    }
    if (taken.length > 0) this.#effects.push({ kind: 'take', holdings: taken });
  }

  /** After a pause of the process it is too late for a beat: what it holds may be others' by now. */
  #beatNow(nowMs: number): void {
    if (this.#state !== 'in') return;
    if (!this.mayStart(nowMs)) {
      this.join();
      return;
    }
    this.#beatMs = nowMs;
    this.#beatDueMs = nowMs + this.#heartbeatMs;
    this.#mustBeat = true;
  }

  #forget(holding: Holding<W>): void {
    holding.isGone = true;
    this.#holdings.delete(placeOf(holding.topicId, holding.partition));
  }

  #owned(): GroupPartition[] {
    return [...this.#holdings.values()].map(({ topicId, partition }) => ({ topicId, partition }));
  }
}
