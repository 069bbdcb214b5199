/**
 * What one partition knows of the movers that write into it: pure, fed with batch headers, without a clock.
 *
 * A mover carries records from one partition (its source) into others. Its sequences are offsets of the source, so they
 * have gaps, and a batch may hold more or fewer records than its sequences span. One number a mover is enough, L, the
 * highest last sequence that it has written here:
 *
 * | a batch from first to last | verdict                                                              |
 * |----------------------------|----------------------------------------------------------------------|
 * | last ≤ L                   | done: all of it is here; wait until L is committed                   |
 * | first > L, or no L yet     | append                                                               |
 * | else                       | overlap: the mover cuts anew from L + 1; told when L is committed    |
 *
 * A mover's state never expires: a source may rest for years, and its mover then starts again at a position from before.
 */
import { assert } from '../base/errors.js';
import { moverProducerIdMin } from '../base/limits.js';
import { placeOf } from '../base/place.js';

/** Cursors of one source that write independently of one another, 1 to this. */
const cursorsMax = 15;

/** The producer id of a mover: cursor · 2^48 + topic id · 2^16 + partition, of its source. */
export function moverProducerId(cursor: number, topicId: number, partition: number): number {
  assert(cursor >= 1 && cursor <= cursorsMax, `a mover's cursor is 1 to ${cursorsMax}, not ${cursor}`);
  return cursor * moverProducerIdMin + placeOf(topicId, partition);
}

export function isMoverId(producerId: number): boolean {
  return producerId >= moverProducerIdMin;
}

/** What is known of one mover. */
export interface MoverState {
  readonly lastSequence: number;
  /** One past the last record of the batch that brought `lastSequence`. */
  readonly endOffset: number;
}

export type MoverVerdict =
  | { readonly kind: 'append' }
  | { readonly kind: 'duplicate'; readonly endOffset: number }
  | { readonly kind: 'overlap'; readonly lastSequence: number; readonly endOffset: number };

const append: MoverVerdict = { kind: 'append' };

export class MoverTable {
  readonly #committed = new Map<number, MoverState>();
  /** After all appended batches, only for movers that have uncommitted ones. */
  readonly #overlay = new Map<number, MoverState>();

  check(producerId: number, baseSequence: number, lastSequence: number): MoverVerdict {
    const state = this.#overlay.get(producerId) ?? this.#committed.get(producerId);
    if (state === undefined || baseSequence > state.lastSequence) return append;
    const { endOffset } = state;
    if (lastSequence <= state.lastSequence) return { kind: 'duplicate', endOffset };
    return { kind: 'overlap', lastSequence: state.lastSequence, endOffset };
  }

  /** Notes a batch that was judged `append`; not yet committed. */
  appended(producerId: number, state: MoverState): void {
    this.#overlay.set(producerId, state);
  }

  /** Notes a batch as committed. Batches come in log order. */
  commit(producerId: number, state: MoverState): void {
    this.#committed.set(producerId, state);
    if (this.#overlay.get(producerId)?.endOffset === state.endOffset) this.#overlay.delete(producerId);
  }

  /** Forgets what is not committed; the caller adds again by `appended` what is left. */
  dropUncommitted(): void {
    this.#overlay.clear();
  }

  /** Committed state by producer id, for a snapshot; `commit` takes it in again. */
  committed(): ReadonlyMap<number, MoverState> {
    return this.#committed;
  }
}
