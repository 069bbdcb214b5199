import type { taskd } from '../../wire/generated/messages.js';
import type { Change, OwnerLog } from './owner-log.js';
import { changeBytes, changeMessage, frameBytesAim, frameChangesMax } from './peer-codec.js';

/** Changes of our own gather for so long at most; the first after a quiet time leaves at once. */
export const gatherMs = 20;

/** What of this node's own log has left for the others. */
export class DeltaSender {
  readonly #log: OwnerLog;
  #incarnation = 0;
  #sequence = 0;
  #sentMs = Number.NEGATIVE_INFINITY;
  #wakeMs = Number.NEGATIVE_INFINITY;

  constructor(log: OwnerLog) {
    this.#log = log;
  }

  get isDue(): boolean {
    return this.#log.sequence > this.#sequence || this.#log.incarnation !== this.#incarnation;
  }

  /** When to send what there is: now, or a time that wasn't asked for yet, or undefined. Times are real. */
  wakeMs(nowMs: number): number | undefined {
    const dueMs = this.#sentMs + gatherMs;
    if (dueMs <= nowMs) return nowMs;
    if (this.#wakeMs === dueMs) return undefined;
    this.#wakeMs = dueMs;
    return dueMs;
  }

  /** The changes since the last time; undefined when there are too many, or a new incarnation: a digest says so. */
  take(nowMs: number): taskd.Delta.$Properties[] | undefined {
    const { incarnation, sequence } = this.#log;
    const from = this.#sequence + 1;
    const changes = incarnation === this.#incarnation ? this.#log.changesFrom(from) : undefined;
    this.#incarnation = incarnation;
    this.#sequence = sequence;
    this.#sentMs = nowMs;
    return changes === undefined ? undefined : deltas(this.#log, from, changes);
  }
}

/** Consecutive changes of a log, in frames of a reasonable size. */
export function deltas(log: OwnerLog, from: number, changes: readonly Change[]): taskd.Delta.$Properties[] {
  const frames: taskd.Delta.$Properties[] = [];
  for (let at = 0; at < changes.length; ) {
    const messages: taskd.Change.$Properties[] = [];
    const first = from + at;
    for (let bytes = 0; at < changes.length && bytes < frameBytesAim && messages.length < frameChangesMax; at++) {
      messages.push(changeMessage(changes[at]!));
      bytes += changeBytes(changes[at]!);
    }
    frames.push({ owner: log.owner, incarnation: log.incarnation, from: first, changes: messages });
  }
  return frames;
}
