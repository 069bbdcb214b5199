import fc from 'fast-check';
import t from 'tap';
import { lastDelayLevel } from '../../../src/base/delay-level.js';
import type { StoredRecord } from '../../../src/batch/record.js';
import { type Delayed, originOf } from '../../../src/broker/delay/delayed-record.js';
import type { Cancel, Fire, FireDone } from '../../../src/broker/delay/fire-records.js';
import type { FireTarget, OpenFire } from '../../../src/broker/delay/fire-target.js';
import { LastLevelCore } from '../../../src/broker/delay/last-level-core.js';

type Entry =
  | { readonly kind: 'record'; readonly delayed: Delayed }
  | { readonly kind: 'fire'; readonly fire: Fire; readonly atMs: number }
  | { readonly kind: 'done'; readonly done: FireDone }
  | { readonly kind: 'cancel'; readonly cancel: Cancel; readonly atMs: number };

function delayed(offset: number, dueMs: number, target: number, origin = 0): Delayed {
  const empty = { key: undefined, value: undefined, headers: [], timestampDelta: 0, type: 0 };
  const place = { deliverAtMs: dueMs, targetTopicId: target, targetPartition: 0, origin };
  const record: StoredRecord = { offset, ...empty, ...place };
  return { offset, record, timestampMs: 0, bytes: 100 };
}

function apply(core: LastLevelCore, offset: number, entry: Entry): boolean {
  if (entry.kind === 'record') core.arrived(entry.delayed);
  else if (entry.kind === 'fire') core.fired(offset, entry.fire, entry.atMs);
  else if (entry.kind === 'done') core.fireDone(entry.done);
  else return core.cancelled(offset, entry.cancel, entry.atMs);
  return false;
}

t.test('records fire in the order of their times, one Fire a target, others meanwhile', (t) => {
  const core = new LastLevelCore(0);
  core.activate();
  for (const [offset, dueMs, target] of [
    [0, 30, 1],
    [1, 10, 1],
    [2, 20, 2],
  ] as const) {
    core.arrived(delayed(offset, dueMs, target));
  }
  core.advance(9);
  t.same(core.compose(), [], 'nothing is early');
  core.advance(20);
  const fires = core.compose();
  t.same(
    fires.map(({ topicId, offsets }) => [topicId, offsets]),
    [
      [1, [1]],
      [2, [2]],
    ],
  );
  core.advance(40);
  t.same(core.compose(), [], 'target 1 is asked for');
  core.fired(3, fires[0]!, 20);
  core.advance(41);
  t.same(core.compose(), [], 'and then open');
  const [open] = core.toProduce();
  t.same(
    open!.records.map(({ offset }) => offset),
    [1],
  );
  core.produced(open!);
  t.same(core.compose()[0]!.offsets, [0]);
  t.end();
});

t.test('a cancel strikes what is pending, what comes later, and nothing after its time', (t) => {
  const core = new LastLevelCore(0);
  core.activate();
  core.arrived(delayed(0, 100, 1));
  const cancel = (origin: number, atMs: number, offset: number): boolean =>
    core.cancelled(offset, { origin, dueMs: 100, carried: false }, atMs);
  t.equal(cancel(originOf(lastDelayLevel, 0), 150, 1), true, 'pending: whatever the time');
  t.equal(cancel(originOf(5, 7), 50, 2), true);
  core.arrived(delayed(3, 100, 1, originOf(5, 7)));
  t.equal(core.pending, 0);
  t.equal(cancel(originOf(5, 8), 100, 4), false, 'too late');
  core.arrived(delayed(5, 100, 1, originOf(5, 8)));
  t.equal(core.pending, 1);
  t.end();
});

t.test('a cancel of a record that left is refused, also when the clock was set back before its Fire was dated', (t) => {
  const core = new LastLevelCore(0);
  core.activate();
  core.arrived(delayed(0, 990, 1));
  core.arrived(delayed(1, 1_000, 1));
  core.arrived(delayed(2, 1_000, 1, originOf(3, 7)));
  core.advance(990);
  core.fired(3, core.compose()[0]!, 990);
  core.advance(1_000);
  core.produced(core.toProduce()[0]!);
  core.fired(4, core.compose()[0]!, 995);
  const cancel = (origin: number, atMs: number): boolean =>
    core.cancelled(5, { origin, dueMs: 1_000, carried: false }, atMs);
  t.equal(cancel(originOf(lastDelayLevel, 1), 998), false);
  t.equal(cancel(originOf(3, 7), 999), false);
  t.equal(cancel(originOf(3, 8), 999), true, 'it has not come yet');
  for (const open of core.toProduce()) core.produced(open);
  for (const done of core.dones()) core.fireDone(done);
  t.equal(core.low(6), 1, 'the log tells of it until its time');
  t.equal(cancel(originOf(3, 7), 1_000), false);
  t.equal(core.low(6), 5);
  t.end();
});

