import { taskd } from '../../wire/generated/messages.js';
import { fetchOffsets, listOffsets } from '../../wire/methods.js';
import type { LeaderCaller } from './leader-caller.js';

/** Where consumption begins: a place in the log, an instant, or an offset. */
export type Position = 'earliest' | 'latest' | { readonly timeMs: number } | { readonly offset: number };

interface Place {
  readonly topicId: number;
  readonly partition: number;
}

/** The offset of a position in a partition now. An offset goes as it is. */
export async function offsetOf(
  leaders: LeaderCaller,
  place: Place,
  position: Position,
  deadlineMs: number,
): Promise<number> {
  if (typeof position === 'object' && 'offset' in position) return position.offset;
  const { topicId, partition } = place;
  const { OFFSET_SPEC_START, OFFSET_SPEC_END, OFFSET_SPEC_TIME } = taskd.OffsetSpec;
  const request =
    typeof position === 'object'
      ? { topicId, partition, spec: OFFSET_SPEC_TIME, timeMs: position.timeMs }
      : { topicId, partition, spec: position === 'earliest' ? OFFSET_SPEC_START : OFFSET_SPEC_END };
  return (await leaders.askLeader(place, listOffsets, request, deadlineMs)).offset;
}

/** Partitions in one question; a coordinator takes up to 4,096. */
const partitionsMax = 4_000;

/** What is committed for these partitions, in their order; undefined where nothing is. */
export async function committedOf(
  leaders: LeaderCaller,
  group: string,
  places: readonly Place[],
  deadlineMs: number,
): Promise<(number | undefined)[]> {
  const found: (number | undefined)[] = [];
  for (let from = 0; from < places.length; from += partitionsMax) {
    found.push(...(await committedPage(leaders, group, places.slice(from, from + partitionsMax), deadlineMs)));
  }
  return found;
}

async function committedPage(
  leaders: LeaderCaller,
  group: string,
  places: readonly Place[],
  deadlineMs: number,
): Promise<(number | undefined)[]> {
  const partitions = byTopic(places);
  const { offsets } = await leaders.askCoordinator(group, fetchOffsets, { group, partitions }, deadlineMs);
  const found = new Map(offsets.map(({ topicId, partition, offset }) => [`${topicId ?? 0}/${partition ?? 0}`, offset]));
  return places.map(({ topicId, partition }) => found.get(`${topicId}/${partition}`) ?? undefined);
}

/** As messages list partitions. */
export function byTopic(places: Iterable<Place>): taskd.ITopicPartitions[] {
  const topics = new Map<number, number[]>();
  for (const { topicId, partition } of places) {
    const partitions = topics.get(topicId);
    if (partitions === undefined) topics.set(topicId, [partition]);
    else partitions.push(partition);
  }
  return [...topics].map(([topicId, partitions]) => ({ topicId, partitions }));
}
