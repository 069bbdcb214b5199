import type { Candidate } from '../picker.js';

/** What whoever keeps numbers by slot does when the list changes. */
export interface RosterListener {
  /** The slot is the candidate's from now on; it may have been another's before. */
  joined(slot: number, candidate: Candidate): void;
  left?(slot: number): void;
}

/**
 * Gives everyone of the latest list a small number, his slot, for as long as he is listed, so that what is remembered
 * of candidates lies in arrays. Slots of those who left are given anew: there are never more than the longest list had.
 * A new list costs O(n).
 */
export class Roster {
  readonly #slots = new Map<string, number>();
  readonly #free: number[] = [];
  /** By slot: the list in which its owner was seen last. */
  readonly #seen: number[] = [];
  #turn = 0;

  get size(): number {
    return this.#slots.size;
  }

  /** The slot of someone who is listed. */
  slotOf(id: string): number | undefined {
    return this.#slots.get(id);
  }

  /** Takes another list: tells first who left, then who joined, in the order of the list. */
  take(candidates: readonly Candidate[], listener: RosterListener): void {
    const turn = ++this.#turn;
    let stayed = 0;
    for (const { id } of candidates) {
      const slot = this.#slots.get(id);
      if (slot === undefined || this.#seen[slot] === turn) continue;
      this.#seen[slot] = turn;
      stayed++;
    }
    if (stayed < this.#slots.size) {
      for (const [id, slot] of this.#slots) {
        if (this.#seen[slot] === turn) continue;
        this.#slots.delete(id);
        this.#free.push(slot);
        listener.left?.(slot);
      }
    }
    if (stayed === candidates.length) return;
    for (const candidate of candidates) {
      if (this.#slots.has(candidate.id)) continue;
      const slot = this.#free.pop() ?? this.#seen.length;
      this.#seen[slot] = turn;
      this.#slots.set(candidate.id, slot);
      listener.joined(slot, candidate);
    }
  }
}
