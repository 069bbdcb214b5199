/**
 * protobufjs as this project uses it: 64-bit integers are numbers. The generated messages import it from here, so it
 * is set up before any of them loads.
 *
 * Only non-negative safe integers pass, in both directions: protobufjs by itself takes `long` when that package happens
 * to be installed, rounds what lies above 2^53 without a word, and writes 0 for a bigint.
 */

import type { Reader, Writer } from 'protobufjs/minimal.js';
import protobuf from 'protobufjs/minimal.js';

interface Cursor {
  buf: Uint8Array;
  pos: number;
  len: number;
}

/** 2^53 needs 8 groups of 7 bits; more are a number that we can't hold. */
const GROUPS_MAX = 8;

function readUint64(this: Reader & Cursor): number {
  const { buf, len } = this;
  let at = this.pos;
  let value = 0;
  let scale = 1;
  for (let group = 0; group < GROUPS_MAX; group++) {
    if (at >= len) throw new RangeError('a varint is cut off');
    const byte = buf[at++]!;
    value += (byte & 127) * scale;
    if (byte < 128) {
      if (value > Number.MAX_SAFE_INTEGER) break;
      this.pos = at;
      return value;
    }
    scale *= 128;
  }
  throw new RangeError('an integer is not below 2^53');
}

function readFixed64(this: Reader & Cursor): number {
  const low = this.fixed32();
  const high = this.fixed32();
  if (high >= 0x20_0000) throw new RangeError('an integer is not below 2^53');
  return high * 0x1_0000_0000 + low;
}

function checkSafe(value: unknown): asserts value is number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw new RangeError(`${String(value)} is not an integer from 0 to 2^53 - 1`);
  }
}

function writeUint64(this: Writer, value: number): Writer {
  checkSafe(value);
  while (value >= 0x1000_0000) {
    // Four groups at once as bytes with the continuation bit, for as long as more than 28 bits are left.
    const low = value % 0x1000_0000;
    const word = (low & 127) | ((low & 0x3f80) << 1) | ((low & 0x1f_c000) << 2) | ((low & 0xfe0_0000) << 3);
    this.fixed32((word | 0x8080_8080) >>> 0);
    value = Math.floor(value / 0x1000_0000);
  }
  return this.uint32(value);
}

function writeFixed64(this: Writer, value: number): Writer {
  checkSafe(value);
  return this.fixed32(value % 0x1_0000_0000).fixed32(Math.floor(value / 0x1_0000_0000));
}

function writeUint64s(this: Writer, values: readonly number[]): Writer {
  this.fork();
  for (const value of values) this.uint64(value);
  return this.ldelim();
}

protobuf.util.Long = null as never;
protobuf.configure();
Object.assign(protobuf.Reader.prototype, { uint64: readUint64, fixed64: readFixed64 });
Object.assign(protobuf.Writer.prototype, { uint64: writeUint64, fixed64: writeFixed64, uint64s: writeUint64s });

export default protobuf;
