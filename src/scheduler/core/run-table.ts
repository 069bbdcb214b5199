import { taskd } from '../../wire/generated/messages.js';
import { ByteColumn, chunkRows, DoubleColumn, WordColumn } from './columns.js';
import { OffsetIndex } from './offset-index.js';

const { RunState } = taskd;

/** Facts of a run that follow from the log. */
export const Flag = {
  /** Waits for an earlier run of its job to end. */
  PARKED: 1,
  /** Not to be run: the owner will refuse it. */
  BAD: 2,
  /** CANCELLING because its attempt took too long; an end of it is a failed attempt. */
  TIMED_OUT: 4,
  /** A dead letter that was replayed and left the list. */
  REPLAYED: 8,
  /** Made by a RunReplay. */
  IS_REPLAY: 16,
  /** A dead letter that left the list to make room for newer ones. */
  DROPPED: 32,
  /** Either of the two: dead, and no longer among the dead letters. */
  UNLISTED: 40,
} as const;

/** What only this process knows of a run. */
export const Mark = {
  /** A decision on it is on its way through the log. */
  PENDING: 1,
  /** Its attempt has ended: the worker's credit is back, the report is on its way. */
  REPORTED: 2,
  /** Its worker hangs: no claim keeps the lease. */
  HUNG: 4,
  /** Somebody here waits for its end. */
  WATCHED: 8,
  /** The decision on its way ends its lease. */
  ENDING: 16,
  /** READY, but not in its lane: a decision is on its way, and what follows from that comes first. */
  OFF_LANE: 32,
} as const;

/**
 * Runs in typed columns, one row ("slot") a run; about 100 bytes each. Slots are used again. Slot 0 is none, so links
 * and look-ups need no -1.
 */
export class RunTable {
  readonly id: DoubleColumn = new DoubleColumn();
  /** Not to be started before; wall clock. */
  readonly due: DoubleColumn = new DoubleColumn();
  readonly created: DoubleColumn = new DoubleColumn();
  /** Leased: the token. Waiting: the token of the last attempt, whose late success still counts. -1: none. */
  readonly lease: DoubleColumn = new DoubleColumn();
  /** Append time of the last RunLeased. */
  readonly started: DoubleColumn = new DoubleColumn();
  /** Offset of the record that ended the last attempt or the run; -1: none. */
  readonly cause: DoubleColumn = new DoubleColumn();
  /** Above 0: place in the arguments' cache. Below: minus the offset of the record that holds them, minus 1. 0: none. */
  readonly arguments: DoubleColumn = new DoubleColumn();
  /**
   * Waiting: the handle of its timer in the wheel of the wall clock, 0: none. Leased: in the monotonic one. Ended: when
   * it ended.
   */
  readonly timer: DoubleColumn = new DoubleColumn();
  readonly lane: WordColumn = new WordColumn();
  readonly spec: WordColumn = new WordColumn();
  /** Index of its job, 0: none. */
  readonly job: WordColumn = new WordColumn();
  /** Index of the worker that has or last had it, 0: none. */
  readonly worker: WordColumn = new WordColumn();
  /** Leased: the index of the session that holds the lease; 0: none known. */
  readonly holder: WordColumn = new WordColumn();
  readonly next: WordColumn = new WordColumn();
  readonly previous: WordColumn = new WordColumn();
  readonly state: ByteColumn = new ByteColumn();
  readonly priority: ByteColumn = new ByteColumn();
  /** Attempts that ended in a failure or a success. */
  readonly attempts: ByteColumn = new ByteColumn();
  readonly lost: ByteColumn = new ByteColumn();
  /** Bits of `Flag`. */
  readonly flags: ByteColumn = new ByteColumn();
  /** Bits of `Mark`. */
  readonly marks: ByteColumn = new ByteColumn();

  readonly #index: OffsetIndex = new OffsetIndex();
  readonly #doubles: readonly DoubleColumn[];
  readonly #words: readonly WordColumn[];
  readonly #bytes: readonly ByteColumn[];
  #rows = 0;
  #used = 1;
  /** Free slots, chained by `next`. */
  #free = 0;

