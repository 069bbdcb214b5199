import t from 'tap';
import { type Delay, deliverAtOf } from '../../src/client/delayed.js';

const nowMs = 1_000_000;
const dayMs = 86_400_000;

t.test('a delay is one time, in any of three ways', (t) => {
  t.equal(deliverAtOf({}, nowMs), undefined);
  t.equal(deliverAtOf({ deliverAtMs: 5 }, nowMs), 5, 'in the past: at once');
  t.equal(deliverAtOf({ delayMs: 0 }, nowMs), nowMs);
  t.equal(deliverAtOf({ delayMs: 1.2 }, nowMs), nowMs + 2, 'never early');
  t.equal(deliverAtOf({ delayLevel: 1 }, nowMs), nowMs + 1_000);
  t.equal(deliverAtOf({ delayLevel: 18 }, nowMs), nowMs + 7_200_000);
  t.equal(deliverAtOf({ delayLevel: '30m' }, nowMs), nowMs + 1_800_000);
  t.equal(deliverAtOf({ deliverAtMs: nowMs + 366 * dayMs }, nowMs), nowMs + 366 * dayMs);
  t.end();
});

t.test('what is no delay is refused, with what would be one', (t) => {
  const bad: Delay[] = [
    { delayMs: 1, delayLevel: 1 },
    { delayMs: -1 },
    { delayMs: Number.NaN },
    { deliverAtMs: Number.POSITIVE_INFINITY },
    { deliverAtMs: nowMs + 367 * dayMs },
    { delayLevel: 0 },
    { delayLevel: 19 },
    { delayLevel: '7s' },
  ];
  for (const delay of bad) {
    t.throws(
      () => deliverAtOf(delay, nowMs),
      /give one of|is a time in|at most 366 days|no delay level/,
      JSON.stringify(delay),
    );
  }
  t.end();
});
