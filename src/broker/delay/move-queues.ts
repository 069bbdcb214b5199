import { assert } from '../../base/errors.js';

/** Something at an offset of the source that is to be moved. */
export interface Moving {
  readonly offset: number;
  readonly bytes: number;
}

interface Queue<T> {
  /** In the order of their offsets; those being sent are still here. */
  items: T[];
  /** Items of the front that are being sent; 0: none. */
  sending: number;
}

/** Records and bytes of one batch of a mover. */
const batchRecordsMax = 8_192;
const batchBytesMax = 1024 * 1024;
/** What one of the hundred cursors of a broker holds at most, besides what one batch of the source brings. */
const heldRecordsMax = 8_192;
const heldBytesMax = 1024 * 1024;

/**
 * What one cursor of a mover holds: records that it has read, by destination, in the order of the source. Pure.
 *
 * One batch a destination is under way at a time, so that what is acknowledged is always a prefix. `low` is where a
 * mover must begin that knows nothing but what is acknowledged.
 */
export class MoveQueues<T extends Moving> {
  readonly #queues: (Queue<T> | undefined)[] = [];
  /** Everything below was looked at. */
  #position: number;
  #records = 0;
  #bytes = 0;

  constructor(position: number) {
    this.#position = position;
  }

  get position(): number {
    return this.#position;
  }

  get records(): number {
    return this.#records;
  }

  get hasRoom(): boolean {
    return this.#records < heldRecordsMax && this.#bytes < heldBytesMax;
  }

  /** Every record below is at its destination, as far as it is this cursor's to move. */
  get low(): number {
    let low = this.#position;
    for (const queue of this.#queues) {
      const first = queue?.items[0];
      if (first !== undefined && first.offset < low) low = first.offset;
    }
    return low;
  }

  add(destination: number, item: T): void {
    let queue = this.#queues[destination];
    if (queue === undefined) {
      queue = { items: [], sending: 0 };
      this.#queues[destination] = queue;
    }
    queue.items.push(item);
    this.#records++;
    this.#bytes += item.bytes;
  }

  /** All below `position` was looked at, and added where it is this cursor's. */
  passed(position: number): void {
    this.#position = position;
  }

  /** Destinations that have records and no batch under way. */
  idle(): number[] {
    const idle: number[] = [];
    this.#queues.forEach((queue, destination) => {
      if (queue !== undefined && queue.items.length > 0 && queue.sending === 0) idle.push(destination);
    });
    return idle;
  }

  /** The next batch for an idle destination; it counts as under way until `moved` or `failed`. */
  next(destination: number): readonly T[] {
    const queue = this.#queues[destination]!;
    assert(queue.sending === 0 && queue.items.length > 0, 'a mover has one batch under way for a destination');
    let count = 0;
    let bytes = 0;
    while (count < queue.items.length && count < batchRecordsMax) {
      bytes += queue.items[count]!.bytes;
      if (count > 0 && bytes > batchBytesMax) break;
      count++;
    }
    queue.sending = count;
    return queue.items.slice(0, count);
  }

  /** Everything for `destination` up to the offset `last` is there. */
  moved(destination: number, last: number): void {
    const queue = this.#queues[destination]!;
    queue.sending = 0;
    let done = 0;
    for (; done < queue.items.length && queue.items[done]!.offset <= last; done++) {
      this.#bytes -= queue.items[done]!.bytes;
    }
    this.#records -= done;
    queue.items = queue.items.slice(done);
  }

  /** The batch under way has no outcome; it is sent again, perhaps in another cut. */
  failed(destination: number): void {
    this.#queues[destination]!.sending = 0;
  }
}
