const notInHeap = -1;

/**
 * A binary heap of small integers that knows where each of them is: O(log n) to add, take out, or put right after a
 * member's key changed. What comes first is `isBefore`'s to say, from keys that the owner keeps.
 */
export class MemberHeap {
  readonly #isBefore: (a: number, b: number) => boolean;
  readonly #heap: number[] = [];
  /** By member: place in the heap, or `notInHeap`. */
  readonly #places: number[] = [];

  constructor(isBefore: (a: number, b: number) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** -1 when there is none. */
  get first(): number {
    return this.#heap[0] ?? -1;
  }

  has(member: number): boolean {
    return (this.#places[member] ?? notInHeap) !== notInHeap;
  }

  /** Adds a member, or puts one that is there in its right place: call it after every change of its key. */
  put(member: number): void {
    while (this.#places.length <= member) this.#places.push(notInHeap);
    const place = this.#places[member]!;
    if (place === notInHeap) {
      this.#heap.push(member);
      this.#up(this.#heap.length - 1, member);
      return;
    }
    this.#up(place, member);
    this.#down(this.#places[member]!, member);
  }

  remove(member: number): void {
    if (!this.has(member)) return;
    const place = this.#places[member]!;
    this.#places[member] = notInHeap;
    const last = this.#heap.pop()!;
    if (last === member) return;
    this.#up(place, last);
    this.#down(this.#places[last]!, last);
  }

  #set(place: number, member: number): void {
    this.#heap[place] = member;
    this.#places[member] = place;
  }

  #up(place: number, member: number): void {
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#heap[above]!;
      if (!this.#isBefore(member, parent)) break;
      this.#set(place, parent);
      place = above;
    }
    this.#set(place, member);
  }

  #down(place: number, member: number): void {
    const heap = this.#heap;
    for (;;) {
      let below = place * 2 + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && this.#isBefore(heap[below + 1]!, heap[below]!)) below++;
      const child = heap[below]!;
      if (!this.#isBefore(child, member)) break;
      this.#set(place, child);
      place = below;
    }
    this.#set(place, member);
  }
}
