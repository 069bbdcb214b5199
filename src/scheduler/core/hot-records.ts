/**
 * RunSubmit, RunLeased and RunReport in their Protobuf form, read and written by hand: a run costs three of them, and
 * the generated codec takes longer for one than everything else that happens to it. Reading fills an object that is
 * used again; strings and bytes stay where they are, as ranges of the value.
 *
 * A number above 2^53, a length beyond its surroundings or an unknown wire type makes the value malformed; unknown
 * fields are stepped over. A repeated field's last value counts, as everywhere in Protobuf.
 */

/** A range of the value that was read; empty when the field is absent. */
interface Range {
  start: number;
  end: number;
}
const range = (): Range => ({ start: 0, end: 0 });

export interface SubmitFields {
  appId: number;
  readonly processor: Range;
  readonly arguments: Range;
  /** -1: absent. */
  runAtMs: number;
  /** -1: absent. */
  delayMs: number;
  priority: number;
  /** A RetryPolicy, encoded. */
  readonly retry: Range;
  timeoutMs: number;
}

export interface LeasedFields {
  epoch: number;
  run: number;
  attempt: number;
  lost: number;
  readonly workerId: Range;
  incarnation: number;
  timeoutMs: number;
}

export interface ReportFields {
  run: number;
  token: number;
  outcome: number;
  readonly result: Range;
  readonly error: Range;
  nonRetryable: boolean;
  /** -1: absent. */
  retryAfterMs: number;
  ranMs: number;
}

export const newSubmitFields = (): SubmitFields => ({
  appId: 0,
  processor: range(),
  arguments: range(),
  runAtMs: -1,
  delayMs: -1,
  priority: 0,
  retry: range(),
  timeoutMs: 0,
});

export const newLeasedFields = (): LeasedFields => ({
  epoch: 0,
  run: 0,
  attempt: 0,
  lost: 0,
  workerId: range(),
  incarnation: 0,
  timeoutMs: 0,
});

export const newReportFields = (): ReportFields => ({
  run: 0,
  token: 0,
  outcome: 0,
  result: range(),
  error: range(),
  nonRetryable: false,
  retryAfterMs: -1,
  ranMs: 0,
});

/** Position after the last varint or range that was read; -1 once the bytes are malformed. */
let at = 0;

function varint(bytes: Uint8Array): number {
  let byte = bytes[at++]!;
  if (byte < 128) return byte;
  let value = byte & 0x7f;
  for (let scale = 128; scale <= 2 ** 49; scale *= 128) {
    // Past the end `bytes[at]` is undefined, and no comparison with it holds.
    byte = bytes[at++]!;
    value += (byte & 0x7f) * scale;
    if (byte < 128) return value <= Number.MAX_SAFE_INTEGER ? value : fail();
  }
  return fail();
}

function fail(): number {
  at = -1;
  return 0;
}

function readRange(bytes: Uint8Array, into: Range): void {
  const length = varint(bytes);
  if (at < 0) return;
  const end = at + length;
  if (end > bytes.length) {
    fail();
    return;
  }
  into.start = at;
  into.end = at = end;
}

function skip(bytes: Uint8Array, tag: number): void {
  const wire = tag & 7;
  if (wire === 0) varint(bytes);
  else if (wire === 1) at += 8;
  else if (wire === 5) at += 4;
  else if (wire === 2) {
    const length = varint(bytes);
    if (at >= 0) at += length;
  } else fail();
}

/** Did the last read end where the value does? */
const isWhole = (bytes: Uint8Array): boolean => at === bytes.length;

function clear(field: Range): void {
  field.start = field.end = 0;
}

/** Fills `into`; false when the bytes are no RunSubmit. */
export function readSubmit(bytes: Uint8Array, into: SubmitFields): boolean {
  into.appId = into.priority = into.timeoutMs = 0;
  into.runAtMs = into.delayMs = -1;
  clear(into.processor);
  clear(into.arguments);
  clear(into.retry);
  at = 0;
  while (at >= 0 && at < bytes.length) {
    const tag = varint(bytes);
    if (at < 0) return false;
    if (tag === 0x08) into.appId = varint(bytes);
    else if (tag === 0x12) readRange(bytes, into.processor);
    else if (tag === 0x1a) readRange(bytes, into.arguments);
    else if (tag === 0x20) into.runAtMs = varint(bytes);
    else if (tag === 0x28) into.delayMs = varint(bytes);
    else if (tag === 0x30) into.priority = varint(bytes);
    else if (tag === 0x3a) readRange(bytes, into.retry);
    else if (tag === 0x40) into.timeoutMs = varint(bytes);
    else skip(bytes, tag);
  }
  return isWhole(bytes);
}

