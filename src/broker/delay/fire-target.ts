import type { StoredRecord } from '../../batch/record.js';

/** A delayed record in the last level. */
export interface Pending {
  readonly offset: number;
  readonly origin: number;
  readonly dueMs: number;
  readonly target: FireTarget;
  readonly timestampMs: number;
  readonly bytes: number;
  /** Undefined when memory for it was short: it is read again from the log. */
  record: StoredRecord | undefined;
  /** Fired or cancelled. */
  isOver: boolean;
}

/** A committed Fire. */
export interface OpenFire {
  readonly offset: number;
  /** By due time. */
  readonly records: Pending[];
  /** The log is held from here on until the Fire is done. */
  readonly low: number;
  readonly target: FireTarget;
  /** Its batch is committed in the target. */
  isProduced: boolean;
  /** Something is under way for it: its batch, a read, or another Fire in its place. */
  isBusy: boolean;
}

/** Records and bytes of one Fire. */
const fireRecordsMax = 8_192;
const fireBytesMax = 1024 * 1024;

/**
 * What goes to one target partition. One Fire is under way at a time: asked for (appended, not read back), or open and
 * not produced; what becomes due meanwhile waits in `ready` and makes the next one.
 */
export class FireTarget {
  readonly topicId: number;
  readonly partition: number;
  /** Records in the last level that go here. */
  pending = 0;
  isAsked = false;
  /** In the order of their offsets, until they are done. */
  open: OpenFire[] = [];
  /** The last `FireDone` that was written. */
  saidUpTo = -1;
  #ready: Pending[] = [];
  #isSorted = true;

  constructor(topicId: number, partition: number) {
    this.topicId = topicId;
    this.partition = partition;
  }

  get hasReady(): boolean {
    return this.#ready.length > 0;
  }

  get isIdle(): boolean {
    return this.pending === 0 && !this.isAsked && this.open.length === 0;
  }

  /** The Fire that is to be produced now. */
  get current(): OpenFire | undefined {
    return this.open.find(({ isProduced }) => !isProduced);
  }

  /** Produced and not said to be so yet; undefined when there is nothing new to say. */
  get doneUpTo(): number | undefined {
    let upTo = this.saidUpTo;
    for (const { isProduced, offset } of this.open) {
      if (!isProduced) break;
      upTo = offset;
    }
    return upTo > this.saidUpTo ? upTo : undefined;
  }

  /** The record is due, or could not be fired. */
  due(record: Pending): void {
    const last = this.#ready[this.#ready.length - 1];
    if (last !== undefined && isBefore(record, last)) this.#isSorted = false;
    this.#ready.push(record);
  }

  /** When the first of the ready records was due. */
  get readySinceMs(): number {
    return this.#ready.reduce((first, { dueMs }) => Math.min(first, dueMs), Number.POSITIVE_INFINITY);
  }

  /** A Fire for this target is under way. */
  get isFiring(): boolean {
    return this.isAsked || this.current !== undefined;
  }

  /** Takes the records of the next Fire, those that are due first before the others. */
  takeReady(): Pending[] {
    const ready = this.#ready.filter(({ isOver }) => !isOver);
    if (!this.#isSorted) ready.sort(byDue);
    this.#isSorted = true;
    let count = 0;
    let bytes = 0;
    while (count < ready.length && count < fireRecordsMax) {
      bytes += ready[count]!.bytes;
      if (count > 0 && bytes > fireBytesMax) break;
      count++;
    }
    this.#ready = ready.slice(count);
    return ready.slice(0, count);
  }
}

/** By due time, then by place in the log. */
export function byDue(a: Pending, b: Pending): number {
  return a.dueMs - b.dueMs || a.offset - b.offset;
}

function isBefore(a: Pending, b: Pending): boolean {
  return byDue(a, b) < 0;
}
