/**
 * The 88-byte header of a batch, the unit that is written, sent and checksummed. All integers big-endian.
 *
 * ```
 *  0 u32 headerCrc        CRC-32 of bytes 12..87
 *  4 u32 groupStart       replica-local: bytes back to the first byte of the write group
 *  8 u32 localCheck       replica-local: CRC-32 of salt, segment base, position, groupStart and headerCrc
 * 12 u32 magic            "TKB1"
 * 16 u32 length           of the whole batch
 * 20 u32 bodyCrc          of bytes 88..length, by the producer, never computed anew
 * 24 u64 baseOffset       by the leader
 * 32 u64 appendTimestamp  by the leader, ms, never falls within a partition
 * 40 u64 baseTimestamp    by the producer, ms
 * 48 u64 producerId       0: none
 * 56 u64 baseSequence
 * 64 u64 lastSequence     base + count - 1; movers may leave gaps
 * 72 u32 recordCount      offsets inside are consecutive
 * 76 u32 term             by the leader
 * 80 u16 producerEpoch
 * 82 u16 attributes       bits 0-2 codec, 3 control, 4 delayed, 5 mover, 8-9 class
 * 84 u16 format           1
 * 86 u16                  0
 * ```
 *
 * Offsets, sequences, timestamps and ids are safe integers; a field at or above 2^53 makes the header malformed.
 */
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from '../base/bytes.js';
import { crc32, crc32Range } from '../base/crc32.js';
import { batchRecordsMax, recordBatchBytesMax } from '../base/limits.js';

export const headerBytes = 88;
export const batchMagic = 0x544b_4231;
export const batchFormat = 1;
/** Where the part that headerCrc covers begins. */
const crcFrom = 12;

export const Attribute = {
  CODEC_MASK: 0x7,
  CONTROL: 0x08,
  DELAYED: 0x10,
  MOVER: 0x20,
  CLASS_SHIFT: 8,
  CLASS_MASK: 0x3,
} as const;

/** Who may have written the records of a batch; replay voids a record type that its batch's class may not write. */
export const BatchClass = { CLIENT: 0, WORKER: 1, OWNER: 2 } as const;
export type BatchClass = (typeof BatchClass)[keyof typeof BatchClass];

/** The header of one batch, decoded. */
export interface BatchHeader {
  readonly length: number;
  readonly bodyCrc: number;
  readonly baseOffset: number;
  readonly appendTimestamp: number;
  readonly baseTimestamp: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly recordCount: number;
  readonly term: number;
  readonly attributes: number;
  readonly groupStart: number;
  readonly localCheck: number;
  readonly headerCrc: number;
}

export const batchClass = (header: BatchHeader): BatchClass =>
  ((header.attributes >> Attribute.CLASS_SHIFT) & Attribute.CLASS_MASK) as BatchClass;
export const isControl = (header: BatchHeader): boolean => (header.attributes & Attribute.CONTROL) !== 0;

/** What is wrong with bytes that should be a batch; `short` means that more bytes may mend it. */
export type BatchProblem = 'short' | 'magic' | 'length' | 'headerCrc' | 'field' | 'bodyCrc';

/**
 * Decodes and checks the header at `at`. Checks magic, length against the limit, header CRC, and that every field makes
 * sense; not the body. Returns the problem's name otherwise. Never throws, whatever the bytes.
 */
export function readHeader(bytes: Uint8Array, at: number): BatchHeader | BatchProblem {
  if (at + headerBytes > bytes.length) return 'short';
  if (readU32(bytes, at + 12) !== batchMagic) return 'magic';
  const length = readU32(bytes, at + 16);
  if (length < headerBytes || length > recordBatchBytesMax) return 'length';
  const headerCrc = readU32(bytes, at);
  if (crc32Range(bytes, at + crcFrom, at + headerBytes) !== headerCrc) return 'headerCrc';
  const baseOffset = readU64(bytes, at + 24);
  const appendTimestamp = readU64(bytes, at + 32);
  const baseTimestamp = readU64(bytes, at + 40);
  const producerId = readU64(bytes, at + 48);
  const baseSequence = readU64(bytes, at + 56);
  const lastSequence = readU64(bytes, at + 64);
  const recordCount = readU32(bytes, at + 72);
  if (
    baseOffset === undefined ||
    appendTimestamp === undefined ||
    baseTimestamp === undefined ||
    producerId === undefined ||
    baseSequence === undefined ||
    lastSequence === undefined ||
    lastSequence < baseSequence ||
    recordCount < 1 ||
    recordCount > batchRecordsMax ||
    !Number.isSafeInteger(baseOffset + recordCount) ||
    readU16(bytes, at + 84) !== batchFormat
  ) {
    return 'field';
  }
  return {
    length,
    bodyCrc: readU32(bytes, at + 20),
    baseOffset,
    appendTimestamp,
    baseTimestamp,
    producerId,
    producerEpoch: readU16(bytes, at + 80),
    baseSequence,
    lastSequence,
    recordCount,
    term: readU32(bytes, at + 76),
    attributes: readU16(bytes, at + 82),
    groupStart: readU32(bytes, at + 4),
    localCheck: readU32(bytes, at + 8),
    headerCrc,
  };
}

