/**
 * Finds this replica's own batches behind bytes that can't be read.
 *
 * A value may hold any bytes, also a whole batch that somebody read elsewhere. So what counts past a bad header is only
 * what bears this replica's localCheck for the very place where it lies, and whose two CRCs hold.
 */
import { type BatchHeader, batchMagic, bodyIsIntact, headerBytes, isPlacedHere, readHeader } from '../batch/header.js';
import type { FileHandle } from '../runtime/files.js';
import { readRange } from './segment-scan.js';

const windowBytes = 1 << 20;
const magicAt = 12;
const magic = Buffer.alloc(4);
magic.writeUInt32BE(batchMagic);

/** What the localCheck of a batch binds it to, besides its position. */
export interface Placed {
  readonly salt: number;
  readonly segmentBase: number;
}

export interface FoundBatch {
  readonly header: BatchHeader;
  readonly position: number;
}

/**
 * Whole batches that this replica put into [from, to) of a segment, in order, whatever lies between them. Steps by
 * length where a header can be believed, and searches on byte by byte where it can't. Memory: a window and a batch.
 */
export async function* findBatches(
  handle: FileHandle,
  placed: Placed,
  from: number,
  to: number,
): AsyncGenerator<FoundBatch, void> {
  let at = from;
  let window: Buffer = Buffer.alloc(0);
  let windowFrom = from;
  while (at + headerBytes <= to) {
    const found = window.indexOf(magic, at - windowFrom + magicAt);
    const start = found - magicAt;
    if (found < 0 || start + headerBytes > window.length) {
      if (windowFrom + window.length >= to) return;
      // Where no magic was found, one may still begin in the last bytes.
      if (found >= 0) at = windowFrom + start;
      else if (window.length > 0) at = Math.max(at, windowFrom + window.length - magicAt - magic.length + 1);
      window = await readRange(handle, at, Math.min(to, at + windowBytes));
      windowFrom = at;
      if (window.length < headerBytes) return;
      continue;
    }
    at = windowFrom + start;
    const header = readHeader(window, start);
    if (typeof header === 'string' || !isPlacedHere(header, placed.salt, placed.segmentBase, at)) {
      at++;
      continue;
    }
    const position = at;
    at += header.length;
    if (at > to) return;
    const isHere = at <= windowFrom + window.length;
    const bytes = isHere ? window : await readRange(handle, position, at);
    if (bytes.length >= header.length && bodyIsIntact(bytes, isHere ? start : 0, header)) yield { header, position };
  }
}

/**
 * The first batch after `bad` whose write group began after it. It proves that whatever was at `bad` had been synced,
 * since a group is written only after the sync of the one before. Without one, what follows may be the rest of the
 * group that was being written: the disk may keep its pages in any order.
 */
export async function findLaterGroup(
  handle: FileHandle,
  placed: Placed,
  bad: number,
  to: number,
): Promise<FoundBatch | undefined> {
  for await (const batch of findBatches(handle, placed, bad, to)) {
    if (batch.position - batch.header.groupStart > bad) return batch;
  }
  return undefined;
}
