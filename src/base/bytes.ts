/**
 * Big-endian integers at fixed places of a byte array, without BigInt.
 *
 * A 64-bit field is read as `high * 2^32 + low` from two u32: exact up to 2^53, and several times faster than BigInt.
 * `readU64` refuses a high word of 2^21 or more, which could not be represented exactly.
 */

const HIGH_MAX = 0x20_0000;
const TWO_32 = 0x1_0000_0000;

export function readU16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Reads an unsigned 64-bit integer, or `undefined` where it lies at or above 2^53 and so is not a safe integer. */
export function readU64(bytes: Uint8Array, at: number): number | undefined {
  const high = readU32(bytes, at);
  return high >= HIGH_MAX ? undefined : high * TWO_32 + readU32(bytes, at + 4);
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Writes a safe non-negative integer as an unsigned 64-bit one. */
export function writeU64(bytes: Uint8Array, at: number, value: number): void {
  writeU32(bytes, at, Math.floor(value / TWO_32));
  writeU32(bytes, at + 4, value % TWO_32);
}

/** All of `bytes` as lower-case hexadecimal; for names and messages. */
export function toHex(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) out += byte.toString(16).padStart(2, '0');
  return out;
}

/** Byte-wise comparison; true when both hold the same bytes. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
