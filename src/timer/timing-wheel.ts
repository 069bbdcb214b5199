/**
 * A hierarchical timing wheel with 1 ms ticks (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987), in
 * the form where a timer's place follows from the bytes in which its due time differs from the wheel's own time.
 *
 * The wheel counts milliseconds since its start, its *tick*. A tick is read as bytes, and each of the lowest five
 * bytes has a level of 256 slots:
 *
 *   | level | a slot spans   | the level spans | holds the timers whose highest byte that differs from the tick is |
 *   |-------|----------------|-----------------|-------------------------------------------------------------------|
 *   | 0     | 1 ms           | 256 ms          | byte 0: due within this run of 256 ms                             |
 *   | 1     | 256 ms         | 65.5 s          | byte 1                                                            |
 *   | 2     | 65.5 s         | 4.7 h           | byte 2                                                            |
 *   | 3     | 4.7 h          | 49.7 days       | byte 3                                                            |
 *   | 4     | 49.7 days      | 34.8 years      | byte 4                                                            |
 *   | over  | one list for all that lies further away                                                              |
 *
 * A timer lies in the slot that its due time's byte of that level names. Say the tick is 0x00_01_F0:
 *
 *   | due        | differs first in | lies in         | and then                                               |
 *   |------------|------------------|-----------------|--------------------------------------------------------|
 *   | 0x00_01_F7 | byte 0           | level 0 slot F7 | fires when the tick gets to F7                         |
 *   | 0x00_03_05 | byte 1           | level 1 slot 03 | at tick 0x00_03_00 moves to level 0 slot 05, and fires |
 *   | 0x02_03_05 | byte 2           | level 2 slot 02 | at 0x02_00_00 to level 1 slot 03, later to level 0     |
 *   | 0x00_01_F0 | none             | the late list   | fires at the next `advance`                            |
 *
 * What follows from this: adding and cancelling are O(1); a timer moves at most four times in its life; every timer of
 * level k is due before every one of level k + 1, so the first busy slot of the first busy level is the next thing to
 * do, and a bitmap of 256 bits a level finds it without visiting the empty slots between; timers of the same
 * millisecond always lie in the same list, so they fire in the order in which they were added.
 *
 * Memory: five typed arrays, 28 bytes a timer, doubled when full and never shrunk.
 */
import { assert } from '../base/errors.js';

const slotsPerLevel = 256;
const levels = 5;
const overflowList = levels * slotsPerLevel;
const lateList = overflowList + 1;
const firingList = overflowList + 2;
/** List heads come first in the arrays of links; timers after them. */
const firstTimer = overflowList + 3;

const two32 = 2 ** 32;
/** What the five levels span together. */
const horizonMs = 2 ** 40;

const indexBits = 26;
const indexRange = 2 ** indexBits;
/** Timers armed at once, and uses of one place in the arrays: together they fill a safe integer. */
export const armedTimersMax: number = indexRange - firstTimer;
const generationMax = 2 ** (53 - indexBits) - 1;

/** A wheel that was handed a time so far behind its own turns back; less than that, and it just waits. */
const turnBackMs = 1_000;

export class TimingWheel {
  readonly #startMs: number;
  /** Ticks since the start; every timer in the levels is due after it (at it only in the middle of `advance`). */
  #tick = 0;
  #tickHigh = 0;
  #tickLow = 0;
  #size = 0;
  /** No timer of the late list is due before it. */
  #lateDueMs = Number.POSITIVE_INFINITY;
  #isAdvancing = false;

  /** Links of circular lists; a list's head is its own index. The free places are chained by `#next` alone. */
  #next: Int32Array;
  #previous: Int32Array;
  #dueMs: Float64Array;
  #payload: Float64Array;
  /** Odd while a timer has the place, even while it is free; only grows, and is the upper part of a handle. */
  #generation: Uint32Array;
  #free = 0;
  /** Places that were ever used. */
  #used: number = firstTimer;
  /** One bit a slot: set while its list isn't empty. */
  readonly #busy: Int32Array = new Int32Array((levels * slotsPerLevel) / 32);

  /** A wheel whose time is `startMs` (any clock, whole milliseconds or not). */
  constructor(startMs: number) {
    this.#startMs = Math.floor(startMs);
    const capacity = 4_096;
    this.#next = new Int32Array(capacity);
    this.#previous = new Int32Array(capacity);
    this.#dueMs = new Float64Array(capacity);
    this.#payload = new Float64Array(capacity);
    this.#generation = new Uint32Array(capacity);
    for (let head = 0; head < firstTimer; head++) this.#next[head] = this.#previous[head] = head;
  }

  /** Timers armed. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of the arrays, used or not. */
  get bytes(): number {
    return this.#next.length * 28 + this.#busy.byteLength;
  }

