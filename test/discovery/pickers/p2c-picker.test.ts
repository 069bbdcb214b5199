import t from 'tap';
import type { Candidate, Picker } from '../../../src/discovery/picker.js';
import { P2cPicker } from '../../../src/discovery/pickers/p2c-picker.js';
import { RandomPicker } from '../../../src/discovery/pickers/random-picker.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import { ManualClock } from '../../support/manual-clock.js';

function candidates(count: number, more: (i: number) => Partial<Candidate> = () => ({})): Candidate[] {
  return Array.from({ length: count }, (_, i) => ({ id: `c${i}`, weight: 1, isSuspect: false, ...more(i) }));
}

/** Keeps `inFlight` calls running, each taking what `latencyMs` says; how many each candidate got. */
function run(
  picker: P2cPicker,
  clock: ManualClock,
  list: readonly Candidate[],
  count: number,
  inFlight: number,
  latencyMs: (id: string) => number,
): Map<string, number> {
  const by = new Map<string, number>(list.map(({ id }) => [id, 0]));
  const running: { id: string; startMs: number; endMs: number }[] = [];
  for (let i = 0; i < count; i++) {
    if (running.length >= inFlight) {
      running.sort((a, b) => a.endMs - b.endMs);
      const { id, startMs, endMs } = running.shift()!;
      clock.ms = Math.max(clock.ms, endMs);
      picker.done(id, { latencyMs: endMs - startMs, isOk: true });
    }
    const { id } = picker.pick(undefined, list)!;
    by.set(id, by.get(id)! + 1);
    running.push({ id, startMs: clock.ms, endMs: clock.ms + latencyMs(id) });
  }
  for (const { id } of running) picker.done(id, { latencyMs: 1, isOk: true });
  return by;
}

/** How many the fullest has after as many calls as there are candidates, none of them over. */
function fullest(picker: Picker, count: number): number {
  const list = candidates(count);
  const by = new Map<string, number>();
  for (let i = 0; i < count; i++) {
    const { id } = picker.pick(undefined, list)!;
    by.set(id, (by.get(id) ?? 0) + 1);
  }
  return Math.max(...by.values());
}

t.test('n calls on n candidates: the fullest has ln ln n / ln 2 and a constant, not ln n / ln ln n', (t) => {
  for (const n of [100, 1_000, 10_000]) {
    let ofTwo = 0;
    let ofOne = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const max = fullest(new P2cPicker(new SeededRandom(seed), new ManualClock()), n);
      t.ok(max <= Math.log(Math.log(n)) / Math.LN2 + 2, `${max} for ${n}, seed ${seed}`);
      ofTwo += max / 20;
      ofOne += fullest(new RandomPicker(new SeededRandom(seed)), n) / 20;
    }
    t.ok(ofOne >= Math.log(n) / Math.log(Math.log(n)), `${ofOne} by one choice, for ${n}`);
    t.ok(ofOne - ofTwo > 1, `${ofTwo} by two choices`);
  }
  t.end();
});

t.test('equal candidates get equal shares', (t) => {
  const clock = new ManualClock();
  const by = run(new P2cPicker(new SeededRandom(2), clock), clock, candidates(10), 20_000, 50, () => 5);
  for (const [id, count] of by) t.ok(Math.abs(count - 2_000) < 200, `${id}: ${count}`);
  t.end();
});

t.test('a slow one gets less, and is not forgotten', (t) => {
  const clock = new ManualClock();
  const by = run(new P2cPicker(new SeededRandom(3), clock), clock, candidates(5), 20_000, 50, (id) =>
    id === 'c0' ? 50 : 5,
  );
  const slow = by.get('c0')!;
  t.ok(slow < 1_500 && slow > 10, `${slow} of 20000`);
  t.end();
});

t.test('weights count', (t) => {
  const clock = new ManualClock();
  const list = candidates(4, (i) => ({ weight: i === 0 ? 4 : 1 }));
  const by = run(new P2cPicker(new SeededRandom(4), clock), clock, list, 20_000, 60, () => 5);
  t.ok(by.get('c0')! > 1.6 * by.get('c1')!, `${by.get('c0')} and ${by.get('c1')}`);
  t.end();
});

t.test('failing fast attracts nobody, for a while', (t) => {
  const clock = new ManualClock();
  const picker = new P2cPicker(new SeededRandom(5), clock);
  const list = candidates(2);
  const share = (): number => {
    let failing = 0;
    for (let i = 0; i < 1_000; i++) {
      clock.ms += 1;
      const { id } = picker.pick(undefined, list)!;
      if (id === 'c0') failing++;
      picker.done(id, { latencyMs: id === 'c0' ? 0.1 : 5, isOk: id !== 'c0' });
    }
    return failing;
  };
  t.ok(share() < 20);
  clock.ms += 200_000;
  t.ok(picker.pick(undefined, list), 'both are worth a try again');
  t.end();
});

t.test('suspects last; nobody when there is nobody; the leaving are forgotten', (t) => {
  const clock = new ManualClock();
  const picker = new P2cPicker(new SeededRandom(6), clock);
  t.equal(picker.pick(undefined, []), undefined);
  t.equal(picker.pick(undefined, candidates(1))!.id, 'c0');
  const mixed = candidates(4, (i) => ({ isSuspect: i !== 2 }));
  for (let i = 0; i < 50; i++) t.equal(picker.pick(undefined, mixed)!.id, 'c2');
  for (let i = 0; i < 50; i++) picker.done('c2', { latencyMs: 1, isOk: true });
  const all = candidates(3, () => ({ isSuspect: true }));
  t.equal(new Set(Array.from({ length: 50 }, () => picker.pick(undefined, all)!.id)).size, 3);
  picker.pick(undefined, candidates(1));
  picker.done('c2', { latencyMs: 1, isOk: true });
  picker.done('never seen', { latencyMs: 1, isOk: true });
  t.end();
});
