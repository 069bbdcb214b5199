import { keyPartition } from './murmur2.js';

/** The topic that holds the consumer groups, and its partitions, of which each one coordinates the groups in it. */
export const groupsTopic = '__groups';
export const groupsTopicPartitions = 8;

const utf8 = new TextEncoder();

/** Which of the `partitions` of `__groups` holds a group: that of its name as a key. Whoever leads it coordinates. */
export function groupPartition(group: string, partitions: number): number {
  return keyPartition(utf8.encode(group), partitions);
}
