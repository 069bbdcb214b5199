import fc from 'fast-check';
import t from 'tap';
import type { AssignQuestion } from '../../../../src/broker/groups/assign/assignor.js';
import { LeastDispatchedAssignor } from '../../../../src/broker/groups/assign/least-dispatched-assignor.js';
import { RangeAssignor } from '../../../../src/broker/groups/assign/range-assignor.js';
import { StickyAssignor } from '../../../../src/broker/groups/assign/sticky-assignor.js';
import { assigned, counts, moves, problemOf, questionOf } from './question.js';

const sticky = new StickyAssignor();
const range = new RangeAssignor();
const least = new LeastDispatchedAssignor();

/** Members that all subscribe to all topics. */
const alike = fc
  .record({
    topics: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 }),
    memberCount: fc.integer({ min: 1, max: 9 }),
    former: fc.array(fc.integer({ min: -1, max: 8 }), { minLength: 48, maxLength: 48 }),
    holder: fc.array(fc.integer({ min: -1, max: 8 }), { minLength: 48, maxLength: 48 }),
    load: fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 48, maxLength: 48 }),
  })
  .map(({ memberCount, ...rest }) => {
    const all = rest.topics.map((_, i) => i);
    return { ...rest, members: Array.from({ length: memberCount }, (_, i) => ({ name: `m${i}`, topics: all })) };
  });

/** Members that subscribe to whatever they like. */
const mixed = fc.record({
  topics: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
  members: fc
    .array(fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { minLength: 1 }), { minLength: 1, maxLength: 5 })
    .map((list) => list.map((topics, i) => ({ name: `m${i}`, topics }))),
  former: fc.array(fc.integer({ min: -1, max: 4 }), { minLength: 20, maxLength: 20 }),
});

/** The fewest moves to quotas that differ by at most one. */
function fewestMoves(question: AssignQuestion): number {
  const have = question.members.map(() => 0);
  let owned = 0;
  for (const member of question.former) {
    if (member < 0) continue;
    have[member] = have[member]! + 1;
    owned++;
  }
  const low = Math.floor(question.partitionCount / have.length);
  let larger = question.partitionCount % have.length;
  let stay = 0;
  for (const count of have.sort((a, b) => b - a)) {
    const quota = low + (larger > 0 ? 1 : 0);
    if (larger > 0) larger--;
    stay += Math.min(count, quota);
  }
  return owned - stay;
}

/** True when some chain of members could make the counts more even. */
function canBeEvener(question: AssignQuestion): boolean {
  const have = counts(question);
  const edge = (from: number, to: number): boolean =>
    question.topics.some(
      (topic) =>
        topic.members.includes(to) &&
        question.result.subarray(topic.first, topic.first + topic.partitions).some((member) => member === from),
    );
  for (let start = 0; start < have.length; start++) {
    const reached = new Set([start]);
    for (const member of reached) {
      for (let to = 0; to < have.length; to++) if (edge(member, to)) reached.add(to);
    }
    for (const member of reached) if (have[member]! <= have[start]! - 2) return true;
  }
  return false;
}

t.test('sticky: even within one, with the fewest moves, and nothing moves twice', (t) => {
  fc.assert(
    fc.property(alike, (fields) => {
      const question = questionOf(fields);
      const first = assigned(sticky, question);
      t.equal(problemOf(question), undefined);
      const have = counts(question);
      if (Math.max(...have) - Math.min(...have) > 1) return false;
      if (moves(question) !== fewestMoves(question)) return false;
      const again = questionOf({ ...fields, former: first, holder: first });
      return String(assigned(sticky, again)) === String(first);
    }),
  );
  t.end();
});

t.test('sticky: as even as subscriptions allow', (t) => {
  fc.assert(
    fc.property(mixed, (fields) => {
      const question = questionOf(fields);
      const first = assigned(sticky, question);
      if (problemOf(question) !== undefined || canBeEvener(question)) return false;
      const again = questionOf({ ...fields, former: first });
      return String(assigned(sticky, again)) === String(first);
    }),
  );
  t.end();
});

