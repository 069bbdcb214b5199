import fc from 'fast-check';
import t from 'tap';
import type { Clock, Timer } from '../../src/runtime/clock.js';
import { Timers } from '../../src/timer/timers.js';

/** A clock in the hand; it may wake up to `earlyMs` too soon, which no real one should. */
class HandClock implements Clock {
  ms = 0.25;
  earlyMs = 0;
  timersSet = 0;
  pending: { atMs: number; callback: () => void }[] = [];

  monotonicMs(): number {
    return this.ms;
  }
  wallMs(): number {
    return Math.floor(this.ms);
  }
  timer(delayMs: number, callback: () => void): Timer {
    this.timersSet++;
    const entry = { atMs: this.ms + delayMs, callback };
    this.pending.push(entry);
    return { cancel: () => void (this.pending = this.pending.filter((each) => each !== entry)) };
  }
  defer(callback: () => void): void {
    callback();
  }

  /** Runs all timers up to `untilMs`; an early one wakes before its time. */
  run(untilMs: number): void {
    for (;;) {
      this.pending.sort((a, b) => a.atMs - b.atMs);
      const next = this.pending[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.pending.shift();
      this.ms = Math.max(this.ms, next.atMs - this.earlyMs);
      next.callback();
      if (this.earlyMs > 0) this.ms += 0.125;
    }
    this.ms = Math.max(this.ms, untilMs);
  }
}

t.test('every timeout fires once, on time, on one timer of the clock', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ atMs: fc.nat(2_000), delayMs: fc.nat(100_000), isCancelled: fc.boolean() }), {
        maxLength: 40,
      }),
      fc.constantFrom(0, 0.75, 1.75),
      (timeouts, earlyMs) => {
        const clock = new HandClock();
        clock.earlyMs = earlyMs;
        const timers = new Timers(clock);
        const fired = new Map<number, number>();
        const due = new Map<number, number>();
        for (const [i, timeout] of timeouts.sort((a, b) => a.atMs - b.atMs).entries()) {
          clock.run(timeout.atMs);
          due.set(i, clock.ms + timeout.delayMs);
          const handle = timers.after(timeout.delayMs, () => {
            if (fired.has(i)) throw new Error('fired twice');
            fired.set(i, clock.ms);
          });
          if (timeout.isCancelled) {
            timers.cancel(handle);
            timers.cancel(handle);
          }
          if (clock.pending.length > 1) throw new Error('more than one timer of the clock');
        }
        clock.run(1_000_000);
        return (
          timers.size === 0 &&
          timeouts.every((timeout, i) =>
            timeout.isCancelled ? !fired.has(i) : fired.get(i)! >= due.get(i)! && fired.get(i)! < due.get(i)! + 3,
          )
        );
      },
    ),
    { numRuns: 300 },
  );
  t.end();
});

t.test('callbacks set and cancel others', (t) => {
  const clock = new HandClock();
  const timers = new Timers(clock);
  const fired: string[] = [];
  const second = timers.after(10, () => fired.push('cancelled'));
  timers.after(5, () => {
    fired.push('first');
    timers.cancel(second);
    timers.after(0, () => fired.push('at once'));
    timers.after(3, () => fired.push('later'));
  });
  clock.run(100);
  t.same(fired, ['first', 'at once', 'later']);
  t.equal(timers.size, 0);
  t.end();
});

t.test('a callback that throws leaves the others armed', (t) => {
  const clock = new HandClock();
  const timers = new Timers(clock);
  const fired: number[] = [];
  timers.after(5, () => {
    throw new Error('from a callback');
  });
  timers.after(5, () => fired.push(1));
  t.throws(() => clock.run(10), { message: 'from a callback' });
  clock.run(10);
  t.same(fired, [1]);
  t.end();
});

t.test('close forgets all', (t) => {
  const clock = new HandClock();
  const timers = new Timers(clock);
  timers.after(5, () => t.fail('fired after close'));
  timers.close();
  timers.cancel(timers.after(5, () => t.fail('set after close')));
  t.equal(clock.pending.length, 0);
  clock.run(10);
  t.end();
});