/** Decodes the header at `at` and checks the whole batch, body CRC included. */
export function readBatch(bytes: Uint8Array, at: number): BatchHeader | BatchProblem {
  const header = readHeader(bytes, at);
  if (typeof header === 'string') return header;
  if (at + header.length > bytes.length) return 'short';
  return bodyIsIntact(bytes, at, header) ? header : 'bodyCrc';
}

/** True when the body of the batch at `at`, all of it in `bytes`, has the CRC that its header names. */
export function bodyIsIntact(bytes: Uint8Array, at: number, header: BatchHeader): boolean {
  return crc32(bytes.subarray(at + headerBytes, at + header.length)) === header.bodyCrc;
}

/** The producer's part of a header; the leader's fields are zero until `stampBatch`. */
export interface ProducerFields {
  readonly baseTimestamp: number;
  readonly recordCount: number;
  readonly batchClass: BatchClass;
  readonly producerId?: number;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly lastSequence?: number;
  /** Bits of `Attribute` besides the class. */
  readonly attributes?: number;
}

/**
 * Writes the header of a new batch into its first 88 bytes and seals it: length, body CRC and header CRC. `batch` is
 * the whole batch, its body already in place.
 */
export function writeHeader(batch: Uint8Array, fields: ProducerFields): void {
  const baseSequence = fields.baseSequence ?? 0;
  batch.fill(0, 0, headerBytes);
  writeU32(batch, 12, batchMagic);
  writeU32(batch, 16, batch.length);
  writeU32(batch, 20, crc32(batch.subarray(headerBytes)));
  writeU64(batch, 40, fields.baseTimestamp);
  writeU64(batch, 48, fields.producerId ?? 0);
  writeU64(batch, 56, baseSequence);
  writeU64(batch, 64, fields.lastSequence ?? baseSequence + fields.recordCount - 1);
  writeU32(batch, 72, fields.recordCount);
  writeU16(batch, 80, fields.producerEpoch ?? 0);
  writeU16(batch, 82, (fields.attributes ?? 0) | (fields.batchClass << Attribute.CLASS_SHIFT));
  writeU16(batch, 84, batchFormat);
  sealHeader(batch, 0);
}

/** What the leader gives a batch at append. */
export interface LeaderFields {
  readonly baseOffset: number;
  readonly appendTimestamp: number;
  readonly term: number;
}

/** Fills the leader's fields of the batch at `at` and computes the header CRC anew. The body is not touched. */
export function stampBatch(bytes: Uint8Array, at: number, fields: LeaderFields): void {
  writeU64(bytes, at + 24, fields.baseOffset);
  writeU64(bytes, at + 32, fields.appendTimestamp);
  writeU32(bytes, at + 76, fields.term);
  sealHeader(bytes, at);
}

/** Gives the batch at `at` its producer's sequences; for a producer that cuts batches before it knows them. */
export function sequenceBatch(
  bytes: Uint8Array,
  at: number,
  producerId: number,
  epoch: number,
  baseSequence: number,
): void {
  writeU64(bytes, at + 48, producerId);
  writeU64(bytes, at + 56, baseSequence);
  writeU64(bytes, at + 64, baseSequence + readU32(bytes, at + 72) - 1);
  writeU16(bytes, at + 80, epoch);
  sealHeader(bytes, at);
}

function sealHeader(bytes: Uint8Array, at: number): void {
  writeU32(bytes, at, crc32Range(bytes, at + crcFrom, at + headerBytes));
}

/** Where a replica has put a batch: what its localCheck binds it to. */
export interface Placement {
  /** Random, one a replica. */
  readonly salt: number;
  /** The base offset in the segment file's name. */
  readonly segmentBase: number;
  /** Byte position within the segment. */
  readonly position: number;
  /** Bytes back from `position` to the first byte of the write group. */
  readonly groupStart: number;
}

const scratch = new Uint8Array(24);

function localCheckOf(placement: Placement, headerCrc: number): number {
  writeU32(scratch, 0, placement.salt);
  writeU64(scratch, 4, placement.segmentBase);
  writeU32(scratch, 12, placement.position);
  writeU32(scratch, 16, placement.groupStart);
  writeU32(scratch, 20, headerCrc);
  return crc32Range(scratch, 0, scratch.length);
}

/** Writes the replica-local fields of the batch at `at`, after `stampBatch`; under no CRC of the batch's own. */
export function placeBatch(bytes: Uint8Array, at: number, placement: Placement): void {
  writeU32(bytes, at + 4, placement.groupStart);
  writeU32(bytes, at + 8, localCheckOf(placement, readU32(bytes, at)));
}

/** True when a header found at this place was written there by this replica. */
export function isPlacedHere(header: BatchHeader, salt: number, segmentBase: number, position: number): boolean {
  const placement = { salt, segmentBase, position, groupStart: header.groupStart };
  return header.localCheck === localCheckOf(placement, header.headerCrc);
}
