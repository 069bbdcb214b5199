import { crc32 as zlibCrc32 } from 'node:zlib';

/**
 * CRC-32 (IEEE 802.3, the polynomial of gzip and PNG) of `bytes`, continued from `seed`.
 * `crc32(b, crc32(a))` equals `crc32(a ++ b)`. Returns an unsigned 32-bit integer.
 */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return zlibCrc32(bytes, seed);
}

/** Below so many bytes a table in JavaScript is faster than the way into zlib. */
const tableBytesMax = 96;

const table = new Int32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb8_8320 : value >>> 1;
  table[byte] = value;
}

/** CRC-32 of the bytes in [from, to): the same number, without a view for the few bytes of a header. */
export function crc32Range(bytes: Uint8Array, from: number, to: number): number {
  if (to - from > tableBytesMax) return zlibCrc32(bytes.subarray(from, to));
  let crc = -1;
  for (let at = from; at < to; at++) crc = table[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
