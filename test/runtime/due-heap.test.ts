import fc from 'fast-check';
import t from 'tap';
import { type Due, DueHeap } from '../../src/runtime/due-heap.js';

class Entry implements Due {
  readonly dueMs: number;
  readonly order: number;
  index = -1;

  constructor(dueMs: number, order: number) {
    this.dueMs = dueMs;
    this.order = order;
  }
}

await t.test('pops by time, then by order, whatever was removed meanwhile', async () => {
  const command = fc.oneof(
    { weight: 3, arbitrary: fc.record({ push: fc.integer({ min: 0, max: 20 }) }) },
    { weight: 1, arbitrary: fc.record({ remove: fc.nat() }) },
    { weight: 1, arbitrary: fc.constant('pop' as const) },
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 120 }), (commands) => {
      const heap = new DueHeap<Entry>();
      let model: Entry[] = [];
      let order = 0;
      const first = (): Entry | undefined => [...model].sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)[0];
      for (const command of commands) {
        if (command === 'pop') {
          const expected = first();
          if (heap.pop() !== expected) return false;
          model = model.filter((entry) => entry !== expected);
        } else if ('push' in command) {
          const entry = new Entry(command.push, order++);
          heap.push(entry);
          model.push(entry);
        } else if (model.length > 0) {
          const victim = model[command.remove % model.length]!;
          heap.remove(victim);
          heap.remove(victim);
          model = model.filter((entry) => entry !== victim);
        }
        if (heap.peek() !== first() || heap.size !== model.length) return false;
      }
      return true;
    }),
  );
});
