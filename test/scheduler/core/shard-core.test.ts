import t from 'tap';
import { BatchClass } from '../../../src/batch/header.js';
import { argumentsOf } from '../../../src/scheduler/core/shard-core.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { encode, Harness, Outcome, RunState, stored } from './harness.js';

const ok = Outcome.OUTCOME_SUCCEEDED;
const failed = Outcome.OUTCOME_FAILED;

t.test('submit, lease, dispatch, report, succeeded', (t) => {
  const h = new Harness();
  h.acquire();
  t.equal(h.take('active').length, 1);
  const session = h.worker();
  t.equal(h.take('claimed').length, 1);
  t.equal(h.take('pong').length, 1);
  const run = h.client(encode.submit({ arguments: Buffer.from('abc'), priority: 3, timeoutMs: 500 }));
  const dispatch = h.dispatch();
  t.match(dispatch, { sessionId: session, run, attempt: 1, processor: 'p', timeoutMs: 500, epoch: h.core.epoch });
  t.equal(Buffer.from(dispatch.arguments!).toString(), 'abc');
  t.equal(h.state(run), RunState.RUNNING);
  h.core.watchRun(run);
  h.report(session, { run, token: dispatch.token, outcome: ok });
  t.equal(h.state(run), RunState.SUCCEEDED);
  t.match(h.take('acknowledged'), [{ sessionId: session, token: dispatch.token }]);
  t.match(h.take('ended'), [{ run }]);
  t.match(h.core.stats(7), { running: 0, ready: 0, succeededTotal: 1, submittedTotal: 1 });
  t.end();
});

t.test('nothing is dispatched before its lease is read back', (t) => {
  const h = new Harness();
  h.acquire();
  h.worker();
  h.append([encode.submit({})], BatchClass.CLIENT);
  const records = h.core.decide(h.nowMs, h.nowMs);
  h.drain();
  t.equal(records.length, 1);
  t.equal(h.take('dispatch').length, 0);
  t.equal(h.core.decide(h.nowMs, h.nowMs).length, 0, 'and it is not decided twice');
  h.append(records, BatchClass.OWNER);
  t.equal(h.take('dispatch').length, 1);
  t.end();
});

t.test('credit bounds the leases and comes back with the report', (t) => {
  const h = new Harness();
  h.acquire();
  const session = h.worker('w', { capacity: 2 });
  for (let i = 0; i < 3; i++) h.client(encode.submit({}));
  const [first] = h.take('dispatch');
  t.equal(h.core.stats(7).ready, 1);
  const records = h.core.report(session, [{ run: first!.run, token: first!.token, outcome: ok }]);
  h.settle();
  t.equal(h.take('dispatch').length, 1, 'before the report is on disk');
  h.append(records, BatchClass.OWNER);
  t.equal(h.core.stats(7).workers[0]?.leases, 2);
  t.end();
});

t.test('a run starts at its time or after its delay, never earlier', (t) => {
  const h = new Harness();
  h.acquire();
  const session = h.worker();
  const at = h.client(encode.submit({ runAtMs: h.nowMs + 5_000 }));
  const delayed = h.client(encode.submit({ delayMs: 7_000 }));
  t.equal(h.state(at), RunState.SCHEDULED);
  h.pass(4_999, [session]);
  t.equal(h.take('dispatch').length, 0);
  h.pass(1, [session]);
  t.equal(h.dispatch().run, at);
  h.pass(1_999, [session]);
  t.equal(h.take('dispatch').length, 0);
  h.pass(1, [session]);
  t.equal(h.dispatch().run, delayed);
  t.end();
});

