import { crc32 as zlibCrc32 } from 'node:zlib';

/**
 * CRC-32 (IEEE 802.3, the polynomial of gzip and PNG) of `bytes`, continued from `seed`.
 * `crc32(b, crc32(a))` equals `crc32(a ++ b)`. Returns an unsigned 32-bit integer.
 */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return zlibCrc32(bytes, seed);
}
