import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { type Guest, type Round, SendRoom } from '../../src/client/send-room.js';

class Call implements Guest {
  round: Round | undefined;
  state: 'new' | 'in' | 'over' | 'refused' = 'new';
  error: TaskdError | undefined;
  readonly bytes: number;
  readonly sinceMs: number;

  constructor(bytes: number, sinceMs = 0) {
    this.bytes = bytes;
    this.sinceMs = sinceMs;
  }

  enter(): void {
    this.state = 'in';
  }

  refuse(error: TaskdError): void {
    this.state = 'refused';
    this.error = error;
  }
}

const late = (): TaskdError => new TaskdError(ErrorCode.DEADLINE, 'late');

t.test('those without room wait in order; as many bytes again, and the next is BUSY with the limit', (t) => {
  const room = new SendRoom<Call>(100, 100);
  const calls = [60, 60, 30, 10].map((bytes) => new Call(bytes));
  for (const call of calls) room.arrive(call);
  t.same(
    calls.map(({ state }) => state),
    ['in', 'new', 'new', 'new'],
    'a small one does not overtake',
  );
  t.throws(() => room.arrive(new Call(1)), { code: ErrorCode.BUSY, message: /3 calls with 100 bytes/ });
  t.same([room.bytes, room.waitingBytes], [60, 100]);
  room.leave(calls[0]!);
  t.same(
    calls.slice(1).map(({ state }) => state),
    ['in', 'in', 'in'],
  );
  t.end();
});

t.test('one that is larger than everything goes alone', (t) => {
  const room = new SendRoom<Call>(100, 100);
  const large = new Call(1_000);
  const small = new Call(1);
  room.arrive(large);
  room.arrive(small);
  t.same([large.state, small.state], ['in', 'new']);
  room.leave(large);
  t.equal(small.state, 'in');
  t.end();
});

t.test('waiting has an end, from when the call was made', (t) => {
  const room = new SendRoom<Call>(10);
  const calls = [new Call(10, 0), new Call(5, 1), new Call(5, 7)];
  for (const call of calls) room.arrive(call);
  room.expire(5, late);
  t.same(
    calls.map(({ state }) => state),
    ['in', 'refused', 'new'],
  );
  room.close(late());
  t.equal(calls[2]!.error?.code, ErrorCode.DEADLINE);
  t.end();
});

t.test('whoever waits for all before is not held up by what comes after', (t) => {
  const room = new SendRoom<Call>(100, 100);
  const told: string[] = [];
  room.whenOver(() => told.push('nothing'));
  const [first, second, third] = [new Call(1), new Call(1), new Call(1)];
  room.arrive(first);
  room.whenOver(() => told.push('first'));
  room.arrive(second);
  room.whenOver(() => told.push('both'));
  room.arrive(third);
  t.same(told, ['nothing']);
  room.leave(second);
  t.same(told, ['nothing'], 'the second alone is not both');
  room.leave(first);
  t.same(told, ['nothing', 'first', 'both']);
  room.leave(third);
  t.end();
});

t.test('random traffic: never more than the limit, nobody forgotten, everybody told', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 60 })), { maxLength: 200 }), (steps) => {
      const room = new SendRoom<Call>(100, 100);
      const calls: Call[] = [];
      let overs = 0;
      let asked = 0;
      let rooms = 0;
      for (const [action, bytes] of steps) {
        const inside = calls.filter(({ state }) => state === 'in');
        if (action <= 1) {
          const call = new Call(bytes);
          try {
            room.arrive(call);
            calls.push(call);
          } catch {
            if (calls.every(({ state }) => state !== 'new')) return false;
          }
        } else if (action === 2 && inside.length > 0) {
          const leaving = inside[bytes % inside.length]!;
          leaving.state = 'over';
          room.leave(leaving);
        } else {
          asked++;
          room.whenOver(() => overs++);
          room.whenRoom(() => rooms++);
        }
        const used = calls.filter(({ state }) => state === 'in').reduce((sum, each) => sum + each.bytes, 0);
        const waiting = calls.filter(({ state }) => state === 'new').reduce((sum, each) => sum + each.bytes, 0);
        if (used > 100 || waiting > 160 || room.bytes !== used || room.waitingBytes !== waiting) return false;
      }
      for (let left = calls.filter(({ state }) => state === 'in'); left.length > 0; ) {
        for (const call of left) {
          call.state = 'over';
          room.leave(call);
        }
        left = calls.filter(({ state }) => state === 'in');
      }
      return (
        calls.every(({ state }) => state === 'over') &&
        overs === asked &&
        rooms === asked &&
        room.bytes + room.waitingBytes === 0
      );
    }),
  );
  t.end();
});
