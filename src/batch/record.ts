/**
 * The records in a batch's body: Protobuf messages of the type `Record` (proto/batch-record.proto), each with its
 * length as a varint before it. Written and read by hand, since this is the hottest codec there is.
 */
import { headersMax, keyBytesMax, recordBytesMax } from '../base/limits.js';

export interface RecordHeader {
  readonly name: string;
  readonly value: Uint8Array;
}

/** A record to be written. */
export interface NewRecord {
  readonly key?: Uint8Array | undefined;
  readonly value?: Uint8Array | undefined;
  readonly headers?: readonly RecordHeader[];
  /** Milliseconds after the batch's baseTimestamp. */
  readonly timestampDelta?: number;
  readonly type?: number;
  readonly deliverAtMs?: number;
  readonly targetTopicId?: number;
  readonly targetPartition?: number;
  /** Of a delayed record that was moved: where it was first stored, as the ladder writes it. */
  readonly origin?: number;
}

/** A record that was read. `key` and `value` are views of the batch: copy what outlives it. */
export interface StoredRecord {
  readonly offset: number;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: readonly RecordHeader[];
  readonly timestampDelta: number;
  readonly type: number;
  readonly deliverAtMs: number;
  readonly targetTopicId: number;
  readonly targetPartition: number;
  /** 0: none. */
  readonly origin: number;
}

const noHeaders: readonly RecordHeader[] = [];
const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder();

function varintBytes(value: number): number {
  let bytes = 1;
  while (value >= 128) {
    value = Math.floor(value / 128);
    bytes++;
  }
  return bytes;
}

const bytesField = (length: number): number => 1 + varintBytes(length) + length;

function headerLength(name: Uint8Array, value: Uint8Array): number {
  return bytesField(name.length) + bytesField(value.length);
}

/** Bytes that `record` takes in a body, its length prefix included. */
export function recordLength(record: NewRecord): number {
  const inner = innerLength(record);
  return varintBytes(inner) + inner;
}

function innerLength(record: NewRecord): number {
  let length = 0;
  if (record.key !== undefined) length += bytesField(record.key.length);
  if (record.value !== undefined) length += bytesField(record.value.length);
  for (const header of record.headers ?? noHeaders) {
    length += bytesField(headerLength(utf8.encode(header.name), header.value));
  }
  if (record.timestampDelta) length += 1 + varintBytes(record.timestampDelta);
  if (record.type) length += 1 + varintBytes(record.type);
  if (record.deliverAtMs) length += 1 + varintBytes(record.deliverAtMs);
  if (record.targetTopicId) length += 1 + varintBytes(record.targetTopicId);
  if (record.targetPartition) length += 1 + varintBytes(record.targetPartition);
  if (record.origin) length += 1 + varintBytes(record.origin);
  return length;
}

/** Writes `record` at `at` and returns the position after it. `into` must have `recordLength(record)` bytes there. */
export function writeRecord(into: Uint8Array, at: number, record: NewRecord): number {
  at = writeVarint(into, at, innerLength(record));
  if (record.key !== undefined) at = writeBytes(into, at, 0x0a, record.key);
  if (record.value !== undefined) at = writeBytes(into, at, 0x12, record.value);
  for (const header of record.headers ?? noHeaders) {
    const name = utf8.encode(header.name);
    into[at++] = 0x1a;
    at = writeVarint(into, at, headerLength(name, header.value));
    at = writeBytes(into, at, 0x0a, name);
    at = writeBytes(into, at, 0x12, header.value);
  }
  if (record.timestampDelta) at = writeNumber(into, at, 0x20, record.timestampDelta);
  if (record.type) at = writeNumber(into, at, 0x28, record.type);
  if (record.deliverAtMs) at = writeNumber(into, at, 0x30, record.deliverAtMs);
  if (record.targetTopicId) at = writeNumber(into, at, 0x38, record.targetTopicId);
  if (record.targetPartition) at = writeNumber(into, at, 0x40, record.targetPartition);
  if (record.origin) at = writeNumber(into, at, 0x48, record.origin);
  return at;
}

function writeVarint(into: Uint8Array, at: number, value: number): number {
  while (value >= 128) {
    into[at++] = (value % 128) | 0x80;
    value = Math.floor(value / 128);
  }
  into[at++] = value;
  return at;
}

function writeNumber(into: Uint8Array, at: number, tag: number, value: number): number {
  into[at++] = tag;
  return writeVarint(into, at, value);
}

