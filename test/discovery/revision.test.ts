import t from 'tap';
import { Revision } from '../../src/discovery/revision.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';

t.test('merged in any order it is the same, and never goes back', (t) => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = new SeededRandom(seed);
    const positions = Array.from({ length: 20 }, () => ({
      owner: `n${random.below(4)}`,
      incarnation: 1 + random.below(3),
      sequence: random.below(10),
    }));
    const ordered = (revision: Revision): unknown => revision.positions.sort((a, b) => (a.owner < b.owner ? -1 : 1));
    const one = new Revision();
    one.merge(positions);
    const other = new Revision();
    for (const position of positions.reverse()) other.merge([position]);
    t.same(ordered(one), ordered(other));
  }
  t.end();
});

t.test('a complete answer takes its place; it stays small', (t) => {
  const revision = new Revision();
  revision.merge([{ owner: 'a', incarnation: 5, sequence: 5 }]);
  revision.replace([{ owner: 'a', incarnation: 4, sequence: 1 }]);
  t.same(revision.positions, [{ owner: 'a', incarnation: 4, sequence: 1 }]);
  for (let i = 0; i < 1_000; i++) revision.merge([{ owner: `n${i}`, incarnation: 1, sequence: 1 }]);
  t.equal(revision.positions.length, 256);
  t.equal(revision.positions.at(-1)!.owner, 'n999');
  t.end();
});

t.test('who is behind puts a later incarnation beside the former one; who is not, in its place', (t) => {
  const revision = new Revision();
  const at = (incarnation: number, sequence: number) => ({ owner: 'a', incarnation, sequence });
  revision.merge([at(1, 5)]);
  revision.merge([at(2, 1)], true);
  revision.merge([at(2, 3)], true);
  revision.merge([at(2, 2)], true);
  t.same(revision.positions, [at(1, 5), at(2, 3)]);
  revision.merge([at(3, 0)], true);
  t.same(revision.positions, [at(1, 5), at(2, 3), at(3, 0)]);
  for (let incarnation = 4; incarnation < 40; incarnation++) revision.merge([at(incarnation, 1)], true);
  t.same(revision.positions.length, 8, 'the last ones');
  revision.merge([at(39, 1)]);
  t.same(revision.positions, [at(39, 1)], 'who is not behind knows all that was seen');
  revision.merge([at(40, 0)]);
  t.same(revision.positions, [at(40, 0)]);
  t.end();
});
