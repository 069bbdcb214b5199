import type { RunTable } from './run-table.js';

/** A doubly linked list of runs through the table's own columns. A run is in one list at most. */
export class RunList {
  head = 0;
  tail = 0;
  size = 0;

  push(runs: RunTable, slot: number): void {
    runs.previous.set(slot, this.tail);
    runs.next.set(slot, 0);
    if (this.tail === 0) this.head = slot;
    else runs.next.set(this.tail, slot);
    this.tail = slot;
    this.size++;
  }

  remove(runs: RunTable, slot: number): void {
    const next = runs.next.get(slot);
    const previous = runs.previous.get(slot);
    if (previous === 0) this.head = next;
    else runs.next.set(previous, next);
    if (next === 0) this.tail = previous;
    else runs.previous.set(next, previous);
    runs.next.set(slot, 0);
    runs.previous.set(slot, 0);
    this.size--;
  }
}
