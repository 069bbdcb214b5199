import fc from 'fast-check';
import t from 'tap';
import { MoveQueues, type Moving } from '../../../src/broker/delay/move-queues.js';

t.test('below `low` everything is at its destination, whatever fails and is cut anew', (t) => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ op: fc.constant('read' as const), to: fc.nat(3), count: fc.nat(4) }) },
    { weight: 3, arbitrary: fc.record({ op: fc.constant('send' as const) }) },
    { weight: 3, arbitrary: fc.record({ op: fc.constant('settle' as const), how: fc.nat(3) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queues = new MoveQueues<Moving>(0);
      const destinationOf = new Map<number, number>();
      const there = new Set<number>();
      const underWay = new Map<number, readonly Moving[]>();
      let offset = 0;
      for (const each of steps) {
        if (each.op === 'read') {
          for (let i = 0; i < each.count; i++, offset++) {
            destinationOf.set(offset, each.to);
            queues.add(each.to, { offset, bytes: 400_000 });
          }
          queues.passed(offset);
        } else if (each.op === 'send') {
          for (const destination of queues.idle()) {
            const batch = queues.next(destination);
            if (batch.length === 0 || batch.some((item) => destinationOf.get(item.offset) !== destination))
              return false;
            underWay.set(destination, batch);
          }
          if (queues.idle().length > 0) return false;
        } else {
          for (const [destination, batch] of underWay) {
            underWay.delete(destination);
            if (each.how === 0) queues.failed(destination);
            else {
              // In part: the destination has told an overlap.
              const last = each.how === 1 ? batch[0]!.offset : batch[batch.length - 1]!.offset;
              for (const item of batch) if (item.offset <= last) there.add(item.offset);
              queues.moved(destination, last);
            }
            break;
          }
        }
        for (let below = 0; below < queues.low; below++) if (!there.has(below)) return false;
        if (queues.records !== offset - there.size) return false;
      }
      return true;
    }),
    { numRuns: 300 },
  );
  t.end();
});
