import type { taskd } from '../../../wire/generated/messages.js';

/**
 * A place is one partition of one topic as a number, `topicId * 65,536 + partition`, so that sets and maps of many of
 * them stay small and fast.
 */
const partitionsMax = 0x1_0000;

export function placeOf(topicId: number, partition: number): number {
  return topicId * partitionsMax + partition;
}

export function topicIdOf(place: number): number {
  return Math.floor(place / partitionsMax);
}

export function partitionOf(place: number): number {
  return place % partitionsMax;
}

/** False for a number that no partition can have; it would make another topic's place. */
export function isPartition(partition: number): boolean {
  return partition < partitionsMax;
}

/** The places of a message; those that can't be are left out. */
export function placesOf(list: readonly taskd.TopicPartitions.$Properties[] | null | undefined): number[] {
  const places: number[] = [];
  for (const { topicId, partitions } of list ?? []) {
    for (const partition of partitions ?? []) {
      if (isPartition(partition)) places.push(placeOf(topicId ?? 0, partition));
    }
  }
  return places;
}

/** As a message, by topic in ascending order. */
export function topicPartitionsOf(places: Iterable<number>): taskd.TopicPartitions.$Properties[] {
  const sorted = [...places].sort((a, b) => a - b);
  const list: { topicId: number; partitions: number[] }[] = [];
  let last: { topicId: number; partitions: number[] } | undefined;
  for (const place of sorted) {
    const topicId = topicIdOf(place);
    if (last?.topicId !== topicId) {
      last = { topicId, partitions: [] };
      list.push(last);
    }
    last.partitions.push(partitionOf(place));
  }
  return list;
}
