import fc from 'fast-check';
import t from 'tap';
import { TimingWheel } from '../../src/timer/timing-wheel.js';

interface Fired {
  readonly payload: number;
  readonly dueMs: number;
}

function advance(wheel: TimingWheel, nowMs: number): Fired[] {
  const fired: Fired[] = [];
  wheel.advance(nowMs, (payload, dueMs) => fired.push({ payload, dueMs }));
  return fired;
}

/** What the wheel promises, said with a list: slow and plain. */
class Model {
  nowMs: number;
  timers: { payload: number; dueMs: number; handle: number; isLate: boolean }[] = [];

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  add(dueMs: number, payload: number, handle: number): void {
    this.timers.push({ payload, dueMs, handle, isLate: dueMs <= this.nowMs });
  }

  cancel(handle: number): boolean {
    const at = this.timers.findIndex((timer) => timer.handle === handle);
    if (at >= 0) this.timers.splice(at, 1);
    return at >= 0;
  }

  /** The list is in the order of adding, and sorting is stable. */
  advance(nowMs: number): Fired[] {
    const due = this.timers.filter((timer) => timer.dueMs <= nowMs);
    this.timers = this.timers.filter((timer) => timer.dueMs > nowMs);
    const late = due.filter((timer) => timer.isLate);
    const rest = due.filter((timer) => !timer.isLate).sort((a, b) => a.dueMs - b.dueMs);
    this.nowMs = Math.max(this.nowMs, nowMs);
    return [...late, ...rest].map(({ payload, dueMs }) => ({ payload, dueMs }));
  }

  firstDueMs(): number {
    return Math.min(...this.timers.map((timer) => timer.dueMs));
  }
}

const year = 365 * 86_400_000;
/** Distances around the edges of every level, and the usual ones. */
const distance = fc.oneof(
  fc.integer({ min: -300, max: 600 }),
  fc.integer({ min: 0, max: 70_000 }),
  fc.integer({ min: 0, max: 20_000_000 }),
  fc.integer({ min: 0, max: 100 * year }),
  fc.constantFrom(
    1,
    255,
    256,
    257,
    65_535,
    65_536,
    65_537,
    2 ** 24 - 1,
    2 ** 24,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 40,
    2 ** 41,
  ),
);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('add' as const), ms: distance }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel' as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: distance }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'next' as const }) },
);

t.test('fires what a sorted list fires, whatever is added, cancelled and jumped over', (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom<number>(0, 1, 255, 1_700_000_000_123, -5_000),
      fc.array(step, { maxLength: 60 }),
      (startMs, steps) => {
        const wheel = new TimingWheel(startMs);
        const model = new Model(startMs);
        const handles: number[] = [];
        let nowMs = startMs;
        for (const [i, each] of steps.entries()) {
          if (each.kind === 'add') {
            const handle = wheel.add(nowMs + each.ms, i);
            if (handles.includes(handle)) throw new Error('a handle came back');
            model.add(nowMs + each.ms, i, handle);
            handles.push(handle);
          } else if (each.kind === 'cancel') {
            const handle = handles[each.which % Math.max(1, handles.length)] ?? 12_345;
            if (wheel.cancel(handle) !== model.cancel(handle)) throw new Error('cancel differs');
          } else {
            const next = wheel.nextDueMs();
            if ((next === undefined) !== (model.timers.length === 0)) throw new Error('nextDueMs is there or not');
            if (next !== undefined && next > model.firstDueMs()) throw new Error('nextDueMs is too late');
            // A step back of less than a second: the wheel waits for the time to catch up.
            nowMs = each.kind === 'next' ? Math.max(nowMs, next ?? nowMs) : nowMs + each.ms;
            if (JSON.stringify(advance(wheel, nowMs)) !== JSON.stringify(model.advance(nowMs))) {
              throw new Error('fired something else');
            }
            nowMs = Math.max(nowMs, model.nowMs);
          }
          if (wheel.size !== model.timers.length) throw new Error('size differs');
        }
        // Going from one `nextDueMs` to the next loses nothing and needs few steps.
        for (let wakes = 0; model.timers.length > 0; wakes++) {
          if (wakes > 20 * steps.length) throw new Error('too many wakes');
          nowMs = Math.max(nowMs, wheel.nextDueMs()!);
          if (JSON.stringify(advance(wheel, nowMs)) !== JSON.stringify(model.advance(nowMs))) {
            throw new Error('fired something else at the end');
          }
        }
        return wheel.size === 0 && wheel.nextDueMs() === undefined;
      },
    ),
    { numRuns: 1_000 },
  );
  t.end();
});

