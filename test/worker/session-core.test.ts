import fc from 'fast-check';
import t from 'tap';
import {
  HeldLease,
  LeasePhase,
  reportOwnMs,
  SessionCore,
  sessionSilentMs,
  sessionValidMs,
  unreportedMax,
} from '../../src/worker/session-core.js';

function ready(slots = 4, nowMs = 0): SessionCore<HeldLease> {
  const core = new SessionCore<HeldLease>(slots, nowMs);
  core.opened(nowMs);
  core.pingAnswered(nowMs, nowMs);
  core.claimed(10, []);
  return core;
}

t.test('a lease starts, is reported and forgotten', async (t) => {
  const core = ready();
  const lease = new HeldLease(1, 100);
  t.equal(core.offer(lease, 10, 1), 'start');
  t.equal(core.queuedCount, 1);
  t.equal(core.next(1), lease);
  t.equal(core.runningCount, 1);
  t.equal(core.offer(new HeldLease(1, 100), 10, 2), 'repeat', 'while it runs');
  t.ok(core.finish(lease, 3));
  t.notOk(core.finish(lease, 4), 'once only');
  t.equal(core.offer(new HeldLease(1, 100), 10, 3), 'repeat', 'while it is unreported');
  t.same(core.takeReports(10), [lease]);
  t.same(core.takeReports(10), [], 'each report leaves once a session');
  core.acknowledged([100], 500);
  t.ok(core.isIdle);
  t.equal(core.acknowledgedOffset, 500);
  t.equal(lease.phase, LeasePhase.FORGOTTEN);
});

t.test('a session starts nothing 6 s after the send time of its last answered ping', async (t) => {
  const core = ready();
  core.pingAnswered(1_000, 5_000);
  t.equal(core.offer(new HeldLease(1, 100), 10, 1_000 + sessionValidMs), 'start');
  t.equal(core.offer(new HeldLease(2, 101), 10, 1_001 + sessionValidMs), 'return');
  t.equal(core.next(1_001 + sessionValidMs), undefined, 'what waits does not start either');
  core.pingAnswered(7_500, 7_600);
  t.equal(core.next(7_600)?.token, 100, 'it starts once the session is valid again');
});

t.test('before any ping was answered a session starts nothing', async (t) => {
  const core = new SessionCore<HeldLease>(1, 0);
  core.opened(0);
  core.claimed(10, []);
  t.equal(core.offer(new HeldLease(1, 100), 10, 1), 'return');
});

t.test('a lower epoch is returned', async (t) => {
  const core = ready();
  t.equal(core.offer(new HeldLease(1, 100), 12, 1), 'start');
  t.equal(core.offer(new HeldLease(2, 101), 11, 1), 'return');
  t.equal(core.offer(new HeldLease(3, 102), 12, 1), 'start');
});

t.test('slots bound what runs, unreported ones bound what starts', async (t) => {
  const core = ready(2);
  for (let i = 0; i < 5; i++) core.offer(new HeldLease(i, 100 + i), 10, 1);
  const first = core.next(1)!;
  t.ok(core.next(1));
  t.equal(core.next(1), undefined);
  core.finish(first, 2);
  t.equal(core.next(2)?.token, 102, 'a slot is free when the processor ends, before its report is known');

  const other = ready(1);
  for (let i = 0; i < unreportedMax; i++) {
    other.offer(new HeldLease(i, 1_000 + i), 10, 1);
    other.finish(other.next(1)!, 1);
  }
  other.offer(new HeldLease(7, 7), 10, 1);
  t.equal(other.next(1), undefined);
  other.acknowledged([1_000], 1);
  t.equal(other.next(1)?.token, 7);
});

