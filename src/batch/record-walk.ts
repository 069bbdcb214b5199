import { headersMax, keyBytesMax, recordBytesMax } from '../base/limits.js';
import { RecordError } from './record.js';

/** Thrown by `walkRecords` for a record above a limit. */
export class RecordLimitError extends RecordError {}

/** Where the walk is. One for all: it never outlives a call. */
let at = 0;

/**
 * Walks over the records of a batch from byte `from` on and returns how many there are. What has passed here is what
 * `readRecords` can read and every limit allows; no object is made on the way, since brokers do it with each batch.
 * Throws `RecordError` for bytes that are no records, `RecordLimitError` for one that is too large, has too large a key
 * or too many headers. Never throws anything else, whatever the bytes.
 */
export function walkRecords(batch: Uint8Array, from: number): number {
  let count = 0;
  at = from;
  while (at < batch.length) {
    const length = number(batch, batch.length);
    if (length > recordBytesMax) {
      throw new RecordLimitError(`a record has ${length} bytes; at most ${recordBytesMax} are allowed`);
    }
    const end = at + length;
    if (end > batch.length) throw new RecordError('a record goes beyond the end of its batch');
    walkRecord(batch, end);
    count++;
  }
  return count;
}

function walkRecord(batch: Uint8Array, end: number): void {
  let headers = 0;
  while (at < end) {
    const tag = number(batch, end);
    if (tag === 0x12) skipBytes(batch, end);
    else if (tag === 0x0a) {
      const begin = at;
      skipBytes(batch, end);
      if (at - begin > keyBytesMax) checkKey(batch, begin);
    } else if (tag === 0x1a) {
      if (++headers > headersMax) {
        throw new RecordLimitError(`a record has more than ${headersMax} headers, which is what is allowed`);
      }
      const length = number(batch, end);
      const headerEnd = at + length;
      if (headerEnd > end) throw new RecordError('a header goes beyond its record');
      while (at < headerEnd) skipField(batch, number(batch, headerEnd), headerEnd);
    } else skipField(batch, tag, end);
  }
}

/** The key with its length begins at `begin`. */
function checkKey(batch: Uint8Array, begin: number): void {
  const after = at;
  at = begin;
  const length = number(batch, batch.length);
  at = after;
  if (length <= keyBytesMax) return;
  throw new RecordLimitError(`a key has ${length} bytes; at most ${keyBytesMax} are allowed`);
}

function skipField(batch: Uint8Array, tag: number, end: number): void {
  const wire = tag % 8;
  if (wire === 2) skipBytes(batch, end);
  else if (wire === 0) number(batch, end);
  else if (wire === 1 || wire === 5) at += wire === 1 ? 8 : 4;
  else throw new RecordError(`a field of wire type ${wire}`);
  if (at > end) throw new RecordError('a field goes beyond its surroundings');
}

function skipBytes(batch: Uint8Array, end: number): void {
  const length = number(batch, end);
  at += length;
  if (at > end) throw new RecordError('a field goes beyond its surroundings');
}

function number(batch: Uint8Array, end: number): number {
  if (at >= end) throw new RecordError('a number is cut off');
  let byte = batch[at++]!;
  if (byte < 128) return byte;
  let value = byte & 0x7f;
  for (let scale = 128; scale <= Number.MAX_SAFE_INTEGER; scale *= 128) {
    if (at >= end) throw new RecordError('a number is cut off');
    byte = batch[at++]!;
    value += (byte & 0x7f) * scale;
    if (byte >= 128) continue;
    if (value > Number.MAX_SAFE_INTEGER) break;
    return value;
  }
  throw new RecordError('a number above 2^53');
}