t.test('what waits for a target that takes nothing goes elsewhere, and the others have room', (t) => {
  const core = new LastLevelCore(0, { heldMax: 100 });
  core.activate();
  const takes = ({ topicId }: { topicId: number }): boolean => topicId !== 1;
  core.arrived(delayed(0, 10, 1));
  core.advance(11);
  core.fired(1, core.compose()[0]!, 11);
  for (let offset = 2; offset < 101; offset++) core.arrived(delayed(offset, 12, 1));
  t.equal(core.hasRoom, false, 'what is on its way to the target takes room too');
  t.equal(core.isCrowded, true);
  core.advance(20);
  const stuck: FireTarget[] = [];
  t.same(
    core.compose((target) => {
      if (!takes(target)) stuck.push(target);
      return takes(target);
    }),
    [],
  );
  t.equal(stuck.length, 1);
  const parked = core.divert(stuck[0]!, 77, 3)!;
  t.match(parked, { topicId: 77, partition: 3, insteadOf: undefined });
  t.equal(parked.offsets.length, 99, 'all but the one whose Fire the target may have got');
  t.equal(core.divert(stuck[0]!, 77, 3), undefined, 'one at a time');
  core.notAppended(parked);
  core.fired(101, core.divert(stuck[0]!, 77, 3)!, 20);
  const open = core.toProduce().find(({ offset }) => offset === 101)!;
  core.produced(open);
  t.equal(core.held, 1);
  t.equal(core.isCrowded, false);
  t.equal(core.low(102), 0, 'the first Fire holds the log');
  for (const done of core.dones()) core.fireDone(done);
  t.equal(core.targets, 1);
  t.end();
});

t.test('a target that takes nothing gets no new Fire, which it might have got without saying so', (t) => {
  const core = new LastLevelCore(0);
  core.activate();
  core.arrived(delayed(0, 10, 1));
  core.arrived(delayed(1, 10, 2));
  core.advance(11);
  t.same(
    core.compose(({ topicId }) => topicId === 2).map(({ offsets }) => offsets),
    [[1]],
  );
  t.same(
    core.compose().map(({ offsets }) => offsets),
    [[0]],
  );
  t.end();
});

t.test('a Fire for a target that is gone is taken over', (t) => {
  const core = new LastLevelCore(0);
  core.activate();
  core.arrived(delayed(0, 1, 1));
  core.advance(5);
  core.fired(1, core.compose()[0]!, 5);
  core.fired(2, { topicId: 9, partition: 0, offsets: [], insteadOf: 1 }, 20);
  const [open] = core.toProduce();
  t.match(open, { offset: 2, target: { topicId: 9 } });
  t.equal(open!.records[0]!.target.topicId, 1, 'the record knows where it was to go');
  core.fired(3, { topicId: 9, partition: 0, offsets: [], insteadOf: 1 }, 20);
  t.equal(core.toProduce().length, 1, 'once');
  t.equal(core.low(4), 0);
  core.produced(open!);
  core.fireDone({ topicId: 9, partition: 0, upTo: 2 });
  t.equal(core.low(4), 4);
  t.end();
});

t.test('a target is forgotten when nothing is left of it, however that came', (t) => {
  const core = new LastLevelCore(0);
  core.activate();
  for (const [offset, target] of [1, 2, 3].entries()) core.arrived(delayed(offset, 10, target));
  t.equal(core.targets, 3);
  core.cancelled(3, { origin: originOf(lastDelayLevel, 0), dueMs: 10, carried: false }, 5);
  t.equal(core.targets, 2, 'cancelled');
  core.advance(20);
  for (const [at, fire] of core.compose().entries()) core.fired(4 + at, fire, 20);
  core.fired(6, { topicId: 9, partition: 0, offsets: [], insteadOf: 4 }, 20);
  t.equal(core.targets, 2, 'taken over');
  core.fired(7, { topicId: 8, partition: 0, offsets: [], insteadOf: 4 }, 20);
  t.equal(core.targets, 2, 'a second take-over does nothing');
  for (const open of core.toProduce()) core.produced(open);
  for (const done of core.dones()) core.fireDone(done);
  t.equal(core.targets, 0, 'done');
  t.end();
});

