import type { Assignor, AssignQuestion } from './assignor.js';

/** Members may differ from the mean by this share before a partition is moved for it. */
const tolerance = 0.1;
/** What a partition weighs at least, as a share of the mean load: so that idle ones are spread too. */
const idleShare = 0.25;

/**
 * Spreads the work that members say partitions make, rather than their number: for schedulers, whose shards differ.
 * What nobody has goes to whoever has least to do, the heaviest first; then partitions move from the busiest to less
 * busy ones for as long as that makes the busiest less busy by more than the tolerance.
 */
export class LeastDispatchedAssignor implements Assignor {
  readonly name = 'least-dispatched';

  assign(question: AssignQuestion): void {
    const { members, topics, partitionCount, former, holder, load, result } = question;
    if (members.length === 0) return;
    const weight = weights(load);
    const busy: number[] = members.map(() => 0);
    const candidates: (readonly number[])[] = [];
    for (const topic of topics) for (let i = 0; i < topic.partitions; i++) candidates.push(topic.members);
    const free: number[] = [];
    for (let partition = 0; partition < partitionCount; partition++) {
      const member = former[partition]!;
      result[partition] = member;
      if (member < 0) free.push(partition);
      else busy[member] = busy[member]! + weight[partition]!;
    }
    free.sort((a, b) => weight[b]! - weight[a]! || a - b);
    for (const partition of free) {
      const member = leastBusy(candidates[partition]!, busy, holder[partition]!);
      result[partition] = member;
      busy[member] = busy[member]! + weight[partition]!;
    }
    for (let moves = 0; moves < partitionCount; moves++) {
      if (!improve(candidates, weight, busy, result)) return;
    }
  }
}

function weights(load: Float64Array): Float64Array {
  let sum = 0;
  for (const each of load) sum += each;
  const least = sum === 0 ? 1 : (sum / load.length) * idleShare;
  return load.map((each) => Math.max(each, least));
}

function leastBusy(candidates: readonly number[], busy: readonly number[], holder: number): number {
  let best = candidates[0]!;
  for (const member of candidates) {
    const less = busy[member]! - busy[best]!;
    if (less < 0 || (less === 0 && member === holder)) best = member;
  }
  return best;
}

/** Makes the one move that helps the busiest member most; false when none is worth it. */
function improve(
  candidates: readonly (readonly number[])[],
  weight: Float64Array,
  busy: number[],
  result: Int32Array,
): boolean {
  let busiest = 0;
  let sum = 0;
  for (let member = 0; member < busy.length; member++) {
    if (busy[member]! > busy[busiest]!) busiest = member;
    sum += busy[member]!;
  }
  const mean = sum / busy.length;
  const load = busy[busiest]!;
  if (load <= mean * (1 + tolerance)) return false;
  let bestPartition = -1;
  let bestMember = -1;
  let bestPeak = load - mean * tolerance * 0.5;
  let lastCandidates: readonly number[] | undefined;
  let receiver = -1;
  for (let partition = 0; partition < result.length; partition++) {
    if (result[partition] !== busiest) continue;
    if (candidates[partition] !== lastCandidates) {
      lastCandidates = candidates[partition]!;
      receiver = leastBusy(lastCandidates, busy, -1);
    }
    if (receiver === busiest) continue;
    const peak = Math.max(load - weight[partition]!, busy[receiver]! + weight[partition]!);
    if (peak >= bestPeak) continue;
    bestPeak = peak;
    bestPartition = partition;
    bestMember = receiver;
  }
  if (bestPartition < 0) return false;
  result[bestPartition] = bestMember;
  busy[busiest] = load - weight[bestPartition]!;
  busy[bestMember] = busy[bestMember]! + weight[bestPartition]!;
  return true;
}
