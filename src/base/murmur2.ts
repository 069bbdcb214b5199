/**
 * MurmurHash2, 32 bits, with Kafka's seed, so that a key finds the same partition as with Kafka's own clients
 * (org.apache.kafka.common.utils.Utils.murmur2). The result is an unsigned 32-bit integer.
 */
export function murmur2(bytes: Uint8Array): number {
  const m = 0x5bd1_e995;
  const length = bytes.length;
  let h = 0x9747_b28c ^ length;
  const words = length >> 2;
  for (let i = 0; i < words; i++) {
    const at = i << 2;
    let k = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    k = Math.imul(k, m);
    k ^= k >>> 24;
    k = Math.imul(k, m);
    h = Math.imul(h, m) ^ k;
  }
  const rest = words << 2;
  const left = length & 3;
  if (left === 3) h ^= bytes[rest + 2]! << 16;
  if (left >= 2) h ^= bytes[rest + 1]! << 8;
  if (left >= 1) {
    h ^= bytes[rest]!;
    h = Math.imul(h, m);
  }
  h ^= h >>> 13;
  h = Math.imul(h, m);
  h ^= h >>> 15;
  return h >>> 0;
}

/** Kafka's partition for a key: the hash without its sign bit, modulo the number of partitions. */
export function keyPartition(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fff_ffff) % partitions;
}
