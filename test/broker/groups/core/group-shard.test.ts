import fc from 'fast-check';
import t from 'tap';
import { BatchClass } from '../../../../src/batch/header.js';
import { RangeAssignor } from '../../../../src/broker/groups/assign/range-assignor.js';
import { GroupShard } from '../../../../src/broker/groups/core/group-shard.js';
import { SeededRandom } from '../../../../src/runtime/sim/seeded-random.js';
import { addTopic, allPlaces, GroupWorld, storedRecord, WorldMember } from './group-world.js';

const topicNames = ['a', 'b', 'c'];

/** One step of whatever may happen. */
function step(world: GroupWorld, random: SeededRandom, serial: { next: number }): void {
  const members = [...world.members.values()];
  const member = members[random.below(Math.max(1, members.length))];
  const topics = (): string[] => (random.below(3) === 0 ? topicNames.slice(0, 1 + random.below(3)) : topicNames);
  const die = random.below(100);
  if (die < 40) world.replay();
  else if (die < 50) world.plan();
  else if (member === undefined || (die < 54 && members.length < 8)) {
    const instanceId = random.below(4) === 0 ? `i${random.below(3)}` : '';
    world.join(new WorldMember(`m${serial.next++}`, instanceId, topics()));
  } else if (die < 66) world.deliver(member);
  else if (die < 74) world.hear(member);
  else if (die < 80) {
    for (const place of member.leaving) if (random.below(2) === 0) member.letGo(place);
    world.beat(member);
  } else if (die < 84) world.beat(member);
  else if (die < 90) {
    const held = [...member.held];
    // Now and then of one that it never had, or has no more.
    const places = held.length === 0 || random.below(4) === 0 ? allPlaces(world, topicNames) : held;
    if (places.length > 0) world.commit(member, places[random.below(places.length)]!);
  } else if (die < 92) world.putOut(member.id);
  else if (die < 94) world.cut(member);
  else if (die < 96) {
    if (!member.isConnected) world.join(member);
  } else if (die < 97) {
    if (random.below(2) === 0) member.topics = topics();
    world.join(member);
  } else if (die < 98) world.kill(member);
  else if (die < 99) addTopic(world, topicNames[random.below(3)]!, 1 + random.below(9));
  else if (random.below(2) === 0) world.rewrite();
  else world.restart();
  world.check();
}

/** At rest: all partitions that somebody wants have an owner who wants them, and consumes them. */
function problemAtRest(world: GroupWorld): string | undefined {
  const { group } = world;
  const wanted = new Set<number>();
  for (const member of world.members.values()) for (const place of allPlaces(world, member.topics)) wanted.add(place);
  for (const place of wanted) {
    const owner = group?.ownerOf(place);
    if (owner === undefined) return `nobody owns ${place}`;
    const member = world.members.get(owner.memberId);
    if (member === undefined) return `${place} belongs to ${owner.memberId}, who is gone`;
    if (!member.held.has(place)) return `${owner.memberId} doesn't consume ${place}`;
    if (!allPlaces(world, owner.topics).includes(place)) return `${owner.memberId} doesn't want ${place}`;
  }
  if (group !== undefined && group.movingCount > 0) return `${group.movingCount} partitions are on their way`;
  return undefined;
}

/** Puts out all whose processes are gone, as their session timeout would. */
function expireGone(world: GroupWorld): void {
  for (const memberId of world.group?.members.keys() ?? []) if (!world.members.has(memberId)) world.putOut(memberId);
}

t.test('whatever happens: one owner at most, commits of owners alone, and it comes to rest', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.boolean(), (seed, isRange) => {
      const random = new SeededRandom(seed);
      const world = isRange ? new GroupWorld(random, new RangeAssignor()) : new GroupWorld(random);
      for (const name of topicNames) if (random.below(4) > 0) addTopic(world, name, 1 + random.below(9));
      const serial = { next: 0 };
      for (let i = 0; i < 400; i++) step(world, random, serial);
      while (world.pending > 0) world.replay();
      expireGone(world);
      world.settle();
      t.equal(problemAtRest(world), undefined, `seed ${seed}`);
      t.equal(world.replayed().describe(), world.shard.describe(), 'the log alone gives this state');
    }),
    { numRuns: 60 },
  );
  t.end();
});

t.test('a hundred members and a thousand partitions: a join stops nobody else, and moves as little as it can', (t) => {
  const world = new GroupWorld(new SeededRandom(1));
  addTopic(world, 'wide', 1_000);
  const add = (name: string): WorldMember => {
    const member = new WorldMember(name, '', ['wide']);
    world.join(member);
    return member;
  };
  for (let i = 0; i < 100; i++) add(`m${i}`);
  world.settle();
  const revoked = (): number => {
    let sum = 0;
    for (const member of world.members.values()) sum += member.revocations;
    return sum;
  };
  const sizes = (): number[] => [...world.members.values()].map(({ held }) => held.size).sort((a, b) => a - b);
  t.same([sizes()[0], sizes()[99]], [10, 10]);
  for (let n = 101; n <= 110; n++) {
    const before = new Map([...world.members].map(([id, member]) => [id, new Set(member.held)]));
    const paused = revoked();
    const planned = world.movesPlanned;
    const joined = add(`m${n}`);
    world.settle();
    const fewest = Math.floor(1_000 / n);
    t.equal(joined.held.size, fewest);
    t.equal(world.movesPlanned - planned, fewest, 'only its share moves');
    t.equal(revoked() - paused, fewest, 'and nothing else pauses');
    for (const [id, held] of before) {
      for (const place of world.members.get(id)!.held) if (!held.has(place)) t.fail(`${id} was given ${place}`);
    }
  }
  const leaver = world.members.get('m7')!;
  const [count, paused, planned] = [leaver.held.size, revoked(), world.movesPlanned];
  world.putOut('m7');
  world.kill(leaver);
  world.settle();
  t.equal(world.movesPlanned - planned, count, 'one that leaves: what it had, and nothing else');
  t.equal(revoked(), paused + 0 - leaver.revocations, 'and nobody pauses');
  t.ok(sizes().at(-1)! - sizes()[0]! <= 1);
  t.end();
});

t.test('what a member sent before it began anew is refused', (t) => {
  const world = new GroupWorld(new SeededRandom(1));
  addTopic(world, 'a', 2);
  const member = new WorldMember('m', '', ['a']);
  world.join(member);
  world.settle();
  const [place] = [...member.held] as [number];
  const { epoch } = member;
  member.drop();
  world.join(member);
  world.settle();
  t.ok(member.epoch > epoch);
  const known = world.group!.members.get('m')!;
  t.equal(world.group!.mayCommit(known, epoch, place), false);
  t.equal(world.group!.mayCommit(known, member.epoch, place), true);
  t.end();
});

t.test('whatever bytes are in the log, replay goes on', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 12 }),
      fc.uint8Array({ maxLength: 60 }),
      fc.integer({ min: 0, max: 2 }),
      (type, value, batchClass) => {
        const shard = new GroupShard();
        const record = storedRecord({ value, type }, 0);
        shard.replay(record, {
          baseOffset: 0,
          appendTimestampMs: 1,
          batchClass: batchClass as (typeof BatchClass)['OWNER'],
          records: [record],
        });
        if (batchClass !== BatchClass.OWNER && shard.groups.size > 0) return false;
        shard.describe();
        return true;
      },
    ),
    { numRuns: 2_000 },
  );
  t.end();
});