  /**
   * Arms a timer and returns its handle (a safe integer above 0). O(1). A due time that has passed is fine: it fires
   * at the next `advance`, even when added from within `fire`.
   */
  add(dueMs: number, payload: number): number {
    const due = Math.ceil(dueMs);
    assert(Number.isSafeInteger(due), `a timer's due time is a number of milliseconds, not ${dueMs}`);
    let index = this.#free;
    if (index !== 0) {
      this.#free = this.#next[index]!;
    } else {
      index = this.#used;
      if (index === this.#next.length) this.#grow();
      this.#used = index + 1;
    }
    const generation = this.#generation[index]! + 1;
    this.#generation[index] = generation;
    this.#dueMs[index] = due;
    this.#payload[index] = payload;
    this.#size++;
    this.#place(index, due);
    return generation * indexRange + index;
  }

  /** Disarms a timer. False when it has fired or was cancelled before: a stale handle is harmless. O(1). */
  cancel(handle: number): boolean {
    const index = this.#find(handle);
    if (index === 0) return false;
    this.#unlink(index);
    this.#release(index);
    return true;
  }

  /** The payload of an armed timer. */
  payloadOf(handle: number): number | undefined {
    const index = this.#find(handle);
    return index === 0 ? undefined : this.#payload[index]!;
  }

  /**
   * When to call `advance` next: never later than the earliest due time, and exactly it once that lies in level 0.
   * Undefined when nothing is armed.
   */
  nextDueMs(): number | undefined {
    if (this.#size === 0) return undefined;
    const slot = this.#firstBusySlot();
    const next = slot < 0 ? Number.POSITIVE_INFINITY : this.#startMs + this.#slotTick(slot);
    const late = this.#isEmpty(lateList) && this.#isEmpty(firingList) ? Number.POSITIVE_INFINITY : this.#lateDueMs;
    const soonest = Math.min(next, late);
    return soonest === Number.POSITIVE_INFINITY ? this.#startMs + this.#nextHorizon() : soonest;
  }

  /**
   * Moves the wheel's time to `nowMs` and calls `fire` for all that is due by then: first what was due when it was
   * added, in the order of adding, then the others by due time, those of one millisecond in the order of adding.
   * `fire` may add and cancel. What it adds fires in this same call when due after the timer that is firing and by
   * `nowMs`, else in a later one, so a call always ends. When `fire` throws, the timer that threw is spent and the
   * others stay armed.
   *
   * Time may go back: by up to a second the wheel waits until it is caught up, beyond that it turns back (O(size)).
   */
  advance(nowMs: number, fire: (payload: number, dueMs: number) => void): void {
    assert(!this.#isAdvancing, 'advance was called from within fire');
    const now = Math.floor(nowMs);
    assert(Number.isSafeInteger(now), `the time is a number of milliseconds, not ${nowMs}`);
    const target = now - this.#startMs;
    if (target < this.#tick - turnBackMs) this.#turnBack(target);
    this.#isAdvancing = true;
    try {
      this.#fireLate(now, fire);
      for (;;) {
        const slot = this.#firstBusySlot();
        const tick = slot < 0 ? this.#nextHorizon() : this.#slotTick(slot);
        if (tick > target || (slot < 0 && this.#isEmpty(overflowList))) break;
        this.#setTick(tick);
        if (slot >= 0 && slot < slotsPerLevel) this.#fireSlot(slot, fire);
        else this.#spread(slot < 0 ? overflowList : slot);
      }
      if (target > this.#tick) this.#setTick(target);
    } finally {
      this.#isAdvancing = false;
    }
  }

  #fireSlot(slot: number, fire: (payload: number, dueMs: number) => void): void {
    // Nothing is added to this list meanwhile: what is due at the tick or before goes to the late list.
    for (let index = this.#next[slot]!; index !== slot; index = this.#next[slot]!) this.#fire(index, fire);
  }

  /** Fires what was due already when it was added. What `fire` adds to that list waits for the next time. */
  #fireLate(now: number, fire: (payload: number, dueMs: number) => void): void {
    if (this.#isEmpty(lateList) && this.#isEmpty(firingList)) return;
    this.#moveAll(lateList, firingList);
    this.#lateDueMs = Number.POSITIVE_INFINITY;
    try {
      for (let index = this.#next[firingList]!; index !== firingList; index = this.#next[firingList]!) {
        if (this.#dueMs[index]! <= now) {
          this.#fire(index, fire);
        } else {
          this.#unlink(index);
          this.#place(index, this.#dueMs[index]!);
        }
      }
    } finally {
      // Left there by a throw: due already, whatever their times are.
      if (!this.#isEmpty(firingList)) this.#lateDueMs = Math.min(this.#lateDueMs, now);
    }
  }

  #fire(index: number, fire: (payload: number, dueMs: number) => void): void {
    const payload = this.#payload[index]!;
    const due = this.#dueMs[index]!;
    this.#unlink(index);
    this.#release(index);
    fire(payload, due);
  }

  /** Places a list's timers anew, now that the tick has come to them: each ends at least one level lower. */
  #spread(list: number): void {
    this.#moveAll(list, firingList);
    for (let index = this.#next[firingList]!; index !== firingList; index = this.#next[firingList]!) {
      this.#unlink(index);
      if (this.#dueMs[index]! - this.#startMs === this.#tick) this.#append(this.#tickLow & 255, index);
      else this.#place(index, this.#dueMs[index]!);
    }
  }

  #turnBack(target: number): void {
    for (let list = 0; list <= overflowList; list++) if (!this.#isEmpty(list)) this.#moveAll(list, firingList);
    this.#moveAll(lateList, firingList);
    this.#lateDueMs = Number.POSITIVE_INFINITY;
    this.#setTick(target);
    for (let index = this.#next[firingList]!; index !== firingList; index = this.#next[firingList]!) {
      this.#unlink(index);
      this.#place(index, this.#dueMs[index]!);
    }
  }

  #place(index: number, dueMs: number): void {
    const due = dueMs - this.#startMs;
    if (due <= this.#tick) {
      if (dueMs < this.#lateDueMs) this.#lateDueMs = dueMs;
      this.#append(lateList, index);
      return;
    }
    const low = due >>> 0;
    const high = Math.floor(due / two32);
    if (high === this.#tickHigh) {
      const level = (31 - Math.clz32(low ^ this.#tickLow)) >> 3;
      this.#append((level << 8) | ((low >>> (level << 3)) & 255), index);
    } else if (high >> 8 === this.#tickHigh >> 8) {
      this.#append((4 << 8) | (high & 255), index);
    } else {
      this.#append(overflowList, index);
    }
  }

  #append(list: number, index: number): void {
    const last = this.#previous[list]!;
    this.#next[last] = index;
    this.#previous[index] = last;
    this.#next[index] = list;
    this.#previous[list] = index;
    if (list < overflowList) this.#busy[list >> 5]! |= 1 << (list & 31);
  }

  #unlink(index: number): void {
    const next = this.#next[index]!;
    const previous = this.#previous[index]!;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    if (next === previous && next < overflowList) this.#busy[next >> 5]! &= ~(1 << (next & 31));
  }

  #moveAll(from: number, to: number): void {
    const first = this.#next[from]!;
    if (first === from) return;
    const last = this.#previous[from]!;
    const end = this.#previous[to]!;
    this.#next[end] = first;
    this.#previous[first] = end;
    this.#next[last] = to;
    this.#previous[to] = last;
    this.#next[from] = this.#previous[from] = from;
    if (from < overflowList) this.#busy[from >> 5]! &= ~(1 << (from & 31));
  }

  #isEmpty(list: number): boolean {
    return this.#next[list] === list;
  }

  /** The first busy slot of the first busy level; -1 when all lie in the overflow, or nothing is armed. */
  #firstBusySlot(): number {
    // Slots behind the tick are empty, so the first bit of a level is the next one.
    for (let word = 0; word < this.#busy.length; word++) {
      const bits = this.#busy[word]!;
      if (bits !== 0) return (word << 5) | (31 - Math.clz32(bits & -bits));
    }
    return -1;
  }

  /** The tick at which a slot of the levels begins. */
  #slotTick(slot: number): number {
    const level = slot >> 8;
    const byte = slot & 255;
    if (level === 4) return ((this.#tickHigh >> 8) * 256 + byte) * two32;
    const shift = level << 3;
    // The bytes above the level's stay, those below are 0. (A shift by 32 would be none in JavaScript.)
    const above = level === 3 ? 0 : (this.#tickLow >>> (shift + 8)) << (shift + 8);
    return this.#tickHigh * two32 + ((above | (byte << shift)) >>> 0);
  }

  #nextHorizon(): number {
    return (Math.floor(this.#tick / horizonMs) + 1) * horizonMs;
  }

  #setTick(tick: number): void {
    this.#tick = tick;
    this.#tickHigh = Math.floor(tick / two32);
    this.#tickLow = tick >>> 0;
  }

  #find(handle: number): number {
    const index = handle % indexRange;
    if (!(index >= firstTimer && index < this.#used)) return 0;
    return this.#generation[index] === Math.floor(handle / indexRange) ? index : 0;
  }

  #release(index: number): void {
    this.#size--;
    const generation = this.#generation[index]! + 1;
    this.#generation[index] = generation;
    // A place whose generations are used up stays out of use, so that no handle ever comes back.
    if (generation >= generationMax) return;
    this.#next[index] = this.#free;
    this.#free = index;
  }

  #grow(): void {
    assert(this.#used < indexRange, `no more than ${armedTimersMax} timers can be armed`);
    const capacity = Math.min(this.#next.length * 2, indexRange);
    this.#next = grown(new Int32Array(capacity), this.#next);
    this.#previous = grown(new Int32Array(capacity), this.#previous);
    this.#dueMs = grown(new Float64Array(capacity), this.#dueMs);
    this.#payload = grown(new Float64Array(capacity), this.#payload);
    this.#generation = grown(new Uint32Array(capacity), this.#generation);
  }
}

function grown<A extends Int32Array | Uint32Array | Float64Array>(into: A, from: A): A {
  into.set(from);
  return into;
}