t.test('failures climb the ladder to the dead letters, and a replay leaves them', (t) => {
  const h = new Harness();
  h.acquire();
  const session = h.worker();
  const run = h.client(
    encode.submit({ arguments: Buffer.from('x'), retry: { attemptsMax: 3, delaysMs: [100, 1_000] } }),
  );
  for (const waitMs of [0, 110, 1_100]) {
    h.pass(waitMs, [session]);
    const { token, attempt } = h.dispatch();
    t.equal(attempt, [0, 110, 1_100].indexOf(waitMs) + 1);
    h.report(session, { run, token, outcome: failed, error: 'no' });
  }
  t.equal(h.state(run), RunState.DEAD);
  const dead = { appId: 7, states: [RunState.DEAD], job: '', before: undefined, max: 10 };
  t.equal(h.core.runs(dead).runs.length, 1);
  t.ok(h.core.run(run)!.causeAt > 0);
  const again = h.client(encode.replay(run));
  const dispatch = h.dispatch();
  t.equal(dispatch.run, again);
  t.equal(dispatch.argumentsAt, run, 'with the arguments of the old one');
  t.equal(h.core.runs(dead).runs.length, 0);
  t.equal(h.state(run), RunState.DEAD, 'which stays what it was');
  t.equal(h.core.stats(7).dead, 0);
  const voided = h.core.voided.records;
  h.client(encode.replay(run));
  t.equal(h.core.voided.records, voided + 1, 'once only');
  h.report(session, { run: again, token: dispatch.token, outcome: failed, nonRetryable: true });
  t.equal(h.state(again), RunState.DEAD, 'not retryable');
  t.end();
});

t.test('retry-after replaces the level of the ladder', (t) => {
  const h = new Harness();
  h.acquire();
  const session = h.worker();
  const run = h.client(encode.submit({}));
  h.report(session, { run, token: h.dispatch().token, outcome: failed, retryAfterMs: 50 });
  t.equal(h.state(run), RunState.RETRY_WAIT);
  h.pass(50, [session]);
  t.equal(h.dispatch().attempt, 2);
  t.end();
});

t.test('a bad submit is a run that is refused, with its reason', (t) => {
  const h = new Harness();
  h.acquire();
  h.worker();
  const bad = [
    encode.submit({ processor: '' }),
    encode.submit({ priority: 10 }),
    encode.submit({ retry: { attemptsMax: 101 } }),
    encode.submit({ retry: { delaysMs: [2 ** 31] } }),
    encode.submit({ runAtMs: 1, delayMs: 1 }),
    encode.submit({ delayMs: 2 ** 50 }),
    encode.submit({ timeoutMs: 2 ** 31 }),
    encode.submit({ arguments: new Uint8Array(70_000) }),
    { type: 20, value: Buffer.from('ffffff', 'hex') },
  ];
  for (const record of bad) t.equal(h.state(h.client(record)), RunState.REFUSED);
  t.equal(h.take('dispatch').length, 0);
  t.end();
});

t.test('cancel: a waiting run at once, a running one when its lease ends', (t) => {
  const h = new Harness();
  h.acquire();
  const session = h.worker();
  const later = h.client(encode.submit({ delayMs: 1_000 }));
  h.client(encode.cancel(later));
  t.equal(h.state(later), RunState.CANCELLED);
  const run = h.client(encode.submit({}));
  const { token } = h.dispatch();
  h.client(encode.cancel(run));
  t.equal(h.state(run), RunState.CANCELLING);
  t.match(h.take('cancel'), [{ sessionId: session, token }]);
  h.report(session, { run, token, outcome: Outcome.OUTCOME_CANCELLED });
  t.equal(h.state(run), RunState.CANCELLED);
  const late = h.client(encode.submit({}));
  const { token: second } = h.dispatch();
  h.client(encode.cancel(late));
  h.report(session, { run: late, token: second, outcome: ok });
  t.equal(h.state(late), RunState.SUCCEEDED, 'a success still counts');
  t.end();
});

t.test('a silent worker loses its leases 10 s after the last answer; one attempt in all is final', (t) => {
  const h = new Harness();
  h.acquire();
  const silent = h.worker();
  const run = h.client(encode.submit({}));
  const once = h.client(encode.submit({ retry: { attemptsMax: 1 } }));
  const tokens = h.take('dispatch').map(({ token }) => token);
  h.pass(9_999);
  t.equal(h.state(run), RunState.RUNNING);
  h.pass(1);
  t.equal(h.state(run), RunState.READY);
  t.equal(h.state(once), RunState.DEAD);
  h.core.ping(silent, 1, h.nowMs);
  h.take('pong');
  h.look();
  t.equal(h.take('pong').length, 0, 'that session is never answered again');
  h.append([encode.report({ run, token: tokens[0]!, outcome: ok })], BatchClass.WORKER);
  t.equal(h.state(run), RunState.SUCCEEDED, 'a late success counts while no newer lease exists');
  t.end();
});

