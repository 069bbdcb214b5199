/**
 * Cuts the payload of a fetch into its batches as it comes. A batch that lies whole in a part is checked where it lies;
 * only one that crosses parts is gathered, in a buffer of just its length, which its header's CRC vouches for.
 *
 * ```
 * between ──header whole──► within ──body whole──► told, or left out: between
 *    └──────── a bad header or body, a gap, an end too early ───────► over (the rest is not looked at)
 * ```
 */
import { type BatchHeader, bodyIsIntact, headerBytes, readHeader } from '../batch/header.js';

export interface BatchStreamEvents {
  /** A whole batch, CRCs checked; `bytes` is a view that is valid until it returns. False: no more is wanted. */
  batch(header: BatchHeader, bytes: Uint8Array): boolean;
  /** The last batch has begun: this is the offset to ask for next. Its body is not checked yet. */
  ending(nextOffset: number): void;
}

export class BatchStream {
  readonly #events: BatchStreamEvents;
  readonly #payloadBytes: number;
  /** Bytes that have come, and those of the batches that are done. */
  #seen = 0;
  #done = 0;
  #nextOffset: number;
  /** A batch that crosses parts, or its header, and how much of it is there. */
  #gathered: Uint8Array | undefined;
  #have = 0;
  /** Of the gathered batch, once it is whole. */
  #header: BatchHeader | undefined;
  #isOver = false;
  #problem: string | undefined;

  /** For an answer of `payloadBytes` bytes to a fetch from `offset`. Batches that end before it are left out. */
  constructor(offset: number, payloadBytes: number, events: BatchStreamEvents) {
    this.#nextOffset = offset;
    this.#payloadBytes = payloadBytes;
    this.#events = events;
  }

  /** What was wrong with the bytes. Everything before it was told. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Never throws, whatever the bytes, unless `batch` does. */
  feed(part: Uint8Array): void {
    this.#seen += part.length;
    for (let at = 0; at < part.length && !this.#isOver; ) {
      if (this.#gathered !== undefined) at = this.#fill(this.#gathered, part, at);
      else if (part.length - at < headerBytes) this.#gather(headerBytes, undefined);
      else {
        const header = this.#open(part, at);
        if (header === undefined) return;
        if (at + header.length > part.length) this.#gather(header.length, header);
        else {
          this.#take(header, part, at);
          at += header.length;
        }
      }
    }
    if (!this.#isOver && this.#seen >= this.#payloadBytes && this.#done < this.#payloadBytes) this.#break('short');
  }

  #gather(length: number, header: BatchHeader | undefined): void {
    this.#gathered = new Uint8Array(length);
    this.#have = 0;
    this.#header = header;
  }

  /** Adds to the gathered bytes; returns where it stopped. */
  #fill(gathered: Uint8Array, part: Uint8Array, from: number): number {
    const to = Math.min(part.length, from + gathered.length - this.#have);
    gathered.set(part.subarray(from, to), this.#have);
    this.#have += to - from;
    if (this.#have < gathered.length) return to;
    const header = this.#header ?? this.#open(gathered, 0);
    if (header === undefined) return to;
    if (gathered.length < header.length) {
      this.#gather(header.length, header);
      this.#gathered!.set(gathered);
      this.#have = gathered.length;
    } else {
      this.#gathered = undefined;
      this.#take(header, gathered, 0);
    }
    return to;
  }

  /** The header of the next batch, or undefined when there is none that makes sense. */
  #open(bytes: Uint8Array, at: number): BatchHeader | undefined {
    const header = readHeader(bytes, at);
    if (typeof header === 'string') return this.#break(header);
    const end = this.#done + header.length;
    if (end > this.#payloadBytes) return this.#break('short');
    // A log has no gaps.
    if (header.baseOffset > this.#nextOffset) return this.#break('order');
    if (end === this.#payloadBytes) {
      this.#events.ending(Math.max(this.#nextOffset, header.baseOffset + header.recordCount));
    }
    return header;
  }

  #take(header: BatchHeader, bytes: Uint8Array, at: number): void {
    this.#done += header.length;
    const nextOffset = header.baseOffset + header.recordCount;
    if (nextOffset <= this.#nextOffset) return;
    if (!bodyIsIntact(bytes, at, header)) this.#break('bodyCrc');
    else {
      this.#nextOffset = nextOffset;
      if (!this.#events.batch(header, bytes.subarray(at, at + header.length))) this.#isOver = true;
    }
  }

  #break(problem: string): undefined {
    this.#problem = problem;
    this.#isOver = true;
    return undefined;
  }
}
