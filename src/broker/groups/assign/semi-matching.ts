/**
 * The most even assignment that subscriptions allow: N. Harvey, R. Ladner, L. Lovász, T. Tamir, "Semi-matchings for
 * bipartite graphs and load balancing", 2003. An assignment is optimal if and only if it has no *cost-reducing path*: a
 * chain of members in which each one could hand a partition to the next, from one member to another that has at least
 * two partitions fewer.
 */
import type { AssignQuestion } from './assignor.js';

/** Changes `question.result`, which holds members that subscribe, or -1, as little as needed. */
export function balanceMatching(question: AssignQuestion): void {
  const matching = new Matching(question);
  matching.fill();
  matching.balance();
}

class Matching {
  readonly #question: AssignQuestion;
  readonly #topicOf: Int32Array;
  readonly #counts: number[];
  /** By member: its partitions of each topic. */
  readonly #owned: Map<number, number[]>[];
  /** Where the search came from. */
  readonly #fromMember: Int32Array;
  readonly #fromTopic: Int32Array;

  constructor(question: AssignQuestion) {
    const { members, topics, partitionCount } = question;
    this.#question = question;
    this.#topicOf = new Int32Array(partitionCount);
    topics.forEach(({ first, partitions }, topic) => {
      this.#topicOf.fill(topic, first, first + partitions);
    });
    this.#counts = members.map(() => 0);
    this.#owned = members.map(() => new Map());
    this.#fromMember = new Int32Array(members.length);
    this.#fromTopic = new Int32Array(members.length);
  }

  /** Gives what nobody has to whoever has least of those who may have it. */
  fill(): void {
    const { result, topics, holder, partitionCount } = this.#question;
    const free: number[] = [];
    for (let partition = 0; partition < partitionCount; partition++) {
      const member = result[partition]!;
      if (member < 0) free.push(partition);
      else this.#give(partition, member);
    }
    for (const partition of free) {
      const { members } = topics[this.#topicOf[partition]!]!;
      let best = members[0]!;
      for (const member of members) {
        const less = this.#counts[member]! - this.#counts[best]!;
        if (less < 0 || (less === 0 && holder[partition] === member)) best = member;
      }
      this.#give(partition, best);
    }
  }

  /** Takes cost-reducing paths until there is none. */
  balance(): void {
    const members = this.#counts.map((_, member) => member);
    for (let isBetter = true; isBetter; ) {
      isBetter = false;
      members.sort((a, b) => this.#counts[b]! - this.#counts[a]! || a - b);
      // Whoever was reached in vain from a member with as many or more would search in vain too.
      const isDone = new Uint8Array(members.length);
      // One a round from each, the fullest first: nobody gives so much that it must be given something back.
      for (const member of members) {
        const end = isDone[member] === 0 ? this.#search(member, isDone) : undefined;
        if (end === undefined) continue;
        this.#shift(member, end);
        isDone.fill(0);
        isBetter = true;
      }
    }
  }

  /** The nearest member with at least two fewer; when there is none, all that were reached are done. */
  #search(start: number, isDone: Uint8Array): number | undefined {
    const { members: all, topics } = this.#question;
    const enough = this.#counts[start]! - 2;
    const isSeen = new Uint8Array(all.length);
    const isTopicSeen = new Uint8Array(topics.length);
    isSeen[start] = 1;
    const queue = [start];
    for (let at = 0; at < queue.length; at++) {
      const member = queue[at]!;
      for (const [topic, partitions] of this.#owned[member]!) {
        if (isTopicSeen[topic] === 1 || partitions.length === 0) continue;
        isTopicSeen[topic] = 1;
        for (const next of topics[topic]!.members) {
          if (isSeen[next] === 1) continue;
          isSeen[next] = 1;
          this.#fromMember[next] = member;
          this.#fromTopic[next] = topic;
          if (this.#counts[next]! <= enough) return next;
          queue.push(next);
        }
      }
    }
    for (const member of queue) if (this.#counts[member]! <= this.#counts[start]!) isDone[member] = 1;
    return undefined;
  }

  /** Hands one partition on along the path that the search found. */
  #shift(start: number, end: number): void {
    for (let to = end; to !== start; ) {
      const from = this.#fromMember[to]!;
      const list = this.#owned[from]!.get(this.#fromTopic[to]!)!;
      this.#counts[from] = this.#counts[from]! - 1;
      this.#give(this.#take(list, from), to);
      to = from;
    }
  }

  /** Rather one that the member has not had, or does not consume yet. */
  #take(list: number[], member: number): number {
    const { former, holder } = this.#question;
    let best = list.length - 1;
    let bestCost = Number.POSITIVE_INFINITY;
    for (let i = list.length - 1; i >= 0 && bestCost > 0; i--) {
      const partition = list[i]!;
      const cost = former[partition] !== member ? 0 : holder[partition] !== member ? 1 : 2;
      if (cost < bestCost) {
        best = i;
        bestCost = cost;
      }
    }
    return list.splice(best, 1)[0]!;
  }

  #give(partition: number, member: number): void {
    this.#question.result[partition] = member;
    this.#counts[member] = this.#counts[member]! + 1;
    const topic = this.#topicOf[partition]!;
    const list = this.#owned[member]!.get(topic);
    if (list === undefined) this.#owned[member]!.set(topic, [partition]);
    else list.push(partition);
  }
}
