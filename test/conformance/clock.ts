import type { Test } from 'tap';
import type { Clock } from '../../src/runtime/clock.js';
import type { InRuntime } from './in-runtime.js';

function wait(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.timer(ms, resolve);
  });
}

/** What every `Clock` does. */
export async function clockConformance(t: Test, run: InRuntime): Promise<void> {
  await t.test('no timer fires early', (t) =>
    run(async ({ clock, random }) => {
      let early = 0;
      let left = 200;
      await new Promise<void>((resolve) => {
        for (let i = 0; i < 200; i++) {
          const delayMs = random.unit() * 20;
          const dueMs = clock.monotonicMs() + delayMs;
          clock.timer(delayMs, () => {
            if (clock.monotonicMs() < dueMs) early++;
            if (--left === 0) resolve();
          });
        }
      });
      t.equal(early, 0);
    }),
  );

  await t.test('monotonic time never goes back, wall time is whole milliseconds', (t) =>
    run(async ({ clock }) => {
      let last = clock.monotonicMs();
      let isMonotonic = true;
      for (let i = 0; i < 1000; i++) {
        const now = clock.monotonicMs();
        if (now < last) isMonotonic = false;
        last = now;
      }
      await wait(clock, 1);
      t.ok(isMonotonic);
      t.ok(clock.monotonicMs() > last);
      t.ok(Number.isInteger(clock.wallMs()));
    }),
  );

  await t.test('timers set for the same time in one turn fire in order', (t) =>
    run(async ({ clock }) => {
      const fired: number[] = [];
      await new Promise<void>((resolve) => {
        const startMs = clock.monotonicMs();
        // The same millisecond, reached by delays that shrink as the turn goes on.
        for (let i = 0; i < 100; i++) {
          const delayMs = Math.ceil(startMs + 5) - clock.monotonicMs();
          clock.timer(delayMs, () => {
            fired.push(i);
            if (fired.length === 100) resolve();
          });
        }
      });
      t.same(
        fired,
        fired.map((_, i) => i),
      );
    }),
  );

  await t.test('a later deadline set first fires last', (t) =>
    run(async ({ clock }) => {
      const fired: string[] = [];
      await new Promise<void>((resolve) => {
        clock.timer(12, () => {
          fired.push('second');
          resolve();
        });
        clock.timer(3, () => fired.push('first'));
      });
      t.same(fired, ['first', 'second']);
    }),
  );

  await t.test('a cancelled timer is silent, also when cancelled by one of its own time', (t) =>
    run(async ({ clock }) => {
      const fired: string[] = [];
      const dead = clock.timer(1, () => fired.push('dead'));
      dead.cancel();
      dead.cancel();
      clock.timer(2, () => victim.cancel());
      const victim = clock.timer(2, () => fired.push('victim'));
      const spent = clock.timer(1, () => fired.push('spent'));
      await wait(clock, 5);
      spent.cancel();
      t.same(fired, ['spent']);
    }),
  );

  await t.test('a delay beyond what the system takes does not fire at once', (t) =>
    run(async ({ clock }) => {
      let fired = false;
      const far = clock.timer(2 ** 31 + 1000, () => {
        fired = true;
      });
      await wait(clock, 5);
      t.equal(fired, false);
      far.cancel();
    }),
  );

  await t.test('defer: after the promises of the turn, in order, before a later timer', (t) =>
    run(async ({ clock }) => {
      const seen: string[] = [];
      await new Promise<void>((resolve) => {
        clock.timer(1, () => {
          clock.timer(0, () => {
            seen.push('timer');
            resolve();
          });
          clock.defer(() => seen.push('first'));
          clock.defer(() => {
            seen.push('second');
            clock.defer(() => seen.push('next turn'));
          });
          void Promise.resolve()
            .then(() => Promise.resolve())
            .then(() => seen.push('promise'));
          seen.push('turn');
        });
      });
      t.same(seen.slice(0, 4), ['turn', 'promise', 'first', 'second']);
      t.ok(seen.includes('timer'));
    }),
  );
}
