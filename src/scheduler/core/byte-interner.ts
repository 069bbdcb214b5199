/** One interned key: bytes and a number beside them, with a value made once for both. */
interface Entry<T> {
  readonly bytes: Uint8Array;
  readonly extra: number;
  readonly hash: number;
  readonly value: T;
  references: number;
  /** The next entry of the same bucket, 0 at the end. */
  next: number;
}

/**
 * Gives each (bytes, number) pair a small index and a value, found again without making a string. Entries are counted:
 * each `intern` takes one reference, and the last `release` frees the entry and its index. Index 0 is never used.
 */
export class ByteInterner<T> {
  readonly #create: (bytes: Uint8Array, extra: number, index: number) => T;
  readonly #dispose: (value: T) => void;
  #entries: (Entry<T> | undefined)[] = [undefined];
  readonly #free: number[] = [];
  #buckets: Uint32Array = new Uint32Array(64);
  #size = 0;
  /** The entry that was found last: neighbours in a log are often alike. */
  #last = 0;

  constructor(create: (bytes: Uint8Array, extra: number, index: number) => T, dispose: (value: T) => void = () => {}) {
    this.#create = create;
    this.#dispose = dispose;
  }

  get size(): number {
    return this.#size;
  }

  at(index: number): T {
    return this.#entries[index]!.value;
  }

  /** The index of this pair, made if it is new. Takes a reference. */
  intern(source: Uint8Array, start: number, end: number, extra: number): number {
    const found = this.find(source, start, end, extra);
    if (found !== 0) {
      this.#entries[found]!.references++;
      return found;
    }
    const bytes = source.slice(start, end);
    const hash = hashOf(bytes, 0, bytes.length, extra);
    const index = this.#free.pop() ?? this.#entries.length;
    if (this.#size >= this.#buckets.length) this.#rehash(this.#buckets.length * 2);
    const bucket = hash & (this.#buckets.length - 1);
    const value = this.#create(bytes, extra, index);
    this.#entries[index] = { bytes, extra, hash, value, references: 1, next: this.#buckets[bucket]! };
    this.#buckets[bucket] = index;
    this.#size++;
    this.#last = index;
    return index;
  }

  /** The index of this pair, or 0. Takes no reference. */
  find(source: Uint8Array, start: number, end: number, extra: number): number {
    if (this.#last !== 0 && isSame(this.#entries[this.#last]!, source, start, end, extra)) return this.#last;
    const hash = hashOf(source, start, end, extra);
    let index = this.#buckets[hash & (this.#buckets.length - 1)]!;
    while (index !== 0) {
      const entry = this.#entries[index]!;
      if (entry.hash === hash && isSame(entry, source, start, end, extra)) {
        this.#last = index;
        return index;
      }
      index = entry.next;
    }
    return 0;
  }

  retain(index: number): void {
    this.#entries[index]!.references++;
  }

  release(index: number): void {
    const entry = this.#entries[index]!;
    if (--entry.references > 0) return;
    const bucket = entry.hash & (this.#buckets.length - 1);
    if (this.#buckets[bucket] === index) {
      this.#buckets[bucket] = entry.next;
    } else {
      let before = this.#entries[this.#buckets[bucket]!]!;
      while (before.next !== index) before = this.#entries[before.next]!;
      before.next = entry.next;
    }
    this.#entries[index] = undefined;
    this.#free.push(index);
    this.#size--;
    if (this.#last === index) this.#last = 0;
    this.#dispose(entry.value);
  }

  *values(): IterableIterator<T> {
    for (const entry of this.#entries) if (entry !== undefined) yield entry.value;
  }

  #rehash(buckets: number): void {
    this.#buckets = new Uint32Array(buckets);
    this.#entries.forEach((entry, index) => {
      if (entry === undefined) return;
      const bucket = entry.hash & (buckets - 1);
      entry.next = this.#buckets[bucket]!;
      this.#buckets[bucket] = index;
    });
  }
}

function isSame<T>(entry: Entry<T>, source: Uint8Array, start: number, end: number, extra: number): boolean {
  const { bytes } = entry;
  if (entry.extra !== extra || bytes.length !== end - start) return false;
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== source[start + i]) return false;
  return true;
}

/** FNV-1a (Fowler, Noll, Vo) over the bytes, then the number. */
function hashOf(source: Uint8Array, start: number, end: number, extra: number): number {
  let hash = 0x811c_9dc5 ^ (extra >>> 0) ^ Math.imul(Math.floor(extra / 2 ** 32), 0x9e37_79b1);
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ source[i]!, 0x0100_0193);
  return (hash ^ (hash >>> 15)) >>> 0;
}
