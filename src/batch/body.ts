import { gunzip } from '../base/gzip.js';
import { expandedBytesMax } from '../base/limits.js';
import { Attribute, type BatchHeader, headerBytes } from './header.js';
import { RecordError } from './record.js';
import { RecordLimitError } from './record-walk.js';

/** How a batch's body is written; the numbers are format. */
export const Codec = { NONE: 0, GZIP: 1 } as const;
export type Codec = (typeof Codec)[keyof typeof Codec];

/** A compressed body that would take more than its reader allows. */
export class RecordExpandedError extends RecordLimitError {}

/** The codec's number in a header; it may be one that this version does not know. */
export const codecOf = (header: BatchHeader): number => header.attributes & Attribute.CODEC_MASK;

/**
 * The records' bytes of a batch that `readBatch` has passed, for `readRecords`: a view of it, or what it was compressed
 * from. Throws `RecordError` for a codec that is not known and for bytes that the codec can't read, `RecordExpandedError`
 * for a compressed body that would take more than `expandedMax`.
 */
export function batchBody(batch: Uint8Array, header: BatchHeader, expandedMax: number = expandedBytesMax): Uint8Array {
  const body = batch.subarray(headerBytes, header.length);
  const codec = codecOf(header);
  if (codec === Codec.NONE) return body;
  if (codec !== Codec.GZIP) throw new RecordError(`a body of codec ${codec}, which this version does not know`);
  const expanded = gunzip(body, expandedMax);
  if (expanded === 'damaged') throw new RecordError('a compressed body that is damaged');
  if (expanded !== 'too large') return expanded;
  throw new RecordExpandedError(`a compressed body that takes more than ${expandedMax} bytes without`);
}