t.test('what fire adds fires in the same advance if it lies ahead, else in the next', (t) => {
  const wheel = new TimingWheel(1_000);
  const order: string[] = [];
  wheel.add(1_010, 1);
  wheel.add(1_030, 2);
  wheel.advance(1_050, (payload, dueMs) => {
    order.push(`${payload}@${dueMs}`);
    if (payload !== 1) return;
    wheel.add(1_020, 3);
    wheel.add(1_010, 4);
    wheel.add(500, 5);
    wheel.add(1_051, 6);
  });
  t.same(order, ['1@1010', '3@1020', '2@1030']);
  t.equal(wheel.nextDueMs(), 500);
  t.same(advance(wheel, 1_050), [
    { payload: 4, dueMs: 1_010 },
    { payload: 5, dueMs: 500 },
  ]);
  t.same(advance(wheel, 1_051), [{ payload: 6, dueMs: 1_051 }]);
  t.end();
});

t.test('a timer that adds itself again does not hold advance for ever', (t) => {
  const wheel = new TimingWheel(0);
  wheel.add(0, 7);
  let fires = 0;
  const again = (): void => {
    fires++;
    wheel.add(0, 7);
  };
  wheel.advance(100, again);
  wheel.advance(100, again);
  t.equal(fires, 2);
  t.end();
});

t.test('fire may cancel what is about to fire', (t) => {
  const wheel = new TimingWheel(0);
  const handles = [5, 5, 5, 9, 300].map((dueMs, i) => wheel.add(dueMs, i));
  const fired: number[] = [];
  wheel.advance(1_000, (payload) => {
    fired.push(payload);
    if (payload === 0) for (const handle of handles) wheel.cancel(handle);
  });
  t.same(fired, [0]);
  t.equal(wheel.size, 0);
  t.end();
});

t.test('a throw from fire spends one timer', (t) => {
  for (const dueMs of [-5, 10]) {
    const wheel = new TimingWheel(0);
    for (let i = 0; i < 4; i++) wheel.add(dueMs, i);
    t.throws(
      () =>
        wheel.advance(10, (payload) => {
          if (payload === 1) throw new Error('from the callback');
        }),
      { message: 'from the callback' },
    );
    t.equal(wheel.size, 2);
    t.ok(wheel.nextDueMs()! <= 10);
    t.same(
      advance(wheel, 10).map(({ payload }) => payload),
      [2, 3],
    );
  }
  t.end();
});

t.test('a stale handle is harmless, also after its place was used again', (t) => {
  const wheel = new TimingWheel(0);
  const stale: number[] = [];
  for (let i = 0; i < 1_000; i++) {
    const handle = wheel.add(10, i);
    t.equal(wheel.payloadOf(handle), i);
    for (const old of stale.slice(-3)) {
      if (wheel.cancel(old)) t.fail('an old handle cancelled a new timer');
    }
    t.ok(wheel.cancel(handle));
    t.equal(wheel.payloadOf(handle), undefined);
    stale.push(handle);
  }
  t.equal(new Set(stale).size, 1_000);
  for (const wrong of [0, -1, 1.5, 2 ** 53, Number.NaN]) t.notOk(wheel.cancel(wrong));
  t.end();
});

t.test('a large step back turns the wheel back', (t) => {
  const wheel = new TimingWheel(1_000_000);
  wheel.add(1_500_000, 1);
  t.same(advance(wheel, 1_400_000), []);
  wheel.add(1_400_000, 2);
  t.same(advance(wheel, 500_000), [], 'also before the start');
  wheel.add(600_000, 3);
  t.equal(wheel.size, 3);
  t.same(
    advance(wheel, 2_000_000).map(({ payload }) => payload),
    [3, 2, 1],
  );
  t.end();
});

t.test('fractions are never rounded to early', (t) => {
  const wheel = new TimingWheel(0.9);
  wheel.add(5.1, 1);
  t.same(advance(wheel, 5.9), []);
  t.same(advance(wheel, 6), [{ payload: 1, dueMs: 6 }]);
  t.end();
});

t.test('grows, and gives its places back', (t) => {
  const wheel = new TimingWheel(0);
  let seed = 1;
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 20_000; i++) {
      seed = (seed * 48_271) % 2_147_483_647;
      wheel.add(round * 100_000 + (seed % 100_000), i);
    }
    let last = 0;
    let count = 0;
    wheel.advance((round + 1) * 100_000, (_, dueMs) => {
      if (dueMs < last) t.fail('out of order');
      last = dueMs;
      count++;
    });
    t.equal(count, 20_000);
  }
  t.ok(wheel.bytes < 32_768 * 28 + 1_000, 'the second round used the places of the first');
  t.end();
});

t.test('our own mistakes are named', (t) => {
  const wheel = new TimingWheel(0);
  t.throws(() => wheel.add(Number.NaN, 1), /due time/);
  t.throws(() => wheel.add(Number.POSITIVE_INFINITY, 1), /due time/);
  wheel.add(1, 1);
  t.throws(() => wheel.advance(2, () => wheel.advance(3, () => {})), /within fire/);
  t.end();
});
