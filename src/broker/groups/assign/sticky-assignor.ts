import type { Assignor, AssignQuestion } from './assignor.js';
import { balanceMatching } from './semi-matching.js';

/**
 * Everybody gets as many partitions as everybody else, give or take one, with as few moves as that needs. Where members
 * subscribe to different topics, as even as the subscriptions allow.
 */
export class StickyAssignor implements Assignor {
  readonly name = 'sticky';

  assign(question: AssignQuestion): void {
    const { members, topics, result } = question;
    if (members.length === 0) return;
    result.set(question.former);
    if (topics.every((topic) => topic.members.length === members.length)) assignEvenly(question);
    else balanceMatching(question);
  }
}

/** All subscribe to the same topics: quotas, the larger ones for those who have most, make the moves minimal. */
function assignEvenly({ members, partitionCount, former, holder, result }: AssignQuestion): void {
  const owned: number[][] = members.map(() => []);
  const free: number[] = [];
  for (let partition = 0; partition < partitionCount; partition++) {
    const member = former[partition]!;
    if (member < 0) free.push(partition);
    else owned[member]!.push(partition);
  }
  const quota = quotas(
    owned.map((list) => list.length),
    partitionCount,
  );
  for (let member = 0; member < members.length; member++) {
    const list = owned[member]!;
    const surplus = list.length - quota[member]!;
    if (surplus > 0) free.push(...chosen(list, surplus, holder, member));
    quota[member] = Math.max(0, -surplus);
  }
  free.sort((a, b) => a - b);
  const left: number[] = [];
  for (const partition of free) {
    const member = holder[partition]!;
    if (member >= 0 && quota[member]! > 0) {
      result[partition] = member;
      quota[member] = quota[member]! - 1;
    } else left.push(partition);
  }
  // One after another, so that the partitions of one topic come to many members.
  let at = 0;
  for (const partition of left) {
    while (quota[at]! === 0) at = (at + 1) % members.length;
    result[partition] = at;
    quota[at] = quota[at]! - 1;
    at = (at + 1) % members.length;
  }
}

function quotas(counts: readonly number[], partitionCount: number): number[] {
  const least = Math.floor(partitionCount / counts.length);
  const quota: number[] = counts.map(() => least);
  const most = counts.map((_, member) => member).sort((a, b) => counts[b]! - counts[a]! || a - b);
  for (let i = 0; i < partitionCount % counts.length; i++) quota[most[i]!] = least + 1;
  return quota;
}

/** Which `count` of its partitions a member gives: first those that it doesn't consume yet, then some of each topic. */
function chosen(list: readonly number[], count: number, holder: Int32Array, member: number): number[] {
  const out = list.filter((partition) => holder[partition] !== member).slice(0, count);
  const need = count - out.length;
  if (need === 0) return out;
  const held = list.filter((partition) => holder[partition] === member);
  for (let i = 0; i < need; i++) out.push(held[Math.floor(((i + 0.5) * held.length) / need)]!);
  return out;
}
