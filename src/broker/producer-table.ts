/**
 * What one partition knows of its idempotent producers: pure, fed with batch headers, without a clock.
 *
 * Per producer: its epoch and the last five batches (sequences and where they were put), which is as many as a producer
 * may have unacknowledged, so a repeat of any of them is recognised. A batch is judged against the *overlay*, which has
 * everything appended; the *committed* map has only what is durable. Truncation drops overlay entries and can never
 * touch committed ones.
 *
 * | batch against what is known of its producer   | verdict                                       |
 * |-----------------------------------------------|-----------------------------------------------|
 * | no producer id                                | append                                        |
 * | unknown producer, sequence 0                  | append; BUSY when the partition has too many  |
 * | unknown producer, sequence > 0                | UNKNOWN_PRODUCER                              |
 * | older epoch                                   | PRODUCER_FENCED                               |
 * | higher epoch, sequence 0                      | append                                        |
 * | higher epoch, sequence > 0                    | OUT_OF_ORDER_SEQUENCE                         |
 * | follows the last sequence                     | append                                        |
 * | one of the last five, exactly                 | repeat: wait for that batch's end             |
 * | wholly before the last five                   | duplicate: success, place no longer known     |
 * | anything else (a gap, another cut)            | OUT_OF_ORDER_SEQUENCE                         |
 * | a mover's                                     | see `mover-table.ts`                          |
 *
 * The window and the verdicts follow Kafka's idempotent producer (KIP-98, KIP-360), except that an old duplicate is a
 * success and that expiry looks at append timestamps only, so that every replica decides alike.
 */
