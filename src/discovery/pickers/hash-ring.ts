/** A point is `position * ownersMax + owner`: exact in a number, and sorted by position. */
const ownersMax = 2 ** 21;

/** The 32 bits that decide a key's place. FNV-1a over UTF-16 code units, its bits spread by MurmurHash3's finalizer. */
export function keyHash(text: string, seed = 0): number {
  let hash = 0x811c_9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  return spread(hash);
}

function spread(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * A circle of 2^32 positions with points of owners on it (Karger and others, 1997). An owner's n-th point is always at
 * the same place, so more points for one move keys to that one only, and fewer move only its own.
 *
 * Owners are small integers. A change costs O(points) copies, a look-up O(1): a table of starts finds the place.
 */
export class HashRing {
  #points: Float64Array = new Float64Array(0);
  /** By the highest bits of a position: the first point at or after them. */
  #starts: Uint32Array = new Uint32Array(1);
  #startBits = 0;
  /** By owner. */
  readonly #counts: number[] = [];
  readonly #seeds: number[] = [];
  readonly #stepSeeds: number[] = [];
  /** Points that the next `apply` adds and takes away. */
  #added: number[] = [];
  #dropped: number[] = [];

  get size(): number {
    return this.#points.length;
  }

  /** A new owner, without points, of a number that is free. `name` decides where its points lie. */
  join(owner: number, name: string): void {
    this.#counts[owner] = 0;
    this.#seeds[owner] = keyHash(name);
    this.#stepSeeds[owner] = keyHash(name, 0x9747_b28c);
  }

  /** How many points an owner has after the next `apply`. */
  setPoints(owner: number, count: number): void {
    const before = this.#counts[owner]!;
    for (let i = before; i < count; i++) this.#added.push(this.#point(owner, i));
    for (let i = count; i < before; i++) this.#dropped.push(this.#point(owner, i));
    this.#counts[owner] = count;
  }

  /** Performs what `setPoints` has noted: one pass over the points, which stay sorted. */
  apply(): void {
    if (this.#added.length === 0 && this.#dropped.length === 0) return;
    const old = this.#points;
    const points = new Float64Array(old.length + this.#added.length - this.#dropped.length);
    const added = sorted(this.#added);
    const dropped = sorted(this.#dropped);
    this.#added = [];
    this.#dropped = [];
    let size = 0;
    let nextAdded = 0;
    let nextDropped = 0;
    for (let i = 0; i < old.length; i++) {
      const point = old[i]!;
      if (point === dropped[nextDropped]) {
        nextDropped++;
        continue;
      }
      while (added[nextAdded]! < point) points[size++] = added[nextAdded++]!;
      points[size++] = point;
    }
    while (size < points.length) points[size++] = added[nextAdded++]!;
    this.#points = points;
    this.#index();
  }

  /** The place of the first point at or after a position; the ring is not empty. */
  placeOf(position: number): number {
    const points = this.#points;
    const from = position * ownersMax;
    let place = this.#startBits === 0 ? 0 : this.#starts[position >>> (32 - this.#startBits)]!;
    while (place < points.length && points[place]! < from) place++;
    return place === points.length ? 0 : place;
  }

  ownerAt(place: number): number {
    return this.#points[place]! % ownersMax;
  }

  #point(owner: number, index: number): number {
    const position = spread(this.#seeds[owner]! ^ spread(this.#stepSeeds[owner]! + Math.imul(index, 0x9e37_79b9)));
    return position * ownersMax + owner;
  }

  /** One start a point, about. */
  #index(): void {
    const points = this.#points;
    const size = points.length;
    this.#startBits = size < 2 ? 0 : Math.min(20, 31 - Math.clz32(size));
    const starts = new Uint32Array(2 ** this.#startBits);
    const width = 2 ** (32 - this.#startBits) * ownersMax;
    let place = 0;
    for (let i = 0; i < starts.length; i++) {
      while (place < size && points[place]! < i * width) place++;
      starts[i] = place;
    }
    this.#starts = starts;
  }
}

/** With an end that no point reaches, so that nobody reads beyond it. */
function sorted(points: number[]): Float64Array {
  points.push(Number.POSITIVE_INFINITY);
  return Float64Array.from(points).sort();
}
