import { assert } from '../base/errors.js';
import { type Candidate, type Picker, usable } from './picker.js';

/** Keys are brought back to small numbers at this virtual time, long before their fractions get lost. */
const virtualTimeMax = 2 ** 30;
const notInHeap = -1;

/**
 * Least dispatch count by virtual time, as in start-time fair queueing (Goyal, Vin, Cheng, 1996). Everyone has a key;
 * the lowest key among those who are ready is next, and then
 *
 *   V = max(its key, V);  its key = V + 1 / weight
 *
 * So those who are always ready share by weight, each within one dispatch of its share. One who comes new or was away
 * starts at V with the others, not at its own old count: it isn't flooded to catch up on what it never missed.
 *
 *   | pick | keys before (weights 1, 1, 2) | taken | V   | its key then |
 *   |------|-------------------------------|-------|-----|--------------|
 *   | 1    | A 0, B 0, C 0                 | A     | 0   | 1            |
 *   | 2    | A 1, B 0, C 0                 | B     | 0   | 1            |
 *   | 3    | A 1, B 1, C 0                 | C     | 0   | 0.5          |
 *   | 4    | A 1, B 1, C 0.5               | C     | 0.5 | 1            |
 *
 * Members are small integers; typed arrays and a binary heap, O(log n) a pick, nothing allocated.
 */
export class LeastDispatched {
  #keys: Float64Array = new Float64Array(16);
  #weights: Float64Array = new Float64Array(16);
  /** Place in the heap, or `notInHeap`. */
  #places: Int32Array = new Int32Array(16).fill(notInHeap);
  #heap: Int32Array = new Int32Array(16);
  #heapSize = 0;
  #members = 0;
  readonly #free: number[] = [];
  #virtualTime = 0;

  /** Members that are ready. */
  get readyCount(): number {
    return this.#heapSize;
  }

  /** Adds a member, not ready yet; returns its number, which may be one that was removed before. */
  add(weight: number): number {
    assert(weight > 0, 'a weight is above 0');
    const member = this.#free.pop() ?? this.#members++;
    if (member === this.#keys.length) this.#grow();
    this.#keys[member] = this.#virtualTime;
    this.#weights[member] = weight;
    return member;
  }

  remove(member: number): void {
    this.setReady(member, false);
    this.#free.push(member);
  }

  setWeight(member: number, weight: number): void {
    assert(weight > 0, 'a weight is above 0');
    this.#weights[member] = weight;
  }

  /** Only those who are ready (have credit) are picked. O(log n). */
  setReady(member: number, isReady: boolean): void {
    const place = this.#places[member]!;
    if (isReady === (place !== notInHeap)) return;
    if (isReady) {
      this.#put(this.#heapSize++, member);
      this.#up(this.#heapSize - 1);
      return;
    }
    this.#places[member] = notInHeap;
    const last = this.#heap[--this.#heapSize]!;
    if (last === member) return;
    this.#put(place, last);
    this.#up(place);
    this.#down(this.#places[last]!);
  }

  /** Who is next, counted as dispatched to; -1 when nobody is ready. */
  pick(): number {
    if (this.#heapSize === 0) return -1;
    const member = this.#heap[0]!;
    const virtualTime = Math.max(this.#keys[member]!, this.#virtualTime);
    this.#virtualTime = virtualTime;
    this.#keys[member] = virtualTime + 1 / this.#weights[member]!;
    this.#down(0);
    if (virtualTime > virtualTimeMax) this.#rebase();
    return member;
  }

  /** Takes the virtual time off every key. Those behind it are at it: order among the ready may only become a tie. */
  #rebase(): void {
    for (let member = 0; member < this.#members; member++) {
      this.#keys[member] = Math.max(0, this.#keys[member]! - this.#virtualTime);
    }
    this.#virtualTime = 0;
  }

  #put(place: number, member: number): void {
    this.#heap[place] = member;
    this.#places[member] = place;
  }

  #up(place: number): void {
    const member = this.#heap[place]!;
    const key = this.#keys[member]!;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#heap[above]!;
      if (this.#keys[parent]! <= key) break;
      this.#put(place, parent);
      place = above;
    }
    this.#put(place, member);
  }

  #down(place: number): void {
    const member = this.#heap[place]!;
    const key = this.#keys[member]!;
    for (;;) {
      let below = place * 2 + 1;
      if (below >= this.#heapSize) break;
      if (below + 1 < this.#heapSize && this.#keys[this.#heap[below + 1]!]! < this.#keys[this.#heap[below]!]!) below++;
      const child = this.#heap[below]!;
      if (key <= this.#keys[child]!) break;
      this.#put(place, child);
      place = below;
    }
    this.#put(place, member);
  }

  #grow(): void {
    const length = this.#keys.length * 2;
    const keys = new Float64Array(length);
    const weights = new Float64Array(length);
    const places = new Int32Array(length).fill(notInHeap);
    const heap = new Int32Array(length);
    keys.set(this.#keys);
    weights.set(this.#weights);
    places.set(this.#places);
    heap.set(this.#heap);
    this.#keys = keys;
    this.#weights = weights;
    this.#places = places;
    this.#heap = heap;
  }
}

/** `LeastDispatched` over lists of candidates. A new list costs O(n), each pick from it O(log n). */
export class LeastDispatchedPicker implements Picker {
  readonly #order: LeastDispatched = new LeastDispatched();
  readonly #members = new Map<string, number>();
  /** By member. */
  readonly #candidates: (Candidate | undefined)[] = [];
  #given: readonly Candidate[] | undefined;

  pick<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) this.#take(candidates);
    return this.#candidates[this.#order.pick()] as C | undefined;
  }

  #take(candidates: readonly Candidate[]): void {
    this.#given = candidates;
    const ready = new Set(usable(candidates));
    const present = new Set(candidates.map(({ id }) => id));
    for (const [id, member] of this.#members) {
      if (present.has(id)) continue;
      this.#order.remove(member);
      this.#members.delete(id);
      this.#candidates[member] = undefined;
    }
    for (const candidate of candidates) {
      let member = this.#members.get(candidate.id);
      if (member === undefined) {
        member = this.#order.add(candidate.weight);
        this.#members.set(candidate.id, member);
      }
      this.#order.setWeight(member, candidate.weight);
      this.#candidates[member] = candidate;
      this.#order.setReady(member, ready.has(candidate));
    }
  }
}
