import t from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import { BatchClass } from '../../../src/batch/header.js';
import { encode, Harness, Outcome, RunState } from './harness.js';

const ok = Outcome.OUTCOME_SUCCEEDED;

function withWorker(): { h: Harness; session: number } {
  const h = new Harness();
  h.acquire();
  return { h, session: h.worker() };
}

t.test('a cron job fires on time, with its arguments', (t) => {
  const { h, session } = withWorker();
  const version = h.client(encode.put({ cron: 'every 1000', arguments: Buffer.from('a') }));
  t.match(h.core.verdict(version), { accepted: true });
  t.match(h.core.job(7, 'j'), { version, generation: version, nextFireMs: h.nowMs + 1_000 });
  for (let i = 1; i <= 3; i++) {
    h.pass(1_000, [session]);
    const { run, token, job, dueMs, arguments: args } = h.dispatch();
    t.equal(job, 'j');
    t.equal(dueMs, h.nowMs);
    t.equal(Buffer.from(args!).toString(), 'a');
    h.report(session, { run, token, outcome: ok });
  }
  t.equal(h.core.job(7, 'j')?.fires, 3);
  t.end();
});

t.test('bad proposals are refused with a reason, and the job stays as it was', (t) => {
  const { h } = withWorker();
  t.match(h.core.verdict(h.client(encode.put({ cron: 'nonsense' }))), { accepted: false, code: ErrorCode.INVALID });
  t.equal(h.core.job(7, 'j'), undefined);
  const version = h.client(encode.put({ cron: 'every 1000' }));
  const bad = [
    encode.put({ cron: 'nonsense' }),
    encode.put({ processor: '' }),
    encode.put({ priority: 11 }),
    encode.put({ retry: { attemptsMax: 1_000 } }),
    encode.put({ expectedVersion: 1 }),
  ];
  for (const record of bad) t.notOk(h.core.verdict(h.client(record))?.accepted);
  t.match(h.core.job(7, 'j'), { version, refusal: /version 1 should be replaced/ });
  t.match(h.core.verdict(h.client(encode.put({ name: '' }))), { code: ErrorCode.INVALID });
  t.match(h.core.verdict(h.client(encode.pause('nobody'))), { code: ErrorCode.NOT_FOUND });
  t.match(h.core.verdict(h.client(encode.resume('nobody'))), { code: ErrorCode.NOT_FOUND });
  t.match(h.core.verdict(h.client(encode.remove('nobody'))), { code: ErrorCode.NOT_FOUND });
  const second = h.client(encode.put({ cron: 'every 500', expectedVersion: version }));
  t.match(h.core.job(7, 'j'), { version: second, generation: version, refusal: '' });
  t.end();
});

t.test('a clock that stepped back brings no fire back, neither by a new version nor by a resume (sim seed 47)', (t) => {
  const { h, session } = withWorker();
  h.client(encode.put({ cron: 'every 1000' }));
  h.pass(2_000, [session]);
  const consumedMs = h.nowMs;
  t.equal(h.core.job(7, 'j')?.fires, 2);
  h.nowMs -= 1_500;
  h.client(encode.put({ cron: 'every 1000' }));
  t.equal(h.core.job(7, 'j')?.nextFireMs, consumedMs + 1_000);
  h.client(encode.pause());
  h.client(encode.resume());
  t.equal(h.core.job(7, 'j')?.nextFireMs, consumedMs + 1_000);
  h.client(encode.remove());
  h.client(encode.put({ cron: 'every 1000' }));
  t.equal(h.core.job(7, 'j')?.nextFireMs, consumedMs - 1_000, 'a job made anew starts anew');
  t.end();
});

t.test('pause stops the fires, resume plans from now on', (t) => {
  const { h, session } = withWorker();
  h.client(encode.put({ cron: 'every 1000' }));
  h.client(encode.pause());
  h.pass(5_000, [session]);
  t.equal(h.take('dispatch').length, 0);
  t.match(h.core.job(7, 'j'), { paused: true, nextFireMs: undefined });
  h.client(encode.resume());
  t.equal(h.core.job(7, 'j')?.nextFireMs, h.nowMs + 1_000);
  h.pass(1_000, [session]);
  t.equal(h.take('dispatch').length, 1);
  t.end();
});

