import { placeOf } from '../../../base/place.js';
import type { taskd } from '../../../wire/generated/messages.js';
import type { AssignMember, Assignor, AssignQuestion, AssignTopic } from '../assign/assignor.js';
import type { Group } from './group.js';
import type { Member } from './member.js';
import { topicPartitionsOf } from './place.js';

export interface KnownTopic {
  readonly topicId: number;
  readonly partitions: number;
}

/** The topic of that name, if it exists. */
export type TopicLookup = (name: string) => KnownTopic | undefined;

/**
 * Asks the assignor who shall have what, and says how that differs from what was meant until now. Empty when it
 * doesn't. `loadOf` is what members said of a place's work.
 */
export function planTarget(
  group: Group,
  assignor: Assignor,
  topics: TopicLookup,
  loadOf: (place: number) => number,
): taskd.TargetMove.$Properties[] {
  const members = [...group.members.values()].sort(byName);
  const question = newQuestion(group, members, topics, loadOf);
  assignor.assign(question);
  const moves = new Map<string, number[]>();
  const seen = new Set<number>();
  for (const { topicId, partitions, first } of question.topics) {
    for (let partition = 0; partition < partitions; partition++) {
      const place = placeOf(topicId, partition);
      seen.add(place);
      const wanted = members[question.result[first + partition]!];
      if (wanted !== group.targetOf(place)) put(moves, wanted?.memberId ?? '', place);
    }
  }
  for (const place of group.places()) {
    if (!seen.has(place) && group.targetOf(place) !== undefined) put(moves, '', place);
  }
  return [...moves].map(([memberId, places]) => ({ memberId, partitions: topicPartitionsOf(places) }));
}

function newQuestion(
  group: Group,
  members: readonly Member[],
  lookup: TopicLookup,
  loadOf: (place: number) => number,
): AssignQuestion {
  const topics = subscribed(members, lookup);
  const indexOf = new Map(members.map((member, i) => [member, i] as const));
  const topicsOf: number[][] = members.map(() => []);
  topics.forEach((topic, i) => {
    for (const member of topic.members) topicsOf[member]!.push(i);
  });
  const assignMembers: AssignMember[] = members.map(({ name }, i) => ({ name, topics: topicsOf[i]! }));
  const last = topics.at(-1);
  const partitionCount = last === undefined ? 0 : last.first + last.partitions;
  const former = new Int32Array(partitionCount).fill(-1);
  const holder = new Int32Array(partitionCount).fill(-1);
  const load = new Float64Array(partitionCount);
  for (const topic of topics) {
    const mayHave = new Set(topic.members);
    const index = (member: Member | undefined): number => {
      const i = member === undefined ? undefined : indexOf.get(member);
      return i !== undefined && mayHave.has(i) ? i : -1;
    };
    for (let partition = 0; partition < topic.partitions; partition++) {
      const place = placeOf(topic.topicId, partition);
      former[topic.first + partition] = index(group.targetOf(place));
      holder[topic.first + partition] = index(group.ownerOf(place));
      load[topic.first + partition] = loadOf(place);
    }
  }
  const result = new Int32Array(partitionCount).fill(-1);
  return { members: assignMembers, topics, partitionCount, former, holder, load, result };
}

function subscribed(members: readonly Member[], lookup: TopicLookup): AssignTopic[] {
  const byId = new Map<number, { readonly topic: KnownTopic; readonly members: number[] }>();
  const known = new Map<string, KnownTopic | undefined>();
  members.forEach((member, i) => {
    for (const name of member.topics) {
      if (!known.has(name)) known.set(name, lookup(name));
      const topic = known.get(name);
      if (topic === undefined || topic.partitions === 0) continue;
      const entry = byId.get(topic.topicId);
      if (entry === undefined) byId.set(topic.topicId, { topic, members: [i] });
      else entry.members.push(i);
    }
  });
  const sorted = [...byId.values()].sort((a, b) => a.topic.topicId - b.topic.topicId);
  let first = 0;
  return sorted.map((entry) => {
    const { topicId, partitions } = entry.topic;
    first += partitions;
    return { topicId, partitions, first: first - partitions, members: entry.members };
  });
}

function byName(a: Member, b: Member): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function put(moves: Map<string, number[]>, memberId: string, place: number): void {
  const places = moves.get(memberId);
  if (places === undefined) moves.set(memberId, [place]);
  else places.push(place);
}