  constructor() {
    this.#doubles = [this.id, this.due, this.created, this.lease, this.started, this.cause, this.arguments, this.timer];
    this.#words = [this.lane, this.spec, this.job, this.worker, this.holder, this.next, this.previous];
    this.#bytes = [this.state, this.priority, this.attempts, this.lost, this.flags, this.marks];
  }

  /** Runs in the table, ended ones included. */
  get size(): number {
    return this.#index.size;
  }

  /** Bytes of columns and index, used or not. */
  get bytes(): number {
    const row = this.#doubles.length * 8 + this.#words.length * 4 + this.#bytes.length;
    return this.#rows * row + this.#index.bytes;
  }

  /** The slot of a run, or 0. */
  find(id: number): number {
    return this.#index.find(id);
  }

  /** A cleared slot for a new run. Ids come in rising order. */
  add(id: number): number {
    let slot = this.#free;
    if (slot !== 0) {
      this.#free = this.next.get(slot);
    } else {
      slot = this.#used++;
      if (slot >= this.#rows) this.#grow();
    }
    this.id.set(slot, id);
    this.lease.set(slot, -1);
    this.started.set(slot, 0);
    this.cause.set(slot, -1);
    this.arguments.set(slot, 0);
    this.timer.set(slot, 0);
    this.job.set(slot, 0);
    this.worker.set(slot, 0);
    this.holder.set(slot, 0);
    this.next.set(slot, 0);
    this.previous.set(slot, 0);
    this.attempts.set(slot, 0);
    this.lost.set(slot, 0);
    this.flags.set(slot, 0);
    this.marks.set(slot, 0);
    this.#index.set(id, slot);
    return slot;
  }

  remove(slot: number): void {
    this.#index.delete(this.id.get(slot));
    this.id.set(slot, -1);
    this.state.set(slot, 0);
    this.next.set(slot, this.#free);
    this.#free = slot;
  }

  /** Not yet started, or to be started again. */
  isWaiting(slot: number): boolean {
    const state = this.state.get(slot);
    return state === RunState.READY || state === RunState.SCHEDULED || state === RunState.RETRY_WAIT;
  }

  isLeased(slot: number): boolean {
    const state = this.state.get(slot);
    return state === RunState.RUNNING || state === RunState.CANCELLING;
  }

  /** Being stopped because someone cancelled it, not because its attempt took too long. */
  isCancelledByCaller(slot: number): boolean {
    return this.state.get(slot) === RunState.CANCELLING && !this.hasFlag(slot, Flag.TIMED_OUT);
  }

  /** The offset of the record that holds the run's arguments. */
  argumentsAt(slot: number): number {
    const place = this.arguments.get(slot);
    return place < 0 ? -place - 1 : this.id.get(slot);
  }

  hasFlag(slot: number, flag: number): boolean {
    return (this.flags.get(slot) & flag) !== 0;
  }

  setFlag(slot: number, flag: number): void {
    this.flags.set(slot, this.flags.get(slot) | flag);
  }

  clearFlag(slot: number, flag: number): void {
    this.flags.set(slot, this.flags.get(slot) & ~flag);
  }

  hasMark(slot: number, mark: number): boolean {
    return (this.marks.get(slot) & mark) !== 0;
  }

  setMark(slot: number, mark: number): void {
    this.marks.set(slot, this.marks.get(slot) | mark);
  }

  clearMark(slot: number, mark: number): void {
    this.marks.set(slot, this.marks.get(slot) & ~mark);
  }

  /** Runs by falling id below `before`, until `each` returns false. */
  walkDown(before: number, each: (slot: number) => boolean): void {
    this.#index.walkDown(before, each);
  }

  #grow(): void {
    for (const column of this.#doubles) column.grow();
    for (const column of this.#words) column.grow();
    for (const column of this.#bytes) column.grow();
    this.#rows += chunkRows;
  }
}
