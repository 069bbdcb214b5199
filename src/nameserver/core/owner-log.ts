import type { Health, InstanceClaim, InstanceVersion } from '../instance.js';
import type { InstanceKey } from './instance-key.js';
import type { LogEntry, Place } from './place.js';

/** One change in an owner's log. `movedBy`: the claim ended for a higher one, and leaves a ghost, no tombstone. */
export type Change =
  | { readonly kind: 'put'; readonly claim: InstanceClaim; readonly health: Health }
  | {
      readonly kind: 'end';
      readonly key: InstanceKey;
      readonly version: InstanceVersion;
      readonly movedBy: InstanceVersion | undefined;
    };

/** Changes that are kept for whoever is behind; who is further behind gets the whole state. */
export const historyMax = 8_192;

/**
 * What is known of one owner's log: its state at `sequence` and the latest changes. One writer numbers it, from 1 in
 * each of its incarnations, so any node can hold it, serve it and pass it on.
 */
export class OwnerLog {
  readonly owner: string;
  incarnation = 0;
  sequence = 0;
  /** Two sums over the entries, kept at each change: equal states have equal sums. */
  hashA = 0;
  hashB = 0;
  readonly entries: Map<Place, LogEntry> = new Map();
  /** How far the incarnation before was known here, and since when this one is, in live time. */
  former: { readonly incarnation: number; readonly sequence: number; readonly endedMs: number } | undefined;
  /** Its owner is gone: what it says is served as suspect. */
  isSuspect = false;
  /** Its owner is gone for long: entries up to `hiddenSequence` are not shown, later ones are. */
  isHidden = false;
  hiddenSequence = -1;
  /** The latest changes, the last one being `sequence`; up to twice `historyMax`. */
  #history: Change[] = [];

  constructor(owner: string) {
    this.owner = owner;
  }

  /** Has all up to this position, or a later incarnation. */
  covers(incarnation: number, sequence: number): boolean {
    return this.incarnation > incarnation || (this.incarnation === incarnation && this.sequence >= sequence);
  }

  /** Counts one change more, which the caller applies. */
  append(change: Change): void {
    this.sequence++;
    this.#history.push(change);
    if (this.#history.length >= 2 * historyMax) this.#history.splice(0, historyMax);
  }

  /** The entry is one of those that are hidden with their owner. */
  hides(entry: LogEntry): boolean {
    return this.isHidden && entry.sequence <= this.hiddenSequence;
  }

  /** Changes from this number on; undefined when they are not all kept. */
  changesFrom(sequence: number): readonly Change[] | undefined {
    const back = this.sequence - sequence + 1;
    if (back > this.#history.length) return undefined;
    return back <= 0 ? [] : this.#history.slice(this.#history.length - back);
  }

  set(place: Place, claim: InstanceClaim, health: Health, sequence: number, atMs: number): void {
    const before = this.entries.get(place);
    if (before !== undefined) this.#add(before, -1);
    const entry: LogEntry = { log: this, place, claim, health, sequence, atMs };
    this.#add(entry, 1);
    this.entries.set(place, entry);
    place.setEntry(this, entry);
  }

  delete(place: Place): LogEntry | undefined {
    const entry = this.entries.get(place);
    if (entry === undefined) return undefined;
    this.#add(entry, -1);
    this.entries.delete(place);
    place.setEntry(this, undefined);
    return entry;
  }

  /** Empties the log and goes to another position. The places of its entries are the caller's to look at. */
  restart(incarnation: number, sequence: number): void {
    for (const place of this.entries.keys()) place.setEntry(this, undefined);
    this.entries.clear();
    this.#history = [];
    this.hashA = this.hashB = 0;
    this.incarnation = incarnation;
    this.sequence = sequence;
  }

  /** The incarnation ends that is known so far. */
  end(liveMs: number): void {
    this.former = { incarnation: this.incarnation, sequence: this.sequence, endedMs: liveMs };
  }

  /** The same entries in a new incarnation, numbered anew. */
  renumber(incarnation: number, liveMs: number): void {
    this.end(liveMs);
    const entries = [...this.entries.values()];
    this.restart(incarnation, 0);
    for (const { place, claim, health, atMs } of entries) this.set(place, claim, health, ++this.sequence, atMs);
  }

  #add({ place, claim, health }: LogEntry, sign: number): void {
    const { incarnation, counter } = claim.version;
    const state = mix(mix(incarnation / 0x1_0000_0000, incarnation), counter) + (health === 'up' ? 1 : 2);
    this.hashA = (this.hashA + sign * mix(place.hashA, state)) >>> 0;
    this.hashB = (this.hashB + sign * mix(place.hashB, state)) >>> 0;
  }
}

/** The finalizer of MurmurHash3 (Appleby), over two words. */
function mix(a: number, b: number): number {
  let hash = Math.imul(a ^ Math.imul(b, 0xcc9e_2d51), 0x1b87_3593);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
