/**
 * The gate for batches that a client wants in a log: nothing that a client sends is believed before it has passed here.
 * Pure; throws `TaskdError`s that say what was wrong, and never anything else, whatever the bytes.
 */
import { readU16, readU32 } from '../base/bytes.js';
import { ErrorCode, TaskdError } from '../base/errors.js';
import { moverProducerIdMin, producedExpandedBytesMax, recordBatchBytesMax } from '../base/limits.js';
import { batchBody, Codec, codecOf, RecordExpandedError } from '../batch/body.js';
import {
  Attribute,
  type BatchClass,
  type BatchHeader,
  type BatchProblem,
  batchClass,
  bodyIsIntact,
  headerBytes,
  readHeader,
} from '../batch/header.js';
import { RecordError, readRecords, type StoredRecord } from '../batch/record.js';
import { RecordLimitError, walkRecords } from '../batch/record-walk.js';

/** Batches in one produce request. */
export const requestBatchesMax = 64;

/** Where the batches are going. */
export interface Destination {
  readonly batchClass: BatchClass;
  /** Records of internal topics are read here, so they are never compressed. */
  readonly internal: boolean;
  /** Set for a level of delay, which takes delayed batches alone: throws for a record that it must not take. */
  readonly admit?: ((record: StoredRecord, header: BatchHeader) => void) | undefined;
}

export interface ProducedBatch {
  readonly header: BatchHeader;
  /** A view of the payload. */
  readonly bytes: Uint8Array;
}

/**
 * Checks every batch of a produce payload: header and body CRC, class, attributes, that its records can be read and are
 * as many as it says, and that the batches of one request follow one another. Compressed bodies are unpacked for it, all
 * those of a request to at most `producedExpandedBytesMax`. After it, either all of them may be judged and
 * appended, or (by the error) none was looked at further.
 */
export function readProduced(payload: Uint8Array, destination: Destination): ProducedBatch[] {
  if (payload.length === 0) throw invalid('the request carries no batch');
  const batches: ProducedBatch[] = [];
  let at = 0;
  let expandedLeft = producedExpandedBytesMax;
  while (at < payload.length) {
    if (batches.length === requestBatchesMax) {
      const message = `more than ${requestBatchesMax} batches in one request; send them in several`;
      throw new TaskdError(ErrorCode.TOO_LARGE, message);
    }
    const header = readHeader(payload, at);
    if (typeof header === 'string') throw malformed(payload, at, header);
    if (at + header.length > payload.length) throw malformed(payload, at, 'short');
    if (!bodyIsIntact(payload, at, header)) throw malformed(payload, at, 'bodyCrc');
    const bytes = payload.subarray(at, at + header.length);
    checkHeader(header, destination);
    if (readU16(bytes, 86) !== 0) throw invalid('bytes 86 and 87 of a batch header are 0 in this format');
    expandedLeft -= checkBody(bytes, header, destination, expandedLeft);
    const previous = batches[batches.length - 1];
    if (previous !== undefined) checkFollows(previous.header, header);
    batches.push({ header, bytes });
    at += header.length;
  }
  return batches;
}

const knownAttributes = (Attribute.CLASS_MASK << Attribute.CLASS_SHIFT) | Attribute.CODEC_MASK | Attribute.DELAYED;

