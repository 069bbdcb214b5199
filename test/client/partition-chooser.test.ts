import t from 'tap';
import { keyPartition } from '../../src/base/murmur2.js';
import { PartitionChooser } from '../../src/client/partition-chooser.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';

const load = (queues: number[], down: number[] = []) => ({
  queued: (partition: number) => queues[partition]!,
  hasLeader: (partition: number) => !down.includes(partition),
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

t.test('it stays for a batch of bytes, and moves when told', (t) => {
  const chooser = new PartitionChooser(new SeededRandom(2), 50, 1_000, load(new Array(50).fill(0)));
  const first = chooser.choose(undefined, 400);
  t.equal(chooser.choose(undefined, 400), first);
  t.equal(chooser.choose(undefined, 400), first);
  const later = new Set<number>();
  for (let i = 0; i < 30; i++) later.add(chooser.choose(undefined, 1_000));
  t.ok(later.size > 10);
  const before = chooser.choose(undefined, 1);
  chooser.move();
  const after = new Set<number>();
  for (let i = 0; i < 10; i++) {
    after.add(chooser.choose(undefined, 1));
    chooser.move();
  }
  t.ok(after.size > 1 || !after.has(before));
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