t.test('sticky: a chain of moves, where no single one helps', (t) => {
  // a may give topic 0 to b, and b may give topic 1 to c; a and c share nothing.
  const members = [
    { name: 'a', topics: [0] },
    { name: 'b', topics: [0, 1] },
    { name: 'c', topics: [1] },
  ];
  const question = questionOf({ topics: [3, 3], members, former: [0, 0, 0, 1, 1, 2] });
  assigned(sticky, question);
  t.same(counts(question), [2, 2, 2]);
  t.equal(moves(question), 2);
  t.end();
});

t.test('sticky: who consumes a partition already gets it back at no cost', (t) => {
  const members = ['a', 'b', 'c'].map((name) => ({ name, topics: [0] }));
  // What was meant for a fourth one is still with c.
  const question = questionOf({ topics: [6], members, former: [0, 0, 1, 1, -1, -1], holder: [0, 0, 1, 1, 2, 2] });
  t.same(assigned(sticky, question), [0, 0, 1, 1, 2, 2]);
  t.end();
});

t.test('range: whole ranges in the order of names, topics alike are cut alike', (t) => {
  fc.assert(
    fc.property(mixed, (fields) => {
      const question = questionOf({ ...fields, topics: [...fields.topics, fields.topics[0]!] });
      assigned(range, question);
      if (problemOf(question) !== undefined) return false;
      for (const topic of question.topics) {
        const part = [...question.result.subarray(topic.first, topic.first + topic.partitions)];
        if (part.some((member, i) => i > 0 && member < part[i - 1]!)) return false;
        const twin = question.topics.find(
          (other) => other.partitions === topic.partitions && String(other.members) === String(topic.members),
        )!;
        if (String(part) !== String([...question.result.subarray(twin.first, twin.first + twin.partitions)])) {
          return false;
        }
      }
      return true;
    }),
  );
  t.end();
});

t.test('least-dispatched: no single move would help the busiest, and a spread that is good enough stays', (t) => {
  fc.assert(
    fc.property(alike, (fields) => {
      const question = questionOf(fields);
      const first = assigned(least, question);
      if (problemOf(question) !== undefined) return false;
      const again = questionOf({ ...fields, former: first });
      return String(assigned(least, again)) === String(first);
    }),
  );
  const members = ['a', 'b'].map((name) => ({ name, topics: [0] }));
  const heavy = questionOf({ topics: [4], members, former: [0, 0, 1, 1], load: [100, 90, 1, 1] });
  const result = assigned(least, heavy);
  t.equal(new Set([result[0], result[1]]).size, 2, 'two heavy ones part');
  const idle = questionOf({ topics: [8], members });
  assigned(least, idle);
  t.same(counts(idle), [4, 4], 'without any load by number');
  t.end();
});

t.test('nobody, and nothing', (t) => {
  for (const assignor of [sticky, range, least]) {
    t.same(assigned(assignor, questionOf({ topics: [3], members: [] })), []);
    t.same(assigned(assignor, questionOf({ topics: [], members: [{ name: 'a', topics: [] }] })), []);
  }
  t.end();
});

t.test('large groups', (t) => {
  const topics = Array.from({ length: 4 }, () => 1_024);
  const members = Array.from({ length: 1_000 }, (_, i) => ({
    name: `m${String(i).padStart(4, '0')}`,
    topics: [i % 4, (i + 1) % 4],
  }));
  const question = questionOf({ topics, members });
  const first = assigned(sticky, question);
  t.equal(problemOf(question), undefined);
  t.ok(Math.max(...counts(question)) - Math.min(...counts(question)) <= 1);
  const one = questionOf({ topics, members: [...members, { name: 'n', topics: [0, 1, 2, 3] }], former: first });
  assigned(sticky, one);
  t.equal(moves(one), 4, 'one more member takes a share and nothing else moves');
  t.end();
});