function writeBytes(into: Uint8Array, at: number, tag: number, value: Uint8Array): number {
  into[at++] = tag;
  at = writeVarint(into, at, value.length);
  into.set(value, at);
  return at + value.length;
}

/** Says what is wrong with a record that someone wants to write, or undefined. */
export function recordProblem(record: NewRecord): string | undefined {
  const key = record.key?.length ?? 0;
  if (key > keyBytesMax) return `the key has ${key} bytes; at most ${keyBytesMax} are allowed`;
  const headers = record.headers?.length ?? 0;
  if (headers > headersMax) return `the record has ${headers} headers; at most ${headersMax} are allowed`;
  const length = innerLength(record);
  if (length > recordBytesMax) return `the record has ${length} bytes; at most ${recordBytesMax} are allowed`;
  return undefined;
}

/** Thrown by `readRecords` for a body that isn't a sequence of records; drivers turn it into MALFORMED. */
export class RecordError extends Error {
  override readonly name = 'RecordError';
}

/**
 * Calls `each` for every record of a body, in order. `body` is the batch without its header, `baseOffset` the offset of
 * its first record. Throws `RecordError` when the bytes are no records or not `count` of them.
 */
export function readRecords(
  body: Uint8Array,
  baseOffset: number,
  count: number,
  each: (record: StoredRecord) => void,
): void {
  const cursor = new Cursor(body);
  for (let i = 0; i < count; i++) each(cursor.record(baseOffset + i));
  if (!cursor.isAtEnd) throw new RecordError(`bytes left after the last of ${count} records`);
}

class Cursor {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  record(offset: number): StoredRecord {
    const end = this.#end(this.#bytes.length);
    let key: Uint8Array | undefined;
    let value: Uint8Array | undefined;
    let headers: RecordHeader[] | undefined;
    let timestampDelta = 0;
    let type = 0;
    let deliverAtMs = 0;
    let targetTopicId = 0;
    let targetPartition = 0;
    let origin = 0;
    while (this.#at < end) {
      const tag = this.#varint(end);
      if (tag === 0x0a) key = this.#view(end);
      else if (tag === 0x12) value = this.#view(end);
      else if (tag === 0x1a) (headers ??= []).push(this.#header(end, headers?.length ?? 0));
      else if (tag === 0x20) timestampDelta = this.#varint(end);
      else if (tag === 0x28) type = this.#varint(end);
      else if (tag === 0x30) deliverAtMs = this.#varint(end);
      else if (tag === 0x38) targetTopicId = this.#varint(end);
      else if (tag === 0x40) targetPartition = this.#varint(end);
      else if (tag === 0x48) origin = this.#varint(end);
      else this.#skip(tag, end);
    }
    return {
      offset,
      key,
      value,
      headers: headers ?? noHeaders,
      timestampDelta,
      type,
      deliverAtMs,
      targetTopicId,
      targetPartition,
      origin,
    };
  }

  #header(outer: number, already: number): RecordHeader {
    if (already >= headersMax) throw new RecordError(`more than ${headersMax} headers`);
    const end = this.#end(outer);
    let name = '';
    let value: Uint8Array = new Uint8Array(0);
    while (this.#at < end) {
      const tag = this.#varint(end);
      if (tag === 0x0a) name = fromUtf8.decode(this.#view(end));
      else if (tag === 0x12) value = this.#view(end);
      else this.#skip(tag, end);
    }
    return { name, value };
  }

  #varint(end: number): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      if (this.#at >= end) throw new RecordError('cut inside a number');
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 128) break;
      scale *= 128;
      if (scale > Number.MAX_SAFE_INTEGER) throw new RecordError('a number above 2^53');
    }
    if (value > Number.MAX_SAFE_INTEGER) throw new RecordError('a number above 2^53');
    return value;
  }

  #end(outer: number): number {
    const length = this.#varint(outer);
    const end = this.#at + length;
    if (end > outer) throw new RecordError('a length beyond its surroundings');
    return end;
  }

  #view(outer: number): Uint8Array {
    const end = this.#end(outer);
    const view = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return view;
  }

  /** Steps over an unknown field, so that a newer writer's records stay readable. */
  #skip(tag: number, end: number): void {
    const wire = tag % 8;
    if (wire === 0) this.#varint(end);
    else if (wire === 2) this.#at = this.#end(end);
    else if (wire === 1 || wire === 5) this.#at += wire === 1 ? 8 : 4;
    else throw new RecordError(`wire type ${wire}`);
    if (this.#at > end) throw new RecordError('a field beyond its record');
  }
}