t.test('no number of a partition makes a record one of another target', (t) => {
  const core = new LastLevelCore(0);
  core.activate();
  const to = (offset: number, targetTopicId: number, targetPartition: number): Delayed => {
    const each = delayed(offset, 10, targetTopicId);
    return { ...each, record: { ...each.record, targetPartition } };
  };
  core.arrived(to(0, 4, 65_536 * 3));
  core.arrived(to(1, 7, 0));
  core.arrived(to(2, 5, 65_536 * 2));
  core.advance(20);
  const fires = core.compose();
  t.same(
    fires.map(({ topicId, offsets }) => [topicId, offsets]),
    [
      [4, [0]],
      [7, [1]],
      [5, [2]],
    ],
  );
  for (const [at, fire] of fires.entries()) core.fired(3 + at, fire, 20);
  t.same(
    core.toProduce().map(({ target, records }) => [target.topicId, records.length]),
    [
      [4, 1],
      [7, 1],
      [5, 1],
    ],
  );
  t.end();
});

t.test('memory for records is bounded: those beyond are read again', (t) => {
  const core = new LastLevelCore(0, { payloadBytesMax: 250, heldMax: 3 });
  core.activate();
  for (let offset = 0; offset < 4; offset++) core.arrived(delayed(offset, 1, 1));
  t.equal(core.payloadBytes, 200);
  t.equal(core.hasRoom, false);
  core.advance(5);
  core.fired(4, core.compose()[0]!, 5);
  const [open] = core.toProduce();
  t.same(
    open!.records.map(({ record }) => record !== undefined),
    [true, true, false, false],
  );
  core.readBack(open!, new Map([[2, delayed(2, 1, 1)]]));
  t.same(
    open!.records.map(({ offset }) => offset),
    [0, 1, 2],
    'what the log no longer gives is lost',
  );
  core.produced(open!);
  t.equal(core.payloadBytes, 0);
  t.end();
});

/** What reading the log from `start` makes of it: live records, open Fires, and who may still be cancelled. */
function state(log: readonly Entry[], start: number): unknown {
  const core = new LastLevelCore(0);
  log.forEach((entry, offset) => {
    if (offset >= start) apply(core, offset, entry);
  });
  core.activate();
  core.advance(1e9);
  const fires = core.compose().map(({ topicId, offsets }) => [topicId, offsets]);
  const open = core.toProduce().map(({ offset, records }: OpenFire) => [offset, records.map((each) => each.offset)]);
  const { pending } = core;
  const logMs = log.reduce((latest, entry) => ('atMs' in entry ? Math.max(latest, entry.atMs) : latest), 0);
  const cancelled = log.map((entry) => {
    if (entry.kind !== 'record') return false;
    const { offset, record } = entry.delayed;
    const origin = record.origin || originOf(lastDelayLevel, offset);
    return core.cancelled(log.length, { origin, dueMs: record.deliverAtMs, carried: false }, logMs);
  });
  return { pending, fires: fires.sort(), open: open.sort(), cancelled };
}

interface Step {
  readonly what: number;
  readonly a: number;
  readonly b: number;
}

/**
 * The log that the steps make, and every place up to which the core would have had it trimmed on the way. An origin
 * arrives once, as in every true log: it names the place where the broker has stored the record first, clients may not
 * send one, and a move that is repeated is recognised. Its second arrival is therefore that of a record of its own.
 */
