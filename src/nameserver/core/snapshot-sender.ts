import type { taskd } from '../../wire/generated/messages.js';
import { instanceMessage } from '../instance.js';
import type { Ghosts } from './ghosts.js';
import type { OwnerLog } from './owner-log.js';
import { claimBytes, frameBytesAim, frameChangesMax, keyBytes, tombstoneMessage, wireMs } from './peer-codec.js';
import type { Ghost, LogEntry, Place } from './place.js';
import type { Tombstones } from './tombstones.js';

/** Chunks that are sent before the receiver has to ask for more. */
export const windowChunks = 4;
/** Snapshots that are on their way at once; the oldest makes room. */
const sendingMax = 8;
/** A receiver that doesn't ask for so long has given up. */
const idleMs = 10_000;

interface Sending {
  readonly id: number;
  readonly to: string;
  readonly head: taskd.SnapshotChunk.$Properties;
  /** As they were when it began: entries are immutable. */
  readonly entries: readonly LogEntry[];
  readonly tombstones: readonly Place[];
  readonly ghosts: readonly { readonly place: Place; readonly ghost: Ghost }[];
  /** Where each chunk begins in the three lists taken as one; a chunk that was sent can be sent again. */
  readonly begins: number[];
  usedMs: number;
}

/**
 * Whole states on their way to others, in chunks, each of them made only when it is asked for. The receiver asks for
 * the next window when it has the one before, so a state of any size costs little memory at both ends and waits for
 * the slower one.
 */
export class SnapshotSender {
  readonly #tombstones: Tombstones;
  readonly #ghosts: Ghosts;
  readonly #sending = new Map<number, Sending>();
  #lastId = 0;

  constructor(tombstones: Tombstones, ghosts: Ghosts) {
    this.#tombstones = tombstones;
    this.#ghosts = ghosts;
  }

  /** The first chunks of a log's state as of now; `hiddenMark` goes along. */
  begin(to: string, log: OwnerLog, hiddenMark: number, liveMs: number): taskd.SnapshotChunk.$Properties[] {
    const { owner, incarnation, sequence } = log;
    const head = { owner, incarnation, sequence, hiddenMark };
    return this.#begin(to, head, [...log.entries.values()], [...this.#tombstones.shipped(log)], liveMs);
  }

  /** The first chunks of what is left of the asker's former incarnations, and of whatever else is in between. */
  beginRemains(to: string, log: OwnerLog | undefined, liveMs: number): taskd.SnapshotChunk.$Properties[] {
    // Only what this node shows itself.
    const entries = [...(log?.entries.values() ?? [])].filter(
      ({ place, claim }) => place.shown?.owner === to && place.shown.claim === claim,
    );
    const head = { owner: to, incarnation: log?.incarnation ?? 0, sequence: log?.sequence ?? 0, remains: true };
    return this.#begin(to, head, entries, [...this.#tombstones.shipped()], liveMs);
  }

  /** Goes on from a chunk; nothing when the snapshot is not known any more. */
  resume(to: string, id: number, chunk: number, liveMs: number): taskd.SnapshotChunk.$Properties[] {
    const sending = this.#sending.get(id);
    if (sending === undefined || sending.to !== to) return [];
    return this.#window(sending, chunk, liveMs);
  }

  /** Lets go of those whose receivers gave up. */
  sweep(liveMs: number): void {
    for (const [id, { usedMs }] of this.#sending) if (liveMs - usedMs >= idleMs) this.#sending.delete(id);
  }

  #begin(
    to: string,
    head: taskd.SnapshotChunk.$Properties,
    entries: readonly LogEntry[],
    buried: readonly Place[],
    liveMs: number,
  ): taskd.SnapshotChunk.$Properties[] {
    const id = ++this.#lastId;
    const ghosts = [...this.#ghosts.shipped(liveMs)].map((place) => ({ place, ghost: place.ghost! }));
    const sending = { id, to, head, entries, tombstones: buried, ghosts, begins: [0], usedMs: liveMs };
    // One for each receiver and log.
    for (const other of this.#sending.values()) {
      const isSame = other.to === to && other.head.owner === head.owner && other.head.remains === head.remains;
      if (isSame) this.#sending.delete(other.id);
    }
    if (this.#sending.size >= sendingMax) this.#sending.delete(this.#sending.keys().next().value!);
    this.#sending.set(id, sending);
    return this.#window(sending, 0, liveMs);
  }

  #window(sending: Sending, from: number, liveMs: number): taskd.SnapshotChunk.$Properties[] {
    sending.usedMs = liveMs;
    const chunks: taskd.SnapshotChunk.$Properties[] = [];
    for (let number = from; number < from + windowChunks && number < sending.begins.length; number++) {
      const chunk = this.#chunk(sending, number, liveMs);
      chunks.push(chunk);
      if (chunk.last === true) break;
    }
    return chunks;
  }

  #chunk(sending: Sending, number: number, liveMs: number): taskd.SnapshotChunk.$Properties {
    const { entries, tombstones, ghosts, begins } = sending;
    const instances: taskd.Instance.$Properties[] = [];
    const ends: taskd.InstanceEnd.$Properties[] = [];
    const left: taskd.GhostInstance.$Properties[] = [];
    const total = entries.length + tombstones.length + ghosts.length;
    const begin = begins[number]!;
    let at = begin;
    for (let bytes = 0; at < total && bytes < frameBytesAim && at - begin < frameChangesMax; at++) {
      if (at < entries.length) {
        const { claim, health } = entries[at]!;
        instances.push(instanceMessage(claim, health));
        bytes += claimBytes(claim);
      } else if (at < entries.length + tombstones.length) {
        const place = tombstones[at - entries.length]!;
        // One that went meanwhile isn't needed any more.
        if (place.tombstone !== undefined) ends.push(tombstoneMessage(place, place.tombstone));
        bytes += 64 + keyBytes(place);
      } else {
        const { ghost } = ghosts[at - entries.length - tombstones.length]!;
        const leftMs = wireMs(ghost.untilMs - liveMs);
        left.push({ instance: instanceMessage(ghost.claim, 'suspect'), owner: ghost.owner, leftMs });
        bytes += claimBytes(ghost.claim);
      }
    }
    const last = at === total;
    if (!last) begins[number + 1] = at;
    return { ...sending.head, snapshot: sending.id, chunk: number, last, instances, tombstones: ends, ghosts: left };
  }
}
