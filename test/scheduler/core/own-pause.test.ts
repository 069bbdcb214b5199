import t from 'tap';
import { encode, Harness, Outcome, RunState } from './harness.js';

t.test('an owner that stood still loses no lease of workers that could not reach it', (t) => {
  const h = new Harness();
  h.acquire();
  h.worker();
  const run = h.client(encode.submit({}));
  const { token } = h.dispatch();
  h.pass(1_000);
  h.nowMs += 60_000;
  h.settle();
  t.equal(h.state(run), RunState.RUNNING);
  const back = h.worker('w', {}, [token]);
  t.match(h.take('claimed').at(-1), { kept: [token] });
  h.pass(9_000, [back]);
  t.equal(h.state(run), RunState.RUNNING);
  h.report(back, { run, token, outcome: Outcome.OUTCOME_SUCCEEDED });
  t.equal(h.state(run), RunState.SUCCEEDED);

  const other = h.client(encode.submit({}));
  h.nowMs += 60_000;
  h.settle();
  h.pass(9_999);
  t.equal(h.state(other), RunState.RUNNING);
  h.pass(1);
  t.equal(h.state(other), RunState.READY, 'a worker that does not come back in 10 s is silent');
  t.end();
});