function play(steps: readonly Step[]): { log: Entry[]; lows: Set<number> } {
  const core = new LastLevelCore(0);
  const log: Entry[] = [];
  const lows = new Set<number>();
  const add = (entry: Entry): void => {
    apply(core, log.length, entry);
    log.push(entry);
    lows.add(core.low(log.length));
  };
  core.activate();
  const moved = new Set<number>();
  let nowMs = 0;
  let logMs = 0;
  const at = (): number => {
    logMs = Math.max(logMs, nowMs);
    return logMs;
  };
  for (const { what, a, b } of steps) {
    if (what < 3) {
      const origin = moved.has(a % 8) ? 0 : originOf(3, a % 8);
      moved.add(a % 8);
      add({ kind: 'record', delayed: delayed(log.length, nowMs + a, b, origin) });
    } else if (what < 5) {
      const origin = b === 2 ? originOf(lastDelayLevel, a) : originOf(3, a % 8);
      add({ kind: 'cancel', cancel: { origin, dueMs: nowMs + a, carried: false }, atMs: at() });
    } else if (what < 8) {
      // Now and then the clock is set back.
      nowMs = what === 7 && b === 0 ? Math.max(0, nowMs - a) : nowMs + a;
      core.advance(nowMs);
      for (const fire of core.compose()) add({ kind: 'fire', fire, atMs: at() });
    } else if (what < 10) for (const fire of core.toProduce()) core.produced(fire);
    else if (what < 12) for (const done of core.dones()) add({ kind: 'done', done });
    else for (const cancel of core.carried(log.length, 10)) add({ kind: 'cancel', cancel, atMs: at() });
  }
  return { log, lows };
}

/** Fires that are produced and not said to be are produced again, and recognised. */
function readsBackTheSame(steps: readonly Step[]): boolean {
  const { log, lows } = play(steps);
  const whole = JSON.stringify(state(log, 0));
  return [...lows].every((low) => JSON.stringify(state(log, low)) === whole);
}

t.test('a log that is trimmed where the core says, at any time, reads back as the same state', (t) => {
  const step = fc.record({ what: fc.nat(12), a: fc.nat(20), b: fc.nat(2) });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), readsBackTheSame), { numRuns: 500 });
  t.end();
});

t.test('a Cancel whose record was trimmed away strikes no other one', (t) => {
  const steps = [
    { what: 0, a: 1, b: 0 },
    { what: 0, a: 0, b: 0 },
    { what: 3, a: 1, b: 0 },
    { what: 0, a: 1, b: 0 },
  ];
  const { log, lows } = play(steps);
  t.ok(lows.has(1), 'the trim falls between the record and its Cancel');
  t.match(state(log, 1), { pending: 2, fires: [[0, [1, 3]]], open: [] });
  t.ok(readsBackTheSame(steps));
  t.end();
});

/** Cancels of one record, which is due at `dueMs` and comes last. True unless it comes through a Cancel that was promised. */
function keepsPromises(dueMs: number, steps: readonly Step[]): boolean {
  const origin = originOf(3, 7);
  const log: Entry[] = [];
  let core = new LastLevelCore(0);
  let nowMs = 0;
  let isPromised = false;
  core.activate();
  const add = (cancel: Cancel): boolean => {
    const entry: Entry = { kind: 'cancel', cancel, atMs: nowMs };
    log.push(entry);
    return apply(core, log.length - 1, entry);
  };
  for (const { what, a, b } of steps) {
    if (what < 4) {
      const said = Math.max(0, dueMs + (a - 10) * 10_000);
      if (add({ origin, dueMs: said, carried: false }) && said >= dueMs) isPromised = true;
    } else if (what < 8) {
      nowMs += a * (b + 1) * 5_000;
      core.advance(nowMs);
      // The levels above hold the record.
      core.dropCancels((passedMs) => passedMs < dueMs);
    } else if (what < 10) for (const cancel of core.carried(log.length - b, 10)) add(cancel);
    else {
      const start = core.low(log.length);
      core = new LastLevelCore(nowMs);
      for (let offset = start; offset < log.length; offset++) apply(core, offset, log[offset]!);
      core.activate();
    }
  }
  core.arrived(delayed(log.length, dueMs, 1, origin));
  return !isPromised || core.pending === 0;
}

t.test('a Cancel that was promised strikes, whatever others say about the time of its record', (t) => {
  const step = fc.record({ what: fc.nat(11), a: fc.nat(20), b: fc.nat(2) });
  const steps = fc.array(step, { maxLength: 30 });
  fc.assert(fc.property(fc.integer({ min: 1, max: 500_000 }), steps, keepsPromises), { numRuns: 2_000 });
  const cancel = (a: number) => ({ what: 0, a, b: 0 });
  const long = { what: 4, a: 20, b: 2 };
  t.ok(keepsPromises(50_000, [cancel(10), cancel(6), long]), 'a second one with an earlier time');
  t.ok(keepsPromises(50_000, [cancel(6), cancel(10), { what: 8, a: 0, b: 0 }, long]), 'a later one');
  t.end();
});