import { assert, ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { partitionProducersMax, producerWindowBatches } from '../base/limits.js';
import { isMoverId, MoverTable, type MoverVerdict } from './mover-table.js';

/** A producer that wrote nothing for so long, in the log's own time, is forgotten. */
export const producerExpiryMs: number = 24 * 3_600_000;

/** The producer's part of a batch header. */
export interface ProducerMark {
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly lastSequence: number;
}

/** A batch with its place in the log. */
export interface PlacedMark extends ProducerMark {
  readonly baseOffset: number;
  readonly recordCount: number;
  readonly appendTimestamp: number;
}

export type Verdict =
  | MoverVerdict
  /** Appended before, at this place; answer once the watermark is at `endOffset`. */
  | {
      readonly kind: 'repeat';
      readonly baseOffset: number;
      readonly endOffset: number;
      readonly appendTimestamp: number;
    }
  | { readonly kind: 'refuse'; readonly error: TaskdError };

/** One of the last batches of a producer. */
export interface WindowBatch {
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: number;
  readonly endOffset: number;
  readonly appendTimestamp: number;
}

/** What is known of one producer. */
export interface ProducerState {
  readonly epoch: number;
  /** Oldest first, 1 to `producerWindowBatches`. */
  readonly window: readonly WindowBatch[];
}

const append: Verdict = { kind: 'append' };

export class ProducerTable {
  /** What is known of movers, which never expire and do not count as producers. */
  readonly movers: MoverTable = new MoverTable();
  /** Least recently committed first. */
  readonly #committed = new Map<number, ProducerState>();
  /** The state after all appended batches, only for producers that have uncommitted ones. */
  readonly #overlay = new Map<number, ProducerState>();
  /** Uncommitted batches in log order. */
  #pending: PlacedMark[] = [];
  readonly #producersMax: number;
  /** Producers that only the overlay knows. */
  #newcomers = 0;
  /** The highest append timestamp seen: the log's own time. */
  #logTimeMs = 0;
  /** The same for what is committed. */
  #committedTimeMs = 0;

  constructor(producersMax: number = partitionProducersMax) {
    this.#producersMax = producersMax;
  }

  /** Producers that are known, committed or not. */
  get size(): number {
    return this.#committed.size + this.#newcomers;
  }

  /** Judges a batch that is about to be appended at the log's end. Changes nothing. */
  check(batch: ProducerMark): Verdict {
    if (batch.producerId === 0) return append;
    if (isMoverId(batch.producerId)) {
      return this.movers.check(batch.producerId, batch.baseSequence, batch.lastSequence);
    }
    const state = this.#stateOf(batch.producerId);
    if (state === undefined) return this.#checkUnknown(batch);
    if (batch.producerEpoch < state.epoch) {
      return refuse(
        ErrorCode.PRODUCER_FENCED,
        `producer ${batch.producerId} wrote with epoch ${batch.producerEpoch}, but epoch ${state.epoch} has written since; ask for a new producer id`,
      );
    }
    if (batch.producerEpoch > state.epoch) {
      return batch.baseSequence === 0
        ? append
        : outOfOrder(batch, `the first batch of epoch ${batch.producerEpoch} must have sequence 0`);
    }
    const last = state.window[state.window.length - 1]!;
    if (batch.baseSequence === last.lastSequence + 1) return append;
    for (const known of state.window) {
      if (known.baseSequence === batch.baseSequence && known.lastSequence === batch.lastSequence) {
        const { baseOffset, endOffset, appendTimestamp } = known;
        return { kind: 'repeat', baseOffset, endOffset, appendTimestamp };
      }
    }
    const oldest = state.window[0]!;
    if (batch.lastSequence < oldest.baseSequence) return { kind: 'duplicate', endOffset: oldest.baseOffset };
    return outOfOrder(batch, `${last.lastSequence + 1} is the next one here`);
  }

  /** Notes that `batch` was appended, not yet durable. It must have been judged `append` in this very turn. */
  appended(batch: PlacedMark): void {
    this.#logTimeMs = Math.max(this.#logTimeMs, batch.appendTimestamp);
    if (batch.producerId === 0) return;
    this.#pending.push(batch);
    this.#overlayBatch(batch);
  }

  /** Everything below `end` is durable now. */
  committed(end: number): void {
    let done = 0;
    for (; done < this.#pending.length; done++) {
      const batch = this.#pending[done]!;
      if (endOf(batch) > end) break;
      this.#commit(batch);
    }
    if (done === 0) return;
    this.#pending = done === this.#pending.length ? [] : this.#pending.slice(done);
    for (const [id, state] of this.#overlay) {
      if (endOffsetOf(state) <= end) this.#overlay.delete(id);
    }
    this.#expire();
  }

  /** The log was cut at `end`: what was appended at or above it is as if it had never been. */
  truncated(end: number): void {
    const kept = this.#pending.filter((batch) => endOf(batch) <= end);
    this.#overlay.clear();
    this.movers.dropUncommitted();
    this.#newcomers = 0;
    this.#pending = kept;
    for (const batch of kept) this.#overlayBatch(batch);
  }

  /** Takes in a batch that is durable already: the log is read from its start when a partition opens. */
  replay(batch: PlacedMark): void {
    this.#logTimeMs = Math.max(this.#logTimeMs, batch.appendTimestamp);
    if (batch.producerId === 0) return;
    assert(this.#pending.length === 0, 'replay comes before the first append');
    this.#commit(batch);
    this.#expire();
  }

  /** All that is committed, for a snapshot: producers with the least recently committed first. */
  committedState(): {
    readonly logTimeMs: number;
    readonly producers: ReadonlyMap<number, ProducerState>;
    readonly movers: ReturnType<MoverTable['committed']>;
  } {
    return { logTimeMs: this.#committedTimeMs, producers: this.#committed, movers: this.movers.committed() };
  }

  /** Takes in a snapshot; before anything else. */
  restore(state: ReturnType<ProducerTable['committedState']>): void {
    this.#logTimeMs = this.#committedTimeMs = state.logTimeMs;
    for (const [id, producer] of state.producers) this.#committed.set(id, producer);
    for (const [id, mover] of state.movers) this.movers.commit(id, mover);
  }

  #checkUnknown(batch: ProducerMark): Verdict {
    if (batch.baseSequence > 0) {
      return refuse(
        ErrorCode.UNKNOWN_PRODUCER,
        `producer ${batch.producerId} is not known here, and its sequence ${batch.baseSequence} is not a first one; start a new epoch at sequence 0`,
      );
    }
    if (this.size < this.#producersMax) return append;
    const message = `${this.#producersMax} producers wrote to this partition within a day, which is the limit; use fewer, longer-lived producers`;
    const error = new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 5_000 });
    return { kind: 'refuse', error };
  }

  #stateOf(id: number): ProducerState | undefined {
    const state = this.#overlay.get(id) ?? this.#committed.get(id);
    return state === undefined || this.#isExpired(state) ? undefined : state;
  }

  #isExpired(state: ProducerState): boolean {
    return state.window[state.window.length - 1]!.appendTimestamp + producerExpiryMs < this.#logTimeMs;
  }

  #overlayBatch(batch: PlacedMark): void {
    if (isMoverId(batch.producerId)) {
      this.movers.appended(batch.producerId, { lastSequence: batch.lastSequence, endOffset: endOf(batch) });
      return;
    }
    const before = this.#stateOf(batch.producerId);
    if (!this.#overlay.has(batch.producerId) && !this.#committed.has(batch.producerId)) this.#newcomers++;
    this.#overlay.set(batch.producerId, advance(before, batch));
  }

  #commit(batch: PlacedMark): void {
    const id = batch.producerId;
    this.#committedTimeMs = Math.max(this.#committedTimeMs, batch.appendTimestamp);
    if (isMoverId(id)) {
      this.movers.commit(id, { lastSequence: batch.lastSequence, endOffset: endOf(batch) });
      return;
    }
    const before = this.#committed.get(id);
    if (before === undefined && this.#overlay.has(id)) this.#newcomers--;
    this.#committed.delete(id);
    this.#committed.set(id, advance(before, batch));
  }

  #expire(): void {
    for (const [id, state] of this.#committed) {
      if (!this.#isExpired(state)) return;
      this.#committed.delete(id);
      if (this.#overlay.has(id)) this.#newcomers++;
    }
  }
}

const endOf = (batch: PlacedMark): number => batch.baseOffset + batch.recordCount;
const endOffsetOf = (state: ProducerState): number => state.window[state.window.length - 1]!.endOffset;

function advance(before: ProducerState | undefined, batch: PlacedMark): ProducerState {
  const { baseSequence, lastSequence, baseOffset, appendTimestamp } = batch;
  const next: WindowBatch = { baseSequence, lastSequence, baseOffset, endOffset: endOf(batch), appendTimestamp };
  const continues = before !== undefined && before.epoch === batch.producerEpoch && batch.baseSequence > 0;
  const window = continues ? before.window.slice(-(producerWindowBatches - 1)) : [];
  return { epoch: batch.producerEpoch, window: [...window, next] };
}

function outOfOrder(batch: ProducerMark, expected: string): Verdict {
  return refuse(
    ErrorCode.OUT_OF_ORDER_SEQUENCE,
    `producer ${batch.producerId}, epoch ${batch.producerEpoch}: sequences ${batch.baseSequence} to ${batch.lastSequence} are out of order; ${expected}`,
  );
}

function refuse(code: ErrorCode, message: string): Verdict {
  return { kind: 'refuse', error: new TaskdError(code, message) };
}
