/**
 * A group in this process, without a wire or a disk: `--members N` (100) and `--partitions P` (1,000).
 *
 * Ten more members join, one after another, then ten leave. At every step it is checked that no partition has two
 * owners; printed are the partitions that moved beside the fewest that could have, those that paused, and how long
 * planning and replay of a change take. Then the sticky assignor alone on 1,000 members and 4,096 partitions, where all
 * subscribe to the same topics and where they don't.
 */
import { StickyAssignor } from '../../src/broker/groups/assign/sticky-assignor.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { assigned, counts, moves, questionOf } from '../../test/broker/groups/assign/question.js';
import { addTopic, GroupWorld, WorldMember } from '../../test/broker/groups/core/group-world.js';
import type { BenchArguments, BenchResult } from './bench.js';

const changes = 10;
const topicPartitions = 1_000;

function timed(work: () => void): number {
  const startMs = performance.now();
  work();
  return performance.now() - startMs;
}

function rebalances(memberCount: number, partitionCount: number): Record<string, number> {
  const world = new GroupWorld(new SeededRandom(1));
  const topics: string[] = [];
  for (let left = partitionCount; left > 0; left -= topicPartitions) {
    topics.push(`t${topics.length}`);
    addTopic(world, topics.at(-1)!, Math.min(left, topicPartitions));
  }
  const join = (name: string): void => world.join(new WorldMember(name, '', topics));
  for (let i = 0; i < memberCount; i++) join(`m${i}`);
  const firstMs = timed(() => world.settle());
  const paused = (): number => [...world.members.values()].reduce((sum, { revocations }) => sum + revocations, 0);
  let fewest = 0;
  const plannedBefore = world.movesPlanned;
  const joinMs = timed(() => {
    for (let n = memberCount + 1; n <= memberCount + changes; n++) {
      fewest += Math.floor(partitionCount / n);
      join(`m${n}`);
      world.settle();
    }
  });
  const joinMoves = world.movesPlanned - plannedBefore;
  const joinPauses = paused();
  const plannedBeforeLeaving = world.movesPlanned;
  let had = 0;
  const leaveMs = timed(() => {
    for (let n = 0; n < changes; n++) {
      const member = world.members.get(`m${n}`)!;
      had += member.held.size;
      world.putOut(member.id);
      world.kill(member);
      world.settle();
    }
  });
  return {
    firstMs,
    joinMs: joinMs / changes,
    joinMoves,
    joinMovesFewest: fewest,
    joinPauses,
    leaveMs: leaveMs / changes,
    leaveMoves: world.movesPlanned - plannedBeforeLeaving,
    leaveMovesFewest: had,
    checks: world.steps,
  };
}

/** One more member comes to a group that is as large as groups get. */
function largest(isMixed: boolean): Record<string, number> {
  const sticky = new StickyAssignor();
  const topics = Array.from({ length: 16 }, () => 256);
  const all = topics.map((_, i) => i);
  const members = Array.from({ length: 1_000 }, (_, i) => ({
    name: `m${String(i).padStart(4, '0')}`,
    topics: isMixed ? all.filter((topic) => (topic + i) % 4 !== 0) : all,
  }));
  let former: number[] = [];
  const firstMs = timed(() => {
    former = assigned(sticky, questionOf({ topics, members }));
  });
  const question = questionOf({ topics, members: [...members, { name: 'n', topics: all }], former });
  const joinMs = timed(() => assigned(sticky, question));
  const have = counts(question);
  const name = isMixed ? 'mixed' : 'alike';
  return {
    [`${name}FirstMs`]: firstMs,
    [`${name}JoinMs`]: joinMs,
    [`${name}JoinMoves`]: moves(question),
    [`${name}Spread`]: Math.max(...have) - Math.min(...have),
  };
}

export async function run(args: BenchArguments): Promise<BenchResult> {
  const members = Number(args['members'] ?? 100);
  const partitions = Number(args['partitions'] ?? 1_000);
  const metrics = { ...rebalances(members, partitions), ...largest(false), ...largest(true) };
  return { name: 'groups', metrics, config: { members, partitions, changes } };
}
