import type { Random } from '../random.js';

export const pageBytes: number = 4096;
export const sectorBytes: number = 512;

const zeroPage = new Uint8Array(pageBytes);

/** Chance that the system wrote a dirty page back, sector by sector, before it is written again. */
const writebackChance = 0.03;

/**
 * The content of one file, twice: the page cache, which every process sees, and the platter, which is what a power
 * loss leaves. A disk writes sectors of 512 bytes; the system writes pages of 4 KiB back whenever it likes and in any
 * order, and must only after a sync.
 *
 * Pages are shared between the two and copied when written, so a page of the cache that is the platter's is clean.
 */
export class SimFile {
  size = 0;
  #durableSize = 0;
  readonly #random: Random;
  #pages = new Map<number, Uint8Array>();
  #durable = new Map<number, Uint8Array>();
  /** Dirty pages with the number of the write that last touched them. */
  readonly #dirty = new Map<number, number>();
  #writes = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Numbers the writes so far; a sync asked for now promises these and may or may not cover later ones. */
  get writes(): number {
    return this.#writes;
  }

  get pageCount(): number {
    return this.#pages.size;
  }

  /** Pages that a write of `length` bytes at `position` would add. */
  newPages(position: number, length: number): number {
    let count = 0;
    for (let page = Math.floor(position / pageBytes); page * pageBytes < position + length; page++) {
      if (!this.#pages.has(page)) count++;
    }
    return count;
  }

  read(into: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(into.length, this.size - position));
    for (let at = 0; at < length; ) {
      const offset = (position + at) % pageBytes;
      const count = Math.min(pageBytes - offset, length - at);
      const page = this.#pages.get(Math.floor((position + at) / pageBytes)) ?? zeroPage;
      into.set(page.subarray(offset, offset + count), at);
      at += count;
    }
    return length;
  }

  write(bytes: Uint8Array, position: number): void {
    for (let at = 0; at < bytes.length; ) {
      const offset = (position + at) % pageBytes;
      const count = Math.min(pageBytes - offset, bytes.length - at);
      this.#writable(Math.floor((position + at) / pageBytes)).set(bytes.subarray(at, at + count), offset);
      at += count;
    }
    if (bytes.length > 0) this.size = Math.max(this.size, position + bytes.length);
  }

  truncate(length: number): void {
    if (length < this.size) {
      const boundary = Math.floor(length / pageBytes);
      for (const page of [...this.#pages.keys()]) {
        if (page === boundary) this.#writable(page).fill(0, length % pageBytes);
        else if (page > boundary) {
          this.#pages.set(page, zeroPage);
          this.#dirty.set(page, ++this.#writes);
        }
      }
    }
    this.#writes++;
    this.size = length;
  }

  /** A sync that was asked for after `writes` writes completes. */
  sync(writes: number): void {
    for (const [page, write] of [...this.#dirty]) {
      if (write > writes && this.#random.below(2) === 0) continue;
      this.#persist(page);
    }
    this.#setDurableSize(this.size);
  }

  /** What a write through has put there is on disk; of the other pages some may be, too. */
  syncRange(position: number, length: number): void {
    const first = Math.floor(position / pageBytes);
    const last = Math.floor((position + length - 1) / pageBytes);
    for (const page of [...this.#dirty.keys()]) {
      if ((page >= first && page <= last) || this.#random.below(4) === 0) this.#persist(page);
    }
    if (length > 0) this.#setDurableSize(Math.max(this.#durableSize, position + length));
  }

  /** The system writes some dirty sectors back, unasked or for a sync that was cut short. */
  writeBack(): void {
    const share = this.#random.unit();
    for (const page of this.#dirty.keys()) this.#persistSectors(page, share);
  }

  /** A sync fails: some sectors made it, and the system takes every page for clean and never says so again. */
  failSync(): void {
    this.writeBack();
    this.#dirty.clear();
    if (this.#random.below(2) === 0) this.#setDurableSize(this.size);
  }

  /** The system drops clean pages from memory; after a failed sync that shows what the platter really has. */
  evict(): void {
    for (const page of [...this.#pages.keys()]) {
      if (this.#dirty.has(page) || this.#random.below(2) === 0) continue;
      const durable = this.#durable.get(page);
      if (durable === undefined) this.#pages.delete(page);
      else this.#pages.set(page, durable);
    }
  }

  /** The power goes: of each page not synced any sectors remain, and of an unsynced size anything between. */
  losePower(share: number): void {
    for (const page of this.#dirty.keys()) this.#persistSectors(page, share);
    this.#dirty.clear();
    if (this.size !== this.#durableSize) {
      const choice = this.#random.unit();
      const grown = this.size - this.#durableSize;
      if (choice < 0.5) this.#durableSize = this.size;
      else if (choice < 0.7 && grown > 0) this.#durableSize += this.#random.below(grown);
    }
    this.#setDurableSize(this.#durableSize);
    this.#pages = new Map(this.#durable);
    this.size = this.#durableSize;
  }

  /** Turns one bit over, in memory and on the platter, as rot does. */
  flipBit(position: number, bit: number): void {
    const page = Math.floor(position / pageBytes);
    const offset = position % pageBytes;
    for (const pages of [this.#pages, this.#durable]) {
      const bytes = pages.get(page);
      if (bytes === undefined) continue;
      const copy = bytes.slice();
      copy[offset]! ^= 1 << bit;
      pages.set(page, copy);
    }
  }

  #writable(page: number): Uint8Array {
    let bytes = this.#pages.get(page);
    if (bytes === undefined || bytes === zeroPage || bytes === this.#durable.get(page)) {
      bytes = bytes === undefined ? new Uint8Array(pageBytes) : bytes.slice();
      this.#pages.set(page, bytes);
    } else if (this.#dirty.has(page) && this.#random.unit() < writebackChance) {
      this.#persistSectors(page, 0.5);
    }
    this.#dirty.set(page, ++this.#writes);
    return bytes;
  }

  #persist(page: number): void {
    this.#dirty.delete(page);
    const bytes = this.#pages.get(page)!;
    if (bytes !== zeroPage) this.#durable.set(page, bytes);
    else {
      this.#pages.delete(page);
      this.#durable.delete(page);
    }
  }

  #persistSectors(page: number, share: number): void {
    const cached = this.#pages.get(page) ?? zeroPage;
    const durable = this.#durable.get(page)?.slice() ?? new Uint8Array(pageBytes);
    for (let at = 0; at < pageBytes; at += sectorBytes) {
      if (this.#random.unit() < share) durable.set(cached.subarray(at, at + sectorBytes), at);
    }
    this.#durable.set(page, durable);
  }

  /** Content beyond the size is no content: it reads as zeros if the file grows again. */
  #setDurableSize(size: number): void {
    this.#durableSize = size;
    const boundary = Math.floor(size / pageBytes);
    for (const [page, bytes] of [...this.#durable]) {
      if (page > boundary || (page === boundary && size % pageBytes === 0)) this.#durable.delete(page);
      else if (page === boundary && bytes !== this.#pages.get(page)) bytes.fill(0, size % pageBytes);
    }
  }
}