t.test('one run of a job at a time; one more waits; fires beyond that are skipped', (t) => {
  const { h, session } = withWorker();
  h.client(encode.put({ cron: 'every 1000' }));
  h.pass(4_000, [session]);
  const first = h.dispatch();
  t.match(h.core.job(7, 'j'), { fires: 2, skipped: 2 });
  const waiting = h.core.runs({ appId: 7, states: [RunState.SCHEDULED], job: 'j', before: undefined, max: 9 }).runs;
  t.equal(waiting.length, 1);
  t.match(waiting[0]?.waitsFor, /of the same job to end/);
  h.report(session, { run: first.run, token: first.token, outcome: ok });
  t.equal(h.dispatch().run, waiting[0]?.run);
  t.end();
});

t.test('late fires up to a minute come each; missed ones before them are one', (t) => {
  const h = new Harness();
  h.acquire();
  h.client(encode.put({ cron: 'every 20000' }));
  const firstMs = h.core.job(7, 'j')!.nextFireMs!;
  h.nowMs = firstMs + 200_000;
  h.settle();
  // Missed: +0 to +120 s, seven fires in one. Late: +140, +160, +180, +200 s; one of them waits, the others are skipped.
  t.match(h.core.job(7, 'j'), { fires: 2, skipped: 6 + 3, nextFireMs: firstMs + 220_000 });
  const dues = h.core.runs({ appId: 7, states: [], job: 'j', before: undefined, max: 9 }).runs.map((run) => run.dueMs);
  t.strictSame(dues, [firstMs + 140_000, firstMs]);
  t.end();
});

t.test('a change while a run is alive: that run keeps its version', (t) => {
  const { h, session } = withWorker();
  const v1 = h.client(encode.put({ cron: 'every 1000', arguments: Buffer.from('1') }));
  h.pass(2_000, [session]);
  const first = h.dispatch();
  h.client(encode.put({ cron: 'every 5000', arguments: Buffer.from('2') }));
  h.report(session, { run: first.run, token: first.token, outcome: ok });
  const second = h.dispatch();
  t.equal(second.arguments, undefined);
  t.equal(second.argumentsAt, v1);
  h.report(session, { run: second.run, token: second.token, outcome: ok });
  h.pass(5_000, [session]);
  t.equal(Buffer.from(h.dispatch().arguments!).toString(), '2');
  t.end();
});

t.test('delete cancels what waits, lets run what runs, and frees the name', (t) => {
  const { h, session } = withWorker();
  const v1 = h.client(encode.put({ cron: 'every 1000' }));
  h.pass(2_000, [session]);
  const first = h.dispatch();
  t.match(h.core.verdict(h.client(encode.remove())), { accepted: true });
  t.equal(h.core.job(7, 'j'), undefined);
  t.equal(h.core.stats(7).scheduled, 0);
  t.equal(h.core.run(first.run)?.job, 'j');
  h.report(session, { run: first.run, token: first.token, outcome: ok });
  h.pass(5_000, [session]);
  t.equal(h.take('dispatch').length, 0);
  const v2 = h.client(encode.put({ cron: 'every 1000' }));
  t.not(v1, v2);
  t.equal(h.core.job(7, 'j')?.generation, v2);
  t.end();
});

t.test('proposals without an owner wait, in order, for the next one', (t) => {
  const h = new Harness();
  const put = h.append([encode.put({ cron: 'every 1000' })], BatchClass.CLIENT);
  const pause = h.append([encode.pause()], BatchClass.CLIENT);
  h.core.watchProposal(pause);
  t.equal(h.core.verdict(put), undefined);
  h.acquire();
  h.settle();
  t.match(h.take('decided'), [{ offset: pause }]);
  t.match(h.core.job(7, 'j'), { version: put, paused: true });
  h.core.watchProposal(put);
  h.drain();
  t.match(h.take('decided'), [{ offset: put }], 'at once for a verdict that is there');
  t.end();
});

t.test('jobs are listed by name in pages', (t) => {
  const { h } = withWorker();
  for (const name of ['c', 'a', 'b']) h.client(encode.put({ name }));
  t.strictSame(
    h.core.jobs(7, '', 2).map(({ name }) => name),
    ['a', 'b'],
  );
  t.strictSame(
    h.core.jobs(7, 'b', 2).map(({ name }) => name),
    ['c'],
  );
  t.end();
});