t.test('six lost leases make a dead letter', (t) => {
  const h = new Harness();
  h.acquire();
  const run = h.client(encode.submit({}));
  for (let lost = 1; lost <= 6; lost++) {
    t.equal(h.take('dispatch').length, 0);
    const session = h.worker(`w${lost}`);
    h.pass(20_000, [session]);
    h.core.draining(session);
    h.report(session, { run, token: h.dispatch().token, outcome: Outcome.OUTCOME_ABANDONED });
    h.core.detach(session);
    t.equal(h.core.run(run)?.lost, lost);
  }
  t.equal(h.state(run), RunState.DEAD);
  t.end();
});

t.test('a beat through the log keeps the leases that it lists', (t) => {
  const h = new Harness();
  h.acquire();
  h.worker();
  h.client(encode.submit({}));
  const { run, token } = h.dispatch();
  h.pass(8_000);
  h.append([encode.alive('w', 1, [token])], BatchClass.WORKER);
  h.pass(9_000);
  t.equal(h.state(run), RunState.RUNNING);
  h.pass(1_000);
  t.not(h.state(run), RunState.RUNNING);
  t.end();
});

t.test('a worker that reconnects keeps what it claims and gets again what it does not list', (t) => {
  const h = new Harness();
  h.acquire();
  h.worker();
  h.client(encode.submit({}));
  h.client(encode.submit({}));
  const [one, two] = h.take('dispatch');
  h.take('claimed');
  const session = 99;
  const info = {
    sessionId: session,
    appId: 7,
    workerId: 'w',
    incarnation: 1,
    processors: ['p'],
    capacity: 4,
    weight: 0,
  };
  h.core.attach(info);
  const claim = { incarnation: 1, running: [one!.token, 12_345], unreported: [], acknowledgedOffset: undefined };
  h.core.claim(session, claim, h.nowMs);
  h.look();
  t.match(h.take('claimed'), [{ sessionId: session, kept: [one!.token] }]);
  t.match(h.take('dispatch'), [{ sessionId: session, token: two!.token }]);
  h.pass(11_000, [session]);
  t.equal(h.state(one!.run), RunState.RUNNING, 'it lives by the new session');
  t.end();
});

t.test('a claim waits until the last acknowledged report is replayed', (t) => {
  const h = new Harness();
  h.acquire();
  h.take('claimed');
  h.core.attach({ sessionId: 5, appId: 7, workerId: 'w', incarnation: 1, processors: [], capacity: 1, weight: 0 });
  h.core.claim(5, { incarnation: 1, running: [], unreported: [], acknowledgedOffset: h.nextOffset }, h.nowMs);
  h.look();
  t.equal(h.take('claimed').length, 0);
  h.append([encode.submit({})], BatchClass.CLIENT);
  h.look();
  t.equal(h.take('claimed').length, 1);
  t.end();
});

t.test('leases of an earlier incarnation are lost, not sent again', (t) => {
  const h = new Harness();
  h.acquire();
  h.worker();
  const run = h.client(encode.submit({}));
  h.dispatch();
  const session = h.worker('w', { incarnation: 2 });
  t.equal(h.take('dispatch').length, 0);
  h.pass(10_000, [session]);
  t.equal(h.core.run(run)?.lost, 1);
  t.equal(h.dispatch().run, run);
  t.end();
});

t.test('a returned lease uses no attempt, and counts from the current session only', (t) => {
  const h = new Harness();
  h.acquire();
  const old = h.worker();
  const run = h.client(encode.submit({ retry: { attemptsMax: 1 } }));
  const first = h.dispatch();
  h.core.returned(old, [run], [first.token]);
  h.settle();
  const second = h.dispatch();
  t.not(second.token, first.token);
  t.match(h.core.run(run), { state: RunState.RUNNING, attempt: 1, lost: 0 });
  h.worker();
  t.equal(h.dispatch().token, second.token, 'the new session gets it again');
  h.core.returned(old, [run], [second.token]);
  h.settle();
  t.equal(h.state(run), RunState.RUNNING);
  t.end();
});

