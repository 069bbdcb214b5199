import fc from 'fast-check';
import t from 'tap';
import { TurnQueue } from '../../src/base/turn-queue.js';

t.test('never too many at once, everybody once, and nobody is passed over', (t) => {
  // Each step: somebody (urgent or not) who is not waiting or running asks, or a turn ends.
  const step = fc.oneof(fc.record({ who: fc.nat(29) }), fc.constant('done' as const));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 400 }), (runningMax, steps) => {
      const queue = new TurnQueue<number>(runningMax);
      const isUrgent = (who: number): boolean => who < 10;
      const running: number[] = [];
      const waiting: number[] = [];
      /** Turns that others of the same kind had while one waits. */
      const passed = new Map<number, Set<number>>();
      let urgentInRow = 0;
      const begin = (who: number): void => {
        running.push(who);
        for (const other of waiting) {
          if (isUrgent(other) !== isUrgent(who)) continue;
          const before = passed.get(other)!;
          if (before.has(who)) throw new Error(`${who} had two turns while ${other} waited`);
          before.add(who);
        }
      };
      for (const each of steps) {
        if (each !== 'done') {
          if (running.includes(each.who) || waiting.includes(each.who)) continue;
          const wasFree = running.length < runningMax;
          if (queue.ask(each.who, isUrgent(each.who)) !== wasFree) throw new Error('a free place was not given');
          if (wasFree) begin(each.who);
          else {
            waiting.push(each.who);
            passed.set(each.who, new Set());
          }
        } else if (running.length > 0) {
          running.shift();
          const next = queue.done();
          if ((next === undefined) !== (waiting.length === 0)) throw new Error('a waiter was forgotten');
          if (next !== undefined) {
            const hadOrdinary = waiting.some((who) => !isUrgent(who));
            urgentInRow = isUrgent(next) ? urgentInRow + 1 : 0;
            if (hadOrdinary && urgentInRow > 8) throw new Error('the ordinary starve');
            if (!isUrgent(next) && urgentInRow === 0 && !hadOrdinary) throw new Error('who is that?');
            waiting.splice(waiting.indexOf(next), 1);
            begin(next);
          }
        }
        if (queue.running !== running.length || queue.waiting !== waiting.length) throw new Error('miscounted');
        if (running.length > runningMax) throw new Error('too many');
      }
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('the urgent go first', (t) => {
  const queue = new TurnQueue<string>(1);
  t.ok(queue.ask('a', false));
  for (const who of ['b', 'c']) t.notOk(queue.ask(who, false));
  for (const who of ['U', 'V']) t.notOk(queue.ask(who, true));
  t.same(
    Array.from({ length: 5 }, () => queue.done()),
    ['U', 'V', 'b', 'c', undefined],
  );
  t.equal(queue.running, 0);
  t.end();
});
