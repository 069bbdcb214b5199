import { isPartition, partitionOf, placeOf, topicIdOf } from '../../../base/place.js';
import type { taskd } from '../../../wire/generated/messages.js';

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