function checkHeader(header: BatchHeader, destination: Destination): void {
  const { attributes } = header;
  if (batchClass(header) !== destination.batchClass) {
    throw invalid(`the batch is of class ${batchClass(header)}, the request of class ${destination.batchClass}`);
  }
  if (attributes & Attribute.CONTROL) throw invalid('control batches are written by brokers only');
  if (attributes & Attribute.MOVER) {
    throw new TaskdError(ErrorCode.FORBIDDEN, 'mover batches are written by brokers only');
  }
  const isDelayed = (attributes & Attribute.DELAYED) !== 0;
  if (isDelayed && destination.admit === undefined) {
    throw invalid('delayed batches go to the levels of delay, which bring their records to their targets');
  }
  if (!isDelayed && destination.admit !== undefined) {
    throw new TaskdError(ErrorCode.FORBIDDEN, 'the levels of delay take delayed batches only');
  }
  checkCodec(header, destination.internal);
  if (attributes & ~knownAttributes) {
    throw invalid(`the attributes 0x${attributes.toString(16)} have bits that this version does not know`);
  }
  if (header.producerId >= moverProducerIdMin) {
    const text = `producer id ${header.producerId} was not given out by this cluster; ids lie below 2^48`;
    throw new TaskdError(ErrorCode.FORBIDDEN, text);
  }
  if (header.lastSequence - header.baseSequence + 1 !== header.recordCount) {
    const range = `${header.baseSequence} to ${header.lastSequence}`;
    throw invalid(`sequences ${range} are not as many as the batch's ${header.recordCount} records`);
  }
}

function checkCodec(header: BatchHeader, internal: boolean): void {
  const codec = codecOf(header);
  if (codec === Codec.NONE) return;
  if (codec !== Codec.GZIP) throw invalid(`codec ${codec} is not known here; batches are plain (0) or gzip (1)`);
  if (internal) throw invalid('batches of internal topics are never compressed: their records are read here');
}

/**
 * Whoever reads a log must never meet a record that it can't read. Returns the bytes that a compressed body took, of
 * which it may take `expandedMax`.
 */
function checkBody(bytes: Uint8Array, header: BatchHeader, { admit }: Destination, expandedMax: number): number {
  try {
    const isPlain = codecOf(header) === Codec.NONE;
    const body = isPlain ? bytes : batchBody(bytes, header, expandedMax);
    const count = walkRecords(body, isPlain ? headerBytes : 0);
    if (count !== header.recordCount) {
      throw new RecordError(`the batch announces ${header.recordCount} records and holds ${count}`);
    }
    if (admit !== undefined) {
      readRecords(bytes.subarray(headerBytes), 0, header.recordCount, (record) => admit(record, header));
    }
    return isPlain ? 0 : body.length;
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    if (error instanceof RecordExpandedError) throw expandsTooFar();
    if (error instanceof RecordLimitError) throw new TaskdError(ErrorCode.TOO_LARGE, error.message);
    throw new TaskdError(ErrorCode.MALFORMED, `the batch's records do not parse: ${error.message}`);
  }
}

/** Within one request sequences go on without a gap, so that once the first batch was appended none can be refused. */
function checkFollows(before: BatchHeader, header: BatchHeader): void {
  if (header.producerId !== before.producerId || header.producerEpoch !== before.producerEpoch) {
    throw invalid('all batches of one request must come from one producer and epoch');
  }
  if (header.producerId !== 0 && header.baseSequence !== before.lastSequence + 1) {
    throw invalid(`sequence ${header.baseSequence} does not follow ${before.lastSequence} in the same request`);
  }
}

const problems: Record<BatchProblem, string> = {
  short: 'is cut short',
  magic: 'does not begin with the magic "TKB1"',
  length: '',
  headerCrc: 'has a header that does not match its CRC',
  field: 'has a header field that makes no sense, or another format version',
  bodyCrc: 'has a body that does not match its CRC',
};

function malformed(payload: Uint8Array, at: number, problem: BatchProblem): TaskdError {
  if (problem === 'length') {
    const length = readU32(payload, at + 16);
    return length > recordBatchBytesMax
      ? new TaskdError(ErrorCode.TOO_LARGE, `a batch of ${length} bytes; at most ${recordBatchBytesMax} are allowed`)
      : new TaskdError(ErrorCode.MALFORMED, `a batch of ${length} bytes; its header alone has ${headerBytes}`);
  }
  return new TaskdError(ErrorCode.MALFORMED, `the batch at byte ${at} of the payload ${problems[problem]}`);
}

function expandsTooFar(): TaskdError {
  const message = `the compressed batches of one request take at most ${producedExpandedBytesMax} bytes unpacked, these take more: put fewer records into a batch, and fewer batches into a request`;
  return new TaskdError(ErrorCode.TOO_LARGE, message);
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, message);
}
