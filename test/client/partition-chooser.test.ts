import t from 'tap';
import { keyPartition } from '../../src/base/murmur2.js';
import { PartitionChooser } from '../../src/client/partition-chooser.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';

const load = (queues: number[], down: number[] = [], slow: number[] = []) => ({
  queued: (partition: number) => queues[partition]!,
  hasLeader: (partition: number) => !down.includes(partition),
  isSlow: (partition: number) => slow.includes(partition),
});

t.test('queues 0, 3 and 1 get shares of 4, 1 and 3 eighths', (t) => {
  const chooser = new PartitionChooser(new SeededRandom(1), 3, 1, load([0, 3, 1]));
  const hits = [0, 0, 0];
  for (let i = 0; i < 80_000; i++) hits[chooser.choose(undefined, 1)]!++;
  const shares = hits.map((count) => count / 80_000);
  t.ok(Math.abs(shares[0]! - 4 / 8) < 0.02, String(shares));
  t.ok(Math.abs(shares[1]! - 1 / 8) < 0.02, String(shares));
  t.ok(Math.abs(shares[2]! - 3 / 8) < 0.02, String(shares));
  t.end();
});

t.test('it stays for a batch of bytes, and moves when it must', (t) => {
  const chooser = new PartitionChooser(new SeededRandom(2), 50, 1_000, load(new Array(50).fill(0)));
  const first = chooser.choose(undefined, 400);
  t.equal(chooser.choose(undefined, 400), first);
  t.equal(chooser.choose(undefined, 400), first);
  const later = new Set<number>();
  for (let i = 0; i < 30; i++) later.add(chooser.choose(undefined, 1_000));
  t.ok(later.size > 10);
  const down: number[] = [];
  const other = new PartitionChooser(new SeededRandom(2), 3, 1_000, load([0, 0, 0], down));
  const before = other.choose(undefined, 1);
  down.push(before);
  t.not(other.choose(undefined, 1), before, 'it leaves one that has lost its leader');
  t.end();
});

t.test('a slow partition is left out', (t) => {
  const chooser = new PartitionChooser(new SeededRandom(3), 3, 1, load([0, 0, 0], [], [0, 1]));
  for (let i = 0; i < 50; i++) t.equal(chooser.choose(undefined, 1), 2);
  t.end();
});

t.test('partitions without a leader are left out, unless none has one; keys do not care', (t) => {
  const chooser = new PartitionChooser(new SeededRandom(3), 3, 1, load([0, 0, 0], [0, 2]));
  for (let i = 0; i < 50; i++) t.equal(chooser.choose(undefined, 1), 1);
  const none = new PartitionChooser(new SeededRandom(3), 3, 1, load([0, 0, 0], [0, 1, 2]));
  t.ok(none.choose(undefined, 1) < 3);
  const key = Buffer.from('21');
  t.equal(chooser.choose(key, 1), keyPartition(key, 3));
  t.end();
});
