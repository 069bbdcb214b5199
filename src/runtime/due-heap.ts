/** An entry of a `DueHeap`; `index` is the heap's own (−1 while not in it). */
export interface Due {
  readonly dueMs: number;
  /** Breaks ties: entries of one time leave in the order of their numbers. */
  readonly order: number;
  index: number;
}

/**
 * A binary heap by due time, then by order, from which any entry can be removed in O(log n). For the handful of timers
 * that the seams hold; whoever has many timeouts puts a timing wheel on one timer.
 */
export class DueHeap<T extends Due> {
  readonly #entries: T[] = [];

  get size(): number {
    return this.#entries.length;
  }

  peek(): T | undefined {
    return this.#entries[0];
  }

  /** All entries, in no order. */
  entries(): IterableIterator<T> {
    return this.#entries.values();
  }

  push(entry: T): void {
    this.#entries.push(entry);
    this.#up(entry, this.#entries.length - 1);
  }

  pop(): T | undefined {
    const first = this.#entries[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Harmless when the entry is not in the heap. */
  remove(entry: T): void {
    const at = entry.index;
    if (at < 0) return;
    entry.index = -1;
    const last = this.#entries.pop()!;
    if (last === entry) return;
    if (at > 0 && before(last, this.#entries[(at - 1) >> 1]!)) this.#up(last, at);
    else this.#down(last, at);
  }

  #up(entry: T, at: number): void {
    const entries = this.#entries;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = entries[parentAt]!;
      if (!before(entry, parent)) break;
      entries[at] = parent;
      parent.index = at;
      at = parentAt;
    }
    entries[at] = entry;
    entry.index = at;
  }

  #down(entry: T, at: number): void {
    const entries = this.#entries;
    for (;;) {
      let childAt = 2 * at + 1;
      if (childAt >= entries.length) break;
      if (childAt + 1 < entries.length && before(entries[childAt + 1]!, entries[childAt]!)) childAt++;
      const child = entries[childAt]!;
      if (!before(child, entry)) break;
      entries[at] = child;
      child.index = at;
      at = childAt;
    }
    entries[at] = entry;
    entry.index = at;
  }
}

function before(a: Due, b: Due): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}