t.test('the next session claims all that is held, repeats the reports, and starts what was kept', async (t) => {
  const core = ready(1);
  for (const token of [100, 101, 102, 103]) core.offer(new HeldLease(token, token), 10, 1);
  const done = core.next(1)!;
  core.finish(done, 1);
  const running = core.next(1)!;
  core.takeReports(10);
  core.closed();
  t.equal(core.next(2), undefined, 'a dead session starts nothing');
  const lists = core.opened(10);
  t.same(lists.running, [101, 102, 103]);
  t.same(lists.unreported, [100]);
  t.equal(lists.acknowledgedOffset, undefined);
  t.same(core.takeReports(10), [done]);
  core.pingAnswered(10, 11);
  core.finish(running, 11);
  t.equal(core.next(11), undefined, 'what waited starts only after the claim was answered');
  t.equal(core.offer(new HeldLease(1, 200), 20, 11), 'start', 'a new dispatch may come before the answer');
  t.same(core.claimed(20, [103]), []);
  t.same(core.next(11)?.token, 103, 'the kept one, not 102');
  core.finish(core.lease(103)!, 12);
  t.equal(core.next(12)?.token, 200, 'what came on this session is not dropped by its claim');
});

t.test('a running lease that was not kept is named once, and its report still goes out', async (t) => {
  const core = ready();
  const lease = new HeldLease(1, 100);
  core.offer(lease, 10, 1);
  core.next(1);
  core.closed();
  core.opened(2);
  t.same(core.claimed(11, []), [lease]);
  t.same(core.claimed(11, []), [], 'a second answer changes nothing');
  core.finish(lease, 3);
  t.same(core.takeReports(9), [lease]);
});

t.test('a report without an acknowledgement in a second is appended by the worker itself', async (t) => {
  const core = ready();
  const leases = [100, 101, 102].map((token) => new HeldLease(token, token));
  for (const lease of leases) {
    core.offer(lease, 10, 1);
    core.next(1);
  }
  core.finish(leases[0]!, 10);
  core.finish(leases[1]!, 20);
  t.same(core.takeOverdue(9 + reportOwnMs, 10), []);
  core.acknowledged([100], 5);
  t.same(core.takeOverdue(20 + reportOwnMs, 10), [leases[1]]);
  t.same(core.takeOverdue(30 + reportOwnMs, 10), [], 'while the append is under way it is not taken again');
  core.appendFailed([leases[1]!]);
  t.same(core.takeOverdue(30 + reportOwnMs, 10), [leases[1]]);
  core.acknowledged([101], 6);
  t.same(core.takeOverdue(9_000, 10), []);
});

t.test('beats go through the log while the owner is silent and something runs', async (t) => {
  const core = ready();
  t.equal(core.takeAlive(5_000), undefined, 'nothing runs');
  const lease = new HeldLease(1, 100);
  core.offer(lease, 10, 1);
  core.next(1);
  t.equal(core.takeAlive(2_999), undefined);
  t.same(core.takeAlive(3_000), [100]);
  t.equal(core.takeAlive(5_999), undefined);
  t.same(core.takeAlive(6_000), [100]);
  core.pingAnswered(6_000, 6_500);
  t.equal(core.takeAlive(9_400), undefined);
});

t.test('a silent session is given up', async (t) => {
  const core = ready();
  t.notOk(core.isSilent(sessionSilentMs));
  t.ok(core.isSilent(sessionSilentMs + 1));
  core.pingAnswered(sessionSilentMs, sessionSilentMs + 2);
  t.notOk(core.isSilent(sessionSilentMs + 3));
});

t.test('draining gives back what waits and accepts nothing', async (t) => {
  const core = ready(1);
  for (const token of [100, 101, 102]) core.offer(new HeldLease(token, token), 10, 1);
  core.next(1);
  t.same(
    core.drain().map((lease) => lease.token),
    [101, 102],
  );
  t.equal(core.offer(new HeldLease(9, 103), 10, 1), 'return');
  t.equal(core.offer(new HeldLease(9, 100), 10, 1), 'repeat', 'never returned while it runs');
  t.equal(core.queuedCount, 0);
  t.notOk(core.isIdle);
});

