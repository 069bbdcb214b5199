/**
 * Checkers of a queue: *no acknowledged record is lost*, *none is stored twice*, *what was refused is not stored*, *the
 * order of a producer is kept*, *what a consumer was given stays where it was and is whole*.
 */

/** Offsets whose bytes were damaged on purpose: these may be missing, and nothing else. */
export interface Damaged {
  has(partition: number, offset: number): boolean;
}

const filler = '.';

/** The value of a record: who, where, which one, and how long it is, so that a torn one shows. */
export function recordValue(producer: string, partition: number, number: number, length: number): Buffer {
  return Buffer.from(`${producer}/${partition}/${number}/${length}/`.padEnd(length, filler));
}

interface Parsed {
  readonly key: string;
  readonly producer: string;
  readonly number: number;
}

function parse(value: Uint8Array): Parsed | undefined {
  const text = Buffer.from(value).toString('latin1');
  const [producer, partition, number, length, rest] = text.split('/');
  if (rest === undefined || text.length !== Math.max(Number(length), text.length - rest.length)) return undefined;
  if (rest !== filler.repeat(rest.length)) return undefined;
  return { key: `${producer}/${partition}/${number}`, producer: producer!, number: Number(number) };
}

export class QueueRecords {
  readonly #fail: (error: Error) => void;
  readonly #damaged: Damaged;
  /** By partition and offset, what anybody was given there. */
  readonly #seen: Map<number, Parsed>[];
  readonly #places = new Map<string, number>();
  readonly #acknowledged = new Map<string, { readonly partition: number; readonly offset: number }>();
  readonly #refused = new Set<string>();
  #unknown = 0;

  constructor(partitions: number, damaged: Damaged, fail: (error: Error) => void) {
    this.#fail = fail;
    this.#damaged = damaged;
    this.#seen = Array.from({ length: partitions }, () => new Map());
  }

  get acknowledgedCount(): number {
    return this.#acknowledged.size;
  }

  get seenCount(): number {
    return this.#places.size;
  }

  get unknownCount(): number {
    return this.#unknown;
  }

  /** One past the last offset of `partition` that somebody outside knows of. */
  knownEnd(partition: number): number {
    let end = 0;
    for (const offset of this.#seen[partition]!.keys()) end = Math.max(end, offset + 1);
    for (const place of this.#acknowledged.values()) {
      if (place.partition === partition) end = Math.max(end, place.offset + 1);
    }
    return end;
  }

  acknowledged(value: Uint8Array, partition: number, offset: number): void {
    const { key } = parse(value)!;
    this.#acknowledged.set(key, { partition, offset });
    const place = this.#places.get(key);
    if (place !== undefined && place !== offset) {
      this.#fail(new Error(`record ${key} was acknowledged at ${offset}, but read at ${place}`));
    }
  }

  /** The producer was told that this record was not stored. */
  refused(value: Uint8Array): void {
    const { key } = parse(value)!;
    this.#refused.add(key);
    if (this.#places.has(key)) this.#fail(new Error(`record ${key} was refused, but read`));
  }

  /** Nobody can say whether the record was stored. */
  unknown(): void {
    this.#unknown++;
  }

  /** A consumer was given this record. */
  saw(partition: number, offset: number, value: Uint8Array): void {
    const record = parse(value);
    if (record === undefined) {
      this.#fail(new Error(`partition ${partition}: the record at offset ${offset} is torn`));
      return;
    }
    const { key } = record;
    const before = this.#seen[partition]!.get(offset);
    if (before !== undefined && before.key !== key) {
      this.#fail(new Error(`partition ${partition}: offset ${offset} was ${before.key}, is ${key}`));
    }
    const place = this.#places.get(key);
    if (place !== undefined && place !== offset) {
      this.#fail(new Error(`record ${key} is stored twice, at ${place} and ${offset}`));
    }
    const promised = this.#acknowledged.get(key);
    if (promised !== undefined && promised.offset !== offset) {
      this.#fail(new Error(`record ${key} was acknowledged at ${promised.offset}, but is at ${offset}`));
    }
    if (this.#refused.has(key)) this.#fail(new Error(`record ${key} was refused, but is stored at ${offset}`));
    this.#seen[partition]!.set(offset, record);
    this.#places.set(key, offset);
  }

  /**
   * Somebody has read each partition up to its end, which `ends` tells; `found` holds the offsets it was given. What
   * nobody knew the outcome of may still come after it.
   */
  audit(found: readonly ReadonlySet<number>[], ends: readonly number[]): void {
    for (const [key, { partition, offset }] of this.#acknowledged) {
      if (found[partition]!.has(offset) || this.#damaged.has(partition, offset)) continue;
      this.#fail(new Error(`record ${key}, acknowledged at offset ${offset} of partition ${partition}, is lost`));
    }
    for (const [partition, seen] of this.#seen.entries()) {
      const last = new Map<string, number>();
      for (const [offset, { key, producer, number }] of [...seen].sort(([a], [b]) => a - b)) {
        if (offset < ends[partition]! && !found[partition]!.has(offset) && !this.#damaged.has(partition, offset)) {
          this.#fail(new Error(`record ${key}, read at offset ${offset} of partition ${partition} before, is gone`));
        }
        if (number < (last.get(producer) ?? 0)) this.#fail(new Error(`record ${key} comes after a later one`));
        last.set(producer, number);
      }
    }
  }
}
