import { assert } from '../../base/errors.js';
import { MemberHeap } from './member-heap.js';

/** Keys are brought back to small numbers at this virtual time, long before their fractions get lost. */
const virtualTimeMax = 2 ** 30;

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
 * Members are small integers; a binary heap, O(log n) a pick, nothing allocated.
 */
export class LeastDispatched {
  /** By member. */
  readonly #keys: number[] = [];
  readonly #weights: number[] = [];
  readonly #free: number[] = [];
  readonly #ready: MemberHeap = new MemberHeap((a, b) => this.#keys[a]! < this.#keys[b]!);
  #virtualTime = 0;

  /** Members that are ready. */
  get readyCount(): number {
    return this.#ready.size;
  }

  /**
   * Adds a member, not ready yet; returns its number, which may be one that was removed before. `phase`, in [0, 1), is
   * how much of its first gap it waits: at random, callers that start together don't all begin with the same one.
   */
  add(weight: number, phase = 0): number {
    assert(weight > 0, 'a weight is above 0');
    const member = this.#free.pop() ?? this.#keys.length;
    this.#keys[member] = this.#virtualTime + phase / weight;
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
    if (!isReady) this.#ready.remove(member);
    else if (!this.#ready.has(member)) this.#ready.put(member);
  }

  /** Who is next, counted as dispatched to; -1 when nobody is ready. */
  pick(): number {
    const member = this.#ready.first;
    if (member === -1) return -1;
    const virtualTime = Math.max(this.#keys[member]!, this.#virtualTime);
    this.#virtualTime = virtualTime;
    this.#keys[member] = virtualTime + 1 / this.#weights[member]!;
    this.#ready.put(member);
    if (virtualTime > virtualTimeMax) this.#rebase();
    return member;
  }

  /** Takes the virtual time off every key. Those behind it are at it: order among the ready may only become a tie. */
  #rebase(): void {
    for (let member = 0; member < this.#keys.length; member++) {
      this.#keys[member] = Math.max(0, this.#keys[member]! - this.#virtualTime);
    }
    this.#virtualTime = 0;
  }
}
