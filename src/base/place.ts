/**
 * A place is one partition of one topic as a number, `topicId * 65,536 + partition`, so that sets and maps of many of
 * them stay small and fast. The order of places is that of the topics' ids, then of the partitions.
 */
const partitionsMax = 0x1_0000;

/** The place of what can't be a partition: nothing is ever found there. */
const nowhere = -1;

/** Never another partition's place, whatever the numbers are. */
export function placeOf(topicId: number, partition: number): number {
  return isPartition(partition) ? topicId * partitionsMax + partition : nowhere;
}

export function topicIdOf(place: number): number {
  return Math.floor(place / partitionsMax);
}

export function partitionOf(place: number): number {
  return place % partitionsMax;
}

/** False for a number that no partition can have. */
export function isPartition(partition: number): boolean {
  return partition < partitionsMax;
}
