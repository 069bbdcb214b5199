/**
 * Places that changed, in order, for all who watch one service or one group: kept once, and read by each watcher from
 * its own position on. A position is how many were noted before.
 */
export class ChangeJournal {
  #places: string[] = [];
  /** The position of the first one kept. */
  #begin = 0;

  get end(): number {
    return this.#begin + this.#places.length;
  }

  note(place: string): void {
    this.#places.push(place);
  }

  /** What was noted at this position; it must not be trimmed. */
  at(position: number): string {
    return this.#places[position - this.#begin]!;
  }

  /** Forgets what lies before this position. */
  trim(position: number): void {
    if (position >= this.end) this.#places = [];
    else this.#places.splice(0, position - this.#begin);
    this.#begin = position;
  }
}
