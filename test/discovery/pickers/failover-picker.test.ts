import t from 'tap';
import type { Candidate } from '../../../src/discovery/picker.js';
import { BroadcastPicker } from '../../../src/discovery/pickers/broadcast-picker.js';
import { FailoverPicker } from '../../../src/discovery/pickers/failover-picker.js';
import { SpecifiedPicker } from '../../../src/discovery/pickers/specified-picker.js';
import { ManualClock } from '../../support/manual-clock.js';

function candidates(count: number, more: (i: number) => Partial<Candidate> = () => ({})): Candidate[] {
  return Array.from({ length: count }, (_, i) => ({ id: `c${i}`, weight: 1, isSuspect: false, ...more(i) }));
}

const failed = { latencyMs: 1, isOk: false };
const succeeded = { latencyMs: 1, isOk: true };

t.test('failover: the first that did not fail lately', (t) => {
  const clock = new ManualClock();
  const picker = new FailoverPicker(clock);
  const list = candidates(3);
  const next = (): string => picker.pick(undefined, list)!.id;
  t.equal(next(), 'c0');
  picker.done('c0', failed);
  t.equal(next(), 'c1');
  clock.ms = 4_000;
  picker.done('c1', failed);
  t.equal(next(), 'c2');
  clock.ms = 5_000;
  picker.done('c2', failed);
  t.equal(next(), 'c0', 'all have failed: whose time is over first');
  clock.ms = 9_999;
  picker.done('c2', succeeded);
  t.equal(next(), 'c2');
  clock.ms = 10_000;
  t.equal(next(), 'c0', 'the first again');
  picker.done('stranger', failed);
  t.equal(picker.pick(undefined, list.slice(1))!.id, 'c2');
  t.equal(picker.pick(undefined, list)!.id, 'c0');
  t.equal(
    picker.pick(
      undefined,
      candidates(3, (i) => ({ isSuspect: i === 0 })),
    )!.id,
    'c2',
  );
  t.end();
});

t.test('failover: one that left is new when it comes back', (t) => {
  const clock = new ManualClock();
  const picker = new FailoverPicker(clock);
  const list = candidates(2);
  picker.pick(undefined, list);
  picker.done('c0', failed);
  t.equal(picker.pick(undefined, list)!.id, 'c1');
  picker.pick(undefined, list.slice(1));
  picker.done('c0', failed);
  t.equal(picker.pick(undefined, list)!.id, 'c0');
  t.end();
});

t.test('specified: the one named, also when suspect, or nobody', (t) => {
  const picker = new SpecifiedPicker();
  const list = candidates(4, (i) => ({ isSuspect: i === 1, isDisabled: i === 2 }));
  t.equal(picker.pick('c0', list), list[0]);
  t.equal(picker.pick('c1', list), list[1]);
  t.equal(picker.pick('c2', list), undefined);
  t.equal(picker.pick('c9', list), undefined);
  t.equal(picker.pick(undefined, list), undefined);
  t.equal(picker.pick('c3', list.slice(0, 3)), undefined, 'from another list');
  t.end();
});

t.test('broadcast: all but the disabled; one by one those that are usable', (t) => {
  const picker = new BroadcastPicker();
  const list = candidates(4, (i) => ({ isSuspect: i === 1, isDisabled: i === 2 }));
  t.same(
    picker.pickAll(undefined, list).map(({ id }) => id),
    ['c0', 'c1', 'c3'],
  );
  t.same(
    Array.from({ length: 4 }, () => picker.pick(undefined, list)!.id),
    ['c0', 'c3', 'c0', 'c3'],
  );
  t.equal(picker.pick(undefined, []), undefined);
  t.same(picker.pickAll(undefined, []), []);
  t.end();
});
