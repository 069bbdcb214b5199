import t from 'tap';
import { Tail, TailBudget } from '../../src/log/tail.js';

const batchBytes = 600 * 1024;

/** Appends batch after batch of 600 KiB, each synced at once; gives back the memory that each lies in. */
function fill(tail: Tail, from: number, count: number): Uint8Array[] {
  const memory: Uint8Array[] = [];
  for (let offset = from; offset < from + count; offset++) {
    const slab = tail.slabFor(batchBytes);
    memory.push(slab.bytes);
    slab.bytes.fill(offset, slab.length, slab.length + batchBytes);
    slab.added(offset, offset + 1, batchBytes);
    tail.synced(offset + 1);
  }
  return memory;
}

t.test('memory of batches that have gone serves again', (t) => {
  const memory = fill(new Tail(new TailBudget(1 << 30), 0), 0, 100);
  t.ok(new Set(memory).size < 25, `${new Set(memory).size} slabs for 100 batches`);
  t.end();
});

t.test('a view holds for as long as somebody has it', (t) => {
  const tail = new Tail(new TailBudget(1 << 30), 0);
  fill(tail, 0, 60);
  const views = tail.read(59, 1)!;
  fill(tail, 60, 100);
  t.equal(views.length, 1);
  t.ok(views[0]!.length === batchBytes && views[0]!.every((byte) => byte === 59));
  t.end();
});

t.test('what is not on disk stays, whatever the budget', (t) => {
  const tail = new Tail(new TailBudget(1), 0);
  const slab = tail.slabFor(batchBytes);
  slab.bytes.fill(7, 0, batchBytes);
  slab.added(0, 1, batchBytes);
  tail.synced(0);
  for (let i = 0; i < 20; i++) tail.slabFor(batchBytes * 2);
  t.ok(slab.bytes.every((byte, at) => byte === 7 || at >= batchBytes));
  tail.synced(1);
  t.equal(tail.read(0, 1), undefined, 'and goes then');
  t.end();
});
