import type { Random } from '../../runtime/random.js';
import { type Candidate, type Picker, usable } from '../picker.js';
import { MemberHeap } from './member-heap.js';
import { Roster } from './roster.js';

/** Virtual times are brought back to small numbers here, long before their fractions get lost. */
const virtualTimeMax = 2 ** 30;

/**
 * `least-active`: the fewest calls in flight for the weight. Among equals the least dispatched is next, by virtual time
 * (see `LeastDispatched`), so that without load it goes around by weight, and not to the same one each time.
 * O(log n) a pick and an answer, O(n log n) a new list.
 */
export class LeastActivePicker implements Picker {
  readonly #random: Random;
  readonly #roster: Roster = new Roster();
  /** By slot. */
  readonly #candidates: (Candidate | undefined)[] = [];
  readonly #active: number[] = [];
  readonly #loads: number[] = [];
  readonly #keys: number[] = [];
  readonly #order: MemberHeap = new MemberHeap((a, b) => {
    const difference = this.#loads[a]! - this.#loads[b]!;
    return difference < 0 || (difference === 0 && this.#keys[a]! < this.#keys[b]!);
  });
  #virtualTime = 0;
  #given: readonly Candidate[] | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  pick<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) this.#take(candidates);
    const slot = this.#order.first;
    if (slot === -1) return undefined;
    const candidate = this.#candidates[slot] as C;
    const virtualTime = Math.max(this.#keys[slot]!, this.#virtualTime);
    this.#virtualTime = virtualTime;
    this.#keys[slot] = virtualTime + 1 / candidate.weight;
    this.#loads[slot] = ++this.#active[slot]! / candidate.weight;
    this.#order.put(slot);
    if (virtualTime > virtualTimeMax) this.#rebase();
    return candidate;
  }

  done(id: string): void {
    const slot = this.#roster.slotOf(id);
    if (slot === undefined || this.#active[slot] === 0) return;
    this.#loads[slot] = --this.#active[slot]! / this.#candidates[slot]!.weight;
    if (this.#order.has(slot)) this.#order.put(slot);
  }

  #take(candidates: readonly Candidate[]): void {
    this.#given = candidates;
    this.#roster.take(candidates, {
      joined: (slot, { weight }) => {
        this.#active[slot] = 0;
        this.#keys[slot] = this.#virtualTime + (weight > 0 ? this.#random.unit() / weight : 0);
      },
      left: (slot) => {
        this.#order.remove(slot);
        this.#candidates[slot] = undefined;
      },
    });
    const ready = usable(candidates);
    let next = 0;
    for (const candidate of candidates) {
      const slot = this.#roster.slotOf(candidate.id)!;
      this.#candidates[slot] = candidate;
      // A key changes only outside of the heap or right before it is put in its place.
      this.#loads[slot] = this.#active[slot]! / candidate.weight;
      // `ready` has the order of the list.
      if (ready[next] === candidate) {
        next++;
        this.#order.put(slot);
      } else {
        this.#order.remove(slot);
      }
    }
  }

  /** Takes the virtual time off every key; those behind it are at it, which changes no order but to a tie. */
  #rebase(): void {
    for (let slot = 0; slot < this.#keys.length; slot++) {
      this.#keys[slot] = Math.max(0, this.#keys[slot]! - this.#virtualTime);
    }
    this.#virtualTime = 0;
  }
}