t.test('an attempt that overruns is stopped and counts as failed; a hanging one ends its session', (t) => {
  const h = new Harness();
  h.acquire();
  const session = h.worker();
  const run = h.client(encode.submit({ timeoutMs: 1_000, retry: { attemptsMax: 2, delaysMs: [10] } }));
  const { token } = h.dispatch();
  h.pass(16_000, [session]);
  t.equal(h.state(run), RunState.CANCELLING);
  t.match(h.take('cancel'), [{ token }]);
  h.report(session, { run, token, outcome: Outcome.OUTCOME_TIMED_OUT });
  t.equal(h.state(run), RunState.RETRY_WAIT);
  h.pass(100, [session]);
  h.dispatch();
  h.pass(16_000, [session]);
  t.equal(h.state(run), RunState.CANCELLING);
  h.pass(30_000, [session]);
  h.take('pong');
  h.pass(2_000, [session]);
  t.equal(h.take('pong').length, 0, 'it is answered no more');
  h.pass(8_000, [session]);
  t.equal(h.state(run), RunState.DEAD);
  t.end();
});

t.test('a new owner takes over, and the old one decides nothing more', (t) => {
  const h = new Harness();
  h.acquire('one');
  h.worker();
  h.client(encode.submit({}));
  const { token } = h.dispatch();
  const waiting = h.append([encode.submit({})], BatchClass.CLIENT);
  const stale = h.core.decide(h.nowMs, h.nowMs);
  const two = h.replica();
  const record = two.acquire('two', 'there', 2, Uint8Array.of(9, 9));
  h.append([record], BatchClass.OWNER);
  t.match(h.take('deposed'), [{ owner: 'two', host: 'there', port: 2 }]);
  t.equal(h.take('notOwner').length, 1);
  t.notOk(h.core.isActive);
  t.notOk(
    h.core.attach({ sessionId: 50, appId: 7, workerId: 'w', incarnation: 1, processors: [], capacity: 1, weight: 0 }),
  );
  const voided = h.core.voided.records;
  h.append(stale, BatchClass.OWNER);
  t.equal(h.core.voided.records, voided + 1);
  t.equal(h.core.decide(h.nowMs, h.nowMs).length, 0);
  t.equal(h.core.stats(7).ready, 1);
  h.acquire('one');
  h.worker();
  const [again, other] = h.take('dispatch');
  t.equal(again?.token, token, 'the lease of before, claimed by nobody else');
  t.equal(other?.run, waiting);
  t.end();
});

t.test('an Acquire with an old generation is void', (t) => {
  const h = new Harness();
  const late = h.replica().acquire('late', 'x', 1, Uint8Array.of(7));
  h.acquire();
  h.append([late], BatchClass.OWNER);
  t.ok(h.core.isActive);
  t.equal(h.core.owner?.owner, 'me');
  t.end();
});

t.test('an Acquire beyond the next generation is void: it would leave none for the next owner', (t) => {
  const h = new Harness();
  h.acquire();
  const { ACQUIRE } = taskd.RecordType;
  for (const generation of [3, Number.MAX_SAFE_INTEGER]) {
    const value = taskd.Acquire.encode({ owner: 'rogue', generation, nonce: Uint8Array.of(9) }).finish();
    h.append([{ type: ACQUIRE, value }], BatchClass.OWNER);
  }
  t.ok(h.core.isActive);
  h.acquire('next');
  t.equal(h.core.owner?.owner, 'next');
  t.end();
});

t.test('records of the wrong class, unknown types and garbage are void', (t) => {
  const h = new Harness();
  h.acquire();
  h.append([encode.submit({})], BatchClass.WORKER);
  h.append([encode.report({ run: 1, token: 1 })], BatchClass.CLIENT);
  h.append([{ type: 48 }, { type: 63 }, { type: 5_000 }], BatchClass.CLIENT);
  t.equal(h.core.voided.forbidden, 5);
  for (let type = 0; type < 70; type++) {
    for (const batchClass of [BatchClass.CLIENT, BatchClass.WORKER, BatchClass.OWNER]) {
      h.append([{ type, value: Buffer.from('ffff12', 'hex') }, { type }], batchClass);
    }
  }
  t.end();
});

