/** What became of a `send`. */
const Outcome = { OPEN: 0, STORED: 1, UNKNOWN: 2, REFUSED: 3 } as const;
const Cancel = { ASKED: 1, PROMISED: 2 } as const;

/** A record that was sent with less than this to wait, or came by more than this late, may be overtaken. */
const orderedLeadMs = 500;
const orderedLateMs = 20;

/** Where a record was read. */
export type Place = 'target' | 'dead letters';

export interface SentRecord {
  readonly id: number;
  readonly dueMs: number;
  readonly sentMs: number;
  /** Its target is to be deleted. */
  readonly isDoomed: boolean;
}

/**
 * The checker of the delayed world: each stored record is delivered once, never early, never when its cancel was
 * promised, and in the order of due times within a partition unless it came late itself. Arrays, so that a million
 * records weigh little beside the broker under test.
 */
export class DelayedRecords {
  readonly #fail: (error: Error) => void;
  readonly #due: Float64Array;
  readonly #sent: Float64Array;
  readonly #stored: Float64Array;
  readonly #outcome: Uint8Array;
  readonly #delivered: Uint8Array;
  readonly #cancelled: Uint8Array;
  readonly #doomed: Uint8Array;
  /** So late a record may come while the broker runs, for whatever reason. */
  allowedLateMs = 3_000;
  /** When the broker's life began. */
  startedMs = 0;
  /** When the doomed topic was deleted, at the earliest and at the latest. */
  deletedFromMs: number = Number.POSITIVE_INFINITY;
  deletedToMs: number = Number.POSITIVE_INFINITY;
  stored = 0;
  unknown = 0;
  refused = 0;
  delivered = 0;
  cancelled = 0;
  deadLetters = 0;
  overtaken = 0;
  lateMsMax = 0;

  constructor(count: number, fail: (error: Error) => void) {
    this.#fail = fail;
    this.#due = new Float64Array(count);
    this.#sent = new Float64Array(count);
    this.#stored = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
    this.#outcome = new Uint8Array(count);
    this.#delivered = new Uint8Array(count);
    this.#cancelled = new Uint8Array(count);
    this.#doomed = new Uint8Array(count);
  }

  sending({ id, dueMs, sentMs, isDoomed }: SentRecord): void {
    this.#due[id] = dueMs;
    this.#sent[id] = sentMs;
    this.#doomed[id] = isDoomed ? 1 : 0;
  }

  wasStored(id: number, appendMs: number): void {
    this.#stored[id] = appendMs;
    this.#outcome[id] = Outcome.STORED;
    this.stored++;
  }

  wasNotStored(id: number, isUnknown: boolean): void {
    this.#outcome[id] = isUnknown ? Outcome.UNKNOWN : Outcome.REFUSED;
    if (isUnknown) this.unknown++;
    else this.refused++;
  }

  dueOf(id: number): number {
    return this.#due[id]!;
  }

  /**
   * From now on it may be missing: the answer to a cancel that has struck may be lost, and the next attempt, after the
   * time, is told that there is nothing to cancel.
   */
  cancelling(id: number): void {
    this.#cancelled[id] = Cancel.ASKED;
  }

  /** The broker has promised that it will not be delivered. */
  wasCancelled(id: number): void {
    this.cancelled++;
    this.#cancelled[id] = Cancel.PROMISED;
    if (this.#delivered[id]! > 0) this.#wrong(id, 'was delivered, and its cancel promised after that');
  }

  /** A look at one partition from its start, which may be read again. */
  reading(place: Place): (id: number, appendMs: number) => void {
    let latestMs = 0;
    return (id, appendMs) => {
      const dueMs = this.#due[id];
      if (dueMs === undefined || dueMs === 0) return this.#wrong(id, 'was delivered and never sent');
      this.#delivered[id]!++;
      this.delivered++;
      if (place === 'dead letters') this.deadLetters++;
      if (this.#delivered[id]! > 1) this.#wrong(id, 'was delivered twice');
      if (appendMs < dueMs) this.#wrong(id, `was delivered ${dueMs - appendMs} ms early`);
      if (this.#cancelled[id] === Cancel.PROMISED) this.#wrong(id, 'was delivered though its cancel was promised');
      if (this.#outcome[id] === Outcome.REFUSED) this.#wrong(id, 'was delivered though it was refused');
      if (place === 'dead letters') {
        if (this.#doomed[id] === 0) this.#wrong(id, 'is a dead letter though its target is there');
        return;
      }
      const lateMs = appendMs - dueMs;
      const since = appendMs - Math.max(dueMs, this.#stored[id]!, this.startedMs);
      if (since > this.allowedLateMs) this.#wrong(id, `came ${lateMs} ms late, ${since} ms of it while the broker ran`);
      if (lateMs > this.lateMsMax) this.lateMsMax = lateMs;
      if (dueMs < latestMs) {
        this.overtaken++;
        const isLate = lateMs > orderedLateMs || dueMs - this.#sent[id]! < orderedLeadMs;
        if (!isLate)
          this.#wrong(id, `came after one that was due ${latestMs - dueMs} ms later, ${lateMs} ms late itself`);
      }
      latestMs = Math.max(latestMs, dueMs);
    };
  }

  /** True when no record is missing, so that waiting is over. */
  isComplete(): boolean {
    return this.#missing() === undefined;
  }

  /** When everything had its time. */
  finish(): void {
    const missing = this.#missing();
    if (missing !== undefined) this.#wrong(missing, 'was stored and never delivered');
  }

  #missing(): number | undefined {
    for (let id = 0; id < this.#due.length; id++) {
      const outcome = this.#outcome[id];
      if (outcome === Outcome.OPEN) return id;
      if (outcome !== Outcome.STORED || this.#delivered[id] === 1 || this.#cancelled[id] !== 0) continue;
      // What the doomed topic got before it was deleted went with it.
      if (this.#doomed[id] === 1 && this.#due[id]! <= this.deletedToMs) continue;
      return id;
    }
    return undefined;
  }

  #wrong(id: number, what: string): void {
    const dueMs = this.#due[id];
    this.#fail(new Error(`record ${id}, sent at ${this.#sent[id]} and due at ${dueMs}, ${what}`));
  }
}