type Step =
  | { kind: 'offer'; token: number; epoch: number }
  | { kind: 'wait'; ms: number }
  | { kind: 'next' | 'finish' | 'open' | 'close' | 'ping' | 'reports' | 'ack' | 'overdue' | 'drain' }
  | { kind: 'claimed'; keep: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('offer' as const), token: fc.nat(20), epoch: fc.nat(3) }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(4_000) }),
  fc.constantFrom(
    ...(['next', 'next', 'finish', 'open', 'close', 'ping', 'ping', 'reports', 'ack', 'overdue', 'drain'] as const).map(
      (kind) => ({ kind }),
    ),
  ),
  fc.record({ kind: fc.constant('claimed' as const), keep: fc.boolean() }),
);

t.test('whatever happens: no repeat starts, counts agree, nothing unreported is lost', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const slots = 3;
      const core = new SessionCore<HeldLease>(slots, 0);
      let now = 0;
      let claimLists: readonly number[] = [];
      let answeredMs = Number.NEGATIVE_INFINITY;
      let isOpen = false;
      const held = new Map<number, HeldLease>();
      for (const each of steps) {
        now++;
        if (each.kind === 'wait') now += each.ms;
        else if (each.kind === 'offer') {
          const lease = new HeldLease(each.token, each.token);
          const known = held.has(each.token);
          const answer = core.offer(lease, each.epoch, now);
          if (known !== (answer === 'repeat')) return false;
          if (answer === 'start') {
            if (!isOpen || now > answeredMs + sessionValidMs) return false;
            held.set(each.token, lease);
          }
        } else if (each.kind === 'next') {
          const lease = core.next(now);
          if (lease !== undefined && (!isOpen || now > answeredMs + sessionValidMs)) return false;
          if (lease !== undefined && held.get(lease.token) !== lease) return false;
        } else if (each.kind === 'finish') {
          const running = [...held.values()].find((lease) => lease.phase === LeasePhase.RUNNING);
          if (running !== undefined && !core.finish(running, now)) return false;
        } else if (each.kind === 'open') {
          isOpen = true;
          answeredMs = Number.NEGATIVE_INFINITY;
          const lists = core.opened(now);
          claimLists = lists.running;
          if (lists.running.length + lists.unreported.length !== held.size) return false;
        } else if (each.kind === 'close') {
          isOpen = false;
          core.closed();
        } else if (each.kind === 'ping') {
          core.pingAnswered(now - 1, now);
          if (isOpen) answeredMs = now - 1;
        } else if (each.kind === 'claimed') core.claimed(1, each.keep ? claimLists : []);
        else if (each.kind === 'reports') core.takeReports(2);
        else if (each.kind === 'overdue') core.appendFailed(core.takeOverdue(now, 2));
        else if (each.kind === 'drain') core.drain();
        else {
          const unreported = [...held.values()].filter((lease) => lease.phase === LeasePhase.UNREPORTED);
          core.acknowledged(
            unreported.slice(0, 2).map((lease) => lease.token),
            now,
          );
        }
        for (const [token, lease] of held) if (lease.phase === LeasePhase.FORGOTTEN) held.delete(token);
        const phases = [...held.values()].map((lease) => lease.phase);
        const count = (phase: number): number => phases.filter((one) => one === phase).length;
        if (count(LeasePhase.RUNNING) !== core.runningCount || core.runningCount > slots) return false;
        if (count(LeasePhase.QUEUED) !== core.queuedCount) return false;
        if (count(LeasePhase.UNREPORTED) !== core.unreportedCount) return false;
        if ([...core.held()].length !== held.size) return false;
      }
      // With a session that stands, everything unreported leaves and can be acknowledged.
      core.opened(now);
      const sent = core.takeReports(1_000);
      return sent.length === core.unreportedCount;
    }),
    { numRuns: 500 },
  );
  t.end();
});