/** Fills `into`; false when the bytes are no RunLeased. */
export function readLeased(bytes: Uint8Array, into: LeasedFields): boolean {
  into.epoch = into.run = into.attempt = into.lost = into.incarnation = into.timeoutMs = 0;
  clear(into.workerId);
  at = 0;
  while (at >= 0 && at < bytes.length) {
    const tag = varint(bytes);
    if (at < 0) return false;
    if (tag === 0x08) into.epoch = varint(bytes);
    else if (tag === 0x10) into.run = varint(bytes);
    else if (tag === 0x18) into.attempt = varint(bytes);
    else if (tag === 0x20) into.lost = varint(bytes);
    else if (tag === 0x2a) readRange(bytes, into.workerId);
    else if (tag === 0x30) into.incarnation = varint(bytes);
    else if (tag === 0x38) into.timeoutMs = varint(bytes);
    else skip(bytes, tag);
  }
  return isWhole(bytes);
}

/** Fills `into`; false when the bytes are no RunReport. */
export function readReport(bytes: Uint8Array, into: ReportFields): boolean {
  into.run = into.token = into.outcome = into.ranMs = 0;
  into.nonRetryable = false;
  into.retryAfterMs = -1;
  clear(into.result);
  clear(into.error);
  at = 0;
  while (at >= 0 && at < bytes.length) {
    const tag = varint(bytes);
    if (at < 0) return false;
    if (tag === 0x08) into.run = varint(bytes);
    else if (tag === 0x10) into.token = varint(bytes);
    else if (tag === 0x18) into.outcome = varint(bytes);
    else if (tag === 0x22) readRange(bytes, into.result);
    else if (tag === 0x2a) readRange(bytes, into.error);
    else if (tag === 0x30) into.nonRetryable = varint(bytes) !== 0;
    else if (tag === 0x38) into.retryAfterMs = varint(bytes);
    else if (tag === 0x40) into.ranMs = varint(bytes);
    else skip(bytes, tag);
  }
  return isWhole(bytes);
}

const slabBytes = 64 * 1024;
/** More than any varint field with its tag. */
const fieldBytesMax = 9;
const utf8 = new TextEncoder();

/** Writes values one after another into slabs; each value is a view that nobody writes to again. */
export class HotWriter {
  #slab: Uint8Array = new Uint8Array(slabBytes);
  #at = 0;

  leased(
    epoch: number,
    run: number,
    attempt: number,
    lost: number,
    workerId: Uint8Array,
    incarnation: number,
    timeoutMs: number,
  ): Uint8Array {
    const start = this.#begin(7 * fieldBytesMax + workerId.length);
    this.#number(0x08, epoch);
    this.#number(0x10, run);
    this.#number(0x18, attempt);
    this.#number(0x20, lost);
    this.#bytes(0x2a, workerId);
    this.#number(0x30, incarnation);
    this.#number(0x38, timeoutMs);
    return this.#slab.subarray(start, this.#at);
  }

  /** `retryAfterMs`: -1 for none. */
  report(
    run: number,
    token: number,
    outcome: number,
    result: Uint8Array,
    error: string,
    nonRetryable: boolean,
    retryAfterMs: number,
    ranMs: number,
  ): Uint8Array {
    const errorBytes = error === '' ? noBytes : utf8.encode(error);
    const start = this.#begin(8 * fieldBytesMax + result.length + errorBytes.length);
    this.#number(0x08, run);
    this.#number(0x10, token);
    this.#number(0x18, outcome);
    this.#bytes(0x22, result);
    this.#bytes(0x2a, errorBytes);
    this.#number(0x30, nonRetryable ? 1 : 0);
    if (retryAfterMs >= 0) {
      this.#slab[this.#at++] = 0x38;
      this.#varint(retryAfterMs);
    }
    this.#number(0x40, ranMs);
    return this.#slab.subarray(start, this.#at);
  }

  #begin(bytesMax: number): number {
    if (this.#at + bytesMax > this.#slab.length) {
      this.#slab = new Uint8Array(Math.max(slabBytes, bytesMax));
      this.#at = 0;
    }
    return this.#at;
  }

  #number(tag: number, value: number): void {
    if (value === 0) return;
    this.#slab[this.#at++] = tag;
    this.#varint(value);
  }

  #bytes(tag: number, value: Uint8Array): void {
    if (value.length === 0) return;
    this.#slab[this.#at++] = tag;
    this.#varint(value.length);
    this.#slab.set(value, this.#at);
    this.#at += value.length;
  }

  #varint(value: number): void {
    while (value >= 2 ** 31) {
      this.#slab[this.#at++] = (value % 128) | 0x80;
      value = Math.floor(value / 128);
    }
    while (value >= 128) {
      this.#slab[this.#at++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    this.#slab[this.#at++] = value;
  }
}

export const noBytes: Uint8Array = new Uint8Array(0);