t.test('the highest priority first; one pick in 16 takes the oldest', (t) => {
  const h = new Harness();
  h.acquire();
  const low = h.client(encode.submit({}));
  const high: number[] = [];
  for (let i = 0; i < 20; i++) high.push(h.client(encode.submit({ priority: 9 })));
  h.worker('w', { capacity: 21 });
  const order = h.take('dispatch').map(({ run }) => run);
  t.ok(order.indexOf(low) < 20 && order.indexOf(low) > 0);
  t.strictSame(
    order.filter((run) => run !== low),
    high,
  );
  t.end();
});

t.test('leases spread over workers by weight', (t) => {
  const h = new Harness();
  h.acquire();
  const a = h.worker('a', { capacity: 100, weight: 100 });
  const b = h.worker('b', { capacity: 100, weight: 300 });
  for (let i = 0; i < 40; i++) h.client(encode.submit({}));
  const to = h.take('dispatch').map(({ sessionId }) => sessionId);
  t.ok(Math.abs(to.filter((each) => each === b).length - 30) <= 1);
  t.ok(to.includes(a));
  t.end();
});

t.test('a draining worker gets no more', (t) => {
  const h = new Harness();
  h.acquire();
  h.core.draining(h.worker());
  const run = h.client(encode.submit({}));
  t.equal(h.take('dispatch').length, 0);
  t.match(h.core.run(run)?.waitsFor, /none is connected/);
  t.end();
});

t.test('ended runs make room; arguments beyond the cache come from the log', (t) => {
  const h = new Harness({ endedRunsMax: 2, argumentsBytesMax: 1 });
  h.acquire();
  const runs: number[] = [];
  for (let i = 0; i < 30; i++) runs.push(h.client(encode.submit({ arguments: new Uint8Array(60_000) })));
  const session = h.worker('w', { capacity: 30 });
  const dispatches = h.take('dispatch');
  t.equal(dispatches[0]?.arguments, undefined);
  t.equal(dispatches[0]?.argumentsAt, runs[0]);
  t.equal(dispatches[29]?.arguments?.length, 60_000);
  const record = stored(encode.submit({ arguments: Buffer.from('abc') }), 1);
  t.equal(Buffer.from(argumentsOf(record)).toString(), 'abc');
  for (const { run, token } of dispatches) h.report(session, { run, token, outcome: ok });
  t.equal(h.state(runs[0]!), undefined);
  t.equal(h.state(runs[29]!), RunState.SUCCEEDED);
  t.end();
});

t.test('a report of a lease that this owner has not read of goes to the log, and is not acknowledged before', (t) => {
  // A deposed owner that doesn't know it yet: the next one has given a lease beyond what this one has read.
  const h = new Harness();
  h.acquire();
  const run = h.client(encode.submit({}));
  const session = h.worker('w', { processors: ['other'] });
  const token = h.nextOffset + 5;
  const records = h.core.report(session, [{ run, token, outcome: ok }]);
  h.drain();
  t.equal(h.take('acknowledged').length, 0);
  t.equal(records.length, 1);
  t.end();
});

t.test('a run whose attempt ends while a decision on it is on its way waits for that one', (t) => {
  const h = new Harness();
  h.acquire();
  const session = h.worker();
  const run = h.client(encode.submit({ timeoutMs: 1_000, retry: { attemptsMax: 3, delaysMs: [1] } }));
  const { token } = h.dispatch();
  h.pass(15_999, [session]);
  h.nowMs += 1;
  const timedOut = h.core.decide(h.nowMs, h.nowMs);
  t.equal(timedOut.length, 1);
  h.append(h.core.report(session, [{ run, token, outcome: failed, retryAfterMs: 0 }]), BatchClass.OWNER);
  t.equal(h.core.decide(h.nowMs, h.nowMs).length, 0);
  h.append([encode.cancel(run)], BatchClass.CLIENT);
  h.append(timedOut, BatchClass.OWNER);
  h.settle();
  t.equal(h.state(run), RunState.CANCELLED);
  const next = h.client(encode.submit({}));
  t.equal(h.dispatch().run, next);
  t.end();
});
