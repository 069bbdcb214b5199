/**
 * Finds a run's slot by its offset: pages of 4,096 offsets, each an array of slots. A page with few live runs left
 * (old dead letters among records long done) gives its entries to a hash table, so that a run far from others doesn't
 * cost a page. 0 is no slot.
 */
const pageShift = 12;
const pageOffsets = 1 << pageShift;
const pageMask = pageOffsets - 1;
/** A page that falls to so many entries is given up; it is several times what a hash entry costs. */
const sparseMax = 64;

interface Page {
  readonly slots: Uint32Array;
  count: number;
}

export class OffsetIndex {
  readonly #pages: Map<number, Page> = new Map<number, Page>();
  readonly #sparse: Map<number, number> = new Map<number, number>();
  /** The page that was used last, and the highest one: it still fills. */
  #lastNumber = -1;
  #lastPage: Page | undefined;
  #highest = -1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Estimated bytes in use. */
  get bytes(): number {
    return this.#pages.size * (pageOffsets * 4 + 200) + this.#sparse.size * 48;
  }

  find(offset: number): number {
    const page = this.#page(Math.floor(offset / pageOffsets));
    if (page !== undefined) return page.slots[offset & pageMask]!;
    return this.#sparse.size === 0 ? 0 : (this.#sparse.get(offset) ?? 0);
  }

  /** `offset` must not be in the index; offsets come in rising order. */
  set(offset: number, slot: number): void {
    const number = Math.floor(offset / pageOffsets);
    let page = this.#page(number);
    if (page === undefined) {
      page = { slots: new Uint32Array(pageOffsets), count: 0 };
      this.#pages.set(number, page);
      const before = this.#highest;
      this.#highest = Math.max(this.#highest, number);
      if (before !== this.#highest) this.#thin(before);
      this.#lastNumber = number;
      this.#lastPage = page;
    }
    page.slots[offset & pageMask] = slot;
    page.count++;
    this.#size++;
  }

  delete(offset: number): void {
    const number = Math.floor(offset / pageOffsets);
    const page = this.#page(number);
    if (page === undefined) {
      if (this.#sparse.delete(offset)) this.#size--;
      return;
    }
    if (page.slots[offset & pageMask] === 0) return;
    page.slots[offset & pageMask] = 0;
    page.count--;
    this.#size--;
    if (page.count <= sparseMax && number !== this.#highest) this.#thin(number);
  }

  /** Slots by falling offset below `before`, until `each` returns false. */
  walkDown(before: number, each: (slot: number) => boolean): void {
    const starts = [...this.#pages.keys()].sort((a, b) => b - a);
    const sparse = [...this.#sparse.keys()].filter((offset) => offset < before).sort((a, b) => b - a);
    let next = 0;
    const sparseDownTo = (end: number): boolean => {
      for (; next < sparse.length && sparse[next]! >= end; next++) {
        if (!each(this.#sparse.get(sparse[next]!)!)) return false;
      }
      return true;
    };
    for (const number of starts) {
      const start = number * pageOffsets;
      if (start >= before) continue;
      if (!sparseDownTo(start + pageOffsets)) return;
      const { slots } = this.#pages.get(number)!;
      for (let i = Math.min(pageOffsets, before - start) - 1; i >= 0; i--) {
        if (slots[i] !== 0 && !each(slots[i]!)) return;
      }
    }
    sparseDownTo(0);
  }

  #page(number: number): Page | undefined {
    if (number === this.#lastNumber) return this.#lastPage;
    const page = this.#pages.get(number);
    if (page !== undefined) {
      this.#lastNumber = number;
      this.#lastPage = page;
    }
    return page;
  }

  /** Gives a page up if it holds few entries. */
  #thin(number: number): void {
    const page = this.#pages.get(number);
    if (page === undefined || page.count > sparseMax) return;
    if (page.count > 0) {
      const start = number * pageOffsets;
      for (let i = 0; i < pageOffsets; i++) if (page.slots[i] !== 0) this.#sparse.set(start + i, page.slots[i]!);
    }
    this.#pages.delete(number);
    if (this.#lastNumber === number) {
      this.#lastNumber = -1;
      this.#lastPage = undefined;
    }
  }
}
