import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { Waiters, waitersMax } from '../../src/scheduler/waiters.js';

function waiter(into: (TaskdError | undefined)[]): { done(error: TaskdError | undefined): void } {
  return { done: (error) => void into.push(error) };
}

t.test('an offset is awaited until it is applied, or until a later look shows that it is not there', async (t) => {
  const waiters = new Waiters();
  const told: (TaskdError | undefined)[] = [];
  waiters.awaitApplied(5, 100, waiter(told));
  waiters.awaitApplied(9, 100, waiter(told));
  waiters.applied(5);
  t.equal(told.length, 0, 'the record at 5 is not applied when 5 is the next');
  waiters.applied(6);
  t.equal(told.length, 1);
  waiters.looked(99);
  t.equal(told.length, 1, 'that look began before the question');
  waiters.looked(100);
  t.equal(told.length, 2);
  t.equal(waiters.count, 0);
});

t.test('a run, a proposal, and everything at once', async (t) => {
  const waiters = new Waiters();
  const told: (TaskdError | undefined)[] = [];
  waiters.awaitEnded(7, waiter(told));
  waiters.awaitEnded(7, waiter(told));
  waiters.awaitDecided(7, waiter(told));
  waiters.ended(7);
  t.same(told, [undefined, undefined]);
  waiters.decided(7);
  t.equal(told.length, 3);
  waiters.awaitEnded(8, waiter(told));
  waiters.awaitApplied(8, 0, waiter(told));
  const reason = new TaskdError(ErrorCode.NOT_OWNER, 'gone');
  waiters.failAll(reason);
  t.same(told.slice(3), [reason, reason]);
  t.equal(waiters.count, 0);
});

t.test('who loses interest is forgotten, and there is a limit', async (t) => {
  const waiters = new Waiters();
  const told: (TaskdError | undefined)[] = [];
  const forget = Array.from({ length: waitersMax }, (_, i) => waiters.awaitEnded(i % 10, waiter(told)));
  waiters.awaitEnded(1, waiter(told));
  t.match(told, [{ code: ErrorCode.BUSY }]);
  for (const each of forget) {
    each();
    each();
  }
  t.equal(waiters.count, 0);
  waiters.ended(1);
  t.equal(told.length, 1);
});

t.test('every waiter is told once or forgotten, and the count is right', (t) => {
  const step = fc.record({
    kind: fc.constantFrom('applied', 'decided', 'ended', 'forget', 'reach', 'decide', 'end', 'look'),
    key: fc.nat(6),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const waiters = new Waiters();
      const open = new Map<number, () => void>();
      const told = new Map<number, number>();
      steps.forEach(({ kind, key }, id) => {
        const done = {
          done: () => {
            told.set(id, (told.get(id) ?? 0) + 1);
            open.delete(id);
          },
        };
        if (kind === 'applied') open.set(id, waiters.awaitApplied(key, id, done));
        else if (kind === 'decided') open.set(id, waiters.awaitDecided(key, done));
        else if (kind === 'ended') open.set(id, waiters.awaitEnded(key, done));
        else if (kind === 'reach') waiters.applied(key);
        else if (kind === 'decide') waiters.decided(key);
        else if (kind === 'end') waiters.ended(key);
        else if (kind === 'look') waiters.looked(id);
        else {
          const [first] = open.entries();
          if (first === undefined) return;
          open.delete(first[0]);
          first[1]();
        }
      });
      if (waiters.count !== open.size) return false;
      waiters.failAll(new TaskdError(ErrorCode.NOT_OWNER, 'gone'));
      return open.size === 0 && waiters.count === 0 && [...told.values()].every((times) => times === 1);
    }),
    { numRuns: 300 },
  );
  t.end();
});
