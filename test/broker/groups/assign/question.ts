import type { AssignMember, Assignor, AssignQuestion } from '../../../../src/broker/groups/assign/assignor.js';

export interface QuestionFields {
  /** Partitions of each topic. */
  readonly topics: readonly number[];
  /** By member: indexes of its topics. A topic without a member is left out. */
  readonly members: readonly { readonly name: string; readonly topics: readonly number[] }[];
  /** By partition, counted over the topics that are not left out: index of a member, or -1. */
  readonly former?: readonly number[];
  readonly holder?: readonly number[];
  readonly load?: readonly number[];
}

/** A question as the coordinator would ask it. What makes no sense in `former` and `holder` becomes -1. */
export function questionOf(fields: QuestionFields): AssignQuestion {
  const names = fields.members.map((member, i) => ({ ...member, i })).sort((a, b) => (a.name < b.name ? -1 : 1));
  const kept = fields.topics
    .map((partitions, topic) => ({
      topicId: topic + 1,
      partitions,
      members: names.flatMap((member, i) => (member.topics.includes(topic) ? [i] : [])),
    }))
    .filter(({ members }) => members.length > 0);
  let first = 0;
  const topics = kept.map((topic) => {
    first += topic.partitions;
    return { ...topic, first: first - topic.partitions };
  });
  const members: AssignMember[] = names.map(({ name }, i) => ({
    name,
    topics: topics.flatMap((topic, t) => (topic.members.includes(i) ? [t] : [])),
  }));
  const sane = (list: readonly number[] = []): Int32Array => {
    const out = new Int32Array(first).fill(-1);
    for (const topic of topics) {
      for (let i = topic.first; i < topic.first + topic.partitions; i++) {
        if (topic.members.includes(list[i] ?? -1)) out[i] = list[i]!;
      }
    }
    return out;
  };
  const former = sane(fields.former);
  const load = new Float64Array(first);
  for (let i = 0; i < first; i++) load[i] = fields.load?.[i] ?? 0;
  return {
    members,
    topics,
    partitionCount: first,
    former,
    holder: fields.holder === undefined ? former.slice() : sane(fields.holder),
    load,
    result: new Int32Array(first).fill(-1),
  };
}

export function assigned(assignor: Assignor, question: AssignQuestion): number[] {
  question.result.fill(-1);
  assignor.assign(question);
  return [...question.result];
}

/** How many partitions each member has. */
export function counts(question: AssignQuestion): number[] {
  const list = question.members.map(() => 0);
  for (const member of question.result) list[member] = list[member]! + 1;
  return list;
}

/** Partitions that somebody had and another one gets. */
export function moves(question: AssignQuestion): number {
  let count = 0;
  for (let i = 0; i < question.partitionCount; i++) {
    if (question.former[i]! >= 0 && question.former[i] !== question.result[i]) count++;
  }
  return count;
}

/** Everybody gets only what it subscribes to, and nothing is left over. */
export function problemOf(question: AssignQuestion): string | undefined {
  for (const topic of question.topics) {
    for (let i = topic.first; i < topic.first + topic.partitions; i++) {
      if (!topic.members.includes(question.result[i]!)) return `partition ${i} went to ${question.result[i]}`;
    }
  }
  return undefined;
}
