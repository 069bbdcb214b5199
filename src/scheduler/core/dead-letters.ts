import { taskd } from '../../wire/generated/messages.js';
import { Flag, type RunTable } from './run-table.js';

/**
 * Dead letters that a shard keeps. A constant of the log's format: what a RunReplay finds depends on it, so every
 * replay must use the same.
 */
export const deadLettersMax = 100_000;

/** The dead letters of a shard in the order of their deaths, and how many there are. Apps hold lists of their own. */
export class DeadLetters {
  readonly #runs: RunTable;
  readonly #max: number;
  /** Ids; those of replayed ones stay until they come first, or outnumber the others. */
  #ids: number[] = [];
  #first = 0;
  #size = 0;
  /** Those that had to make room, since the start of the log. */
  droppedTotal = 0;

  constructor(runs: RunTable, max: number) {
    this.#runs = runs;
    this.#max = max;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a run; returns the slot of the oldest one if that has to make room, else 0. */
  add(slot: number): number {
    this.#ids.push(this.#runs.id.get(slot));
    if (this.#size++ < this.#max) return 0;
    this.droppedTotal++;
    for (;;) {
      const oldest = this.#listed(this.#ids[this.#first++]!);
      if (oldest === 0) continue;
      this.#leave();
      return oldest;
    }
  }

  /** One of them was replayed, and says so by its flag. */
  replayed(): void {
    this.#leave();
  }

  #leave(): void {
    this.#size--;
    if (this.#ids.length <= 2 * this.#size + 1_024) return;
    this.#ids = this.#ids.slice(this.#first).filter((id) => this.#listed(id) !== 0);
    this.#first = 0;
  }

  /** The slot of a run that is on the list still, or 0. */
  #listed(id: number): number {
    const runs = this.#runs;
    const slot = runs.find(id);
    if (slot === 0 || runs.state.get(slot) !== taskd.RunState.DEAD) return 0;
    return runs.hasFlag(slot, Flag.REPLAYED | Flag.DROPPED) ? 0 : slot;
  }
}
