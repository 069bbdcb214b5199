import t from 'tap';
import { appId, encode, Harness, Outcome, RunState } from './harness.js';

const failed = Outcome.OUTCOME_FAILED;

t.test('dead letters beyond the bound make room in the order of their deaths', (t) => {
  const options = { deadLettersMax: 2, endedRunsMax: 3 };
  const h = new Harness(options);
  h.acquire();
  const session = h.worker();
  const die = (): number => {
    const run = h.client(encode.submit({ retry: { attemptsMax: 1 } }));
    const { token } = h.dispatch();
    h.report(session, { run, token, outcome: failed });
    return run;
  };
  const [one, two] = [die(), die()];
  h.client(encode.replay(two));
  const { run: again, token } = h.dispatch();
  h.report(session, { run: again, token, outcome: failed });
  t.equal(h.core.deadLettersDroppedTotal, 0, 'a replayed one makes room itself');
  const three = die();
  t.equal(h.core.deadLettersDroppedTotal, 1);
  t.equal(h.state(one), RunState.DEAD, 'still readable among the ended');
  const listed = h.core.runs({ appId, states: [RunState.DEAD], job: '', before: undefined, max: 10 }).runs;
  t.same(
    listed.map(({ run }) => run),
    [three, again],
  );
  t.equal(h.core.stats(appId).dead, 2);
  const voided = h.core.voided.records;
  h.client(encode.replay(one));
  t.equal(h.core.voided.records, voided + 1, 'it is no dead letter any more');
  for (let i = 0; i < 5; i++) die();
  t.equal(h.core.deadLettersDroppedTotal, 6);
  t.equal(h.state(one), undefined);
  t.equal(h.core.stats(appId).dead, 2);
  const replica = h.replica(options);
  t.equal(replica.deadLettersDroppedTotal, 6);
  t.same(
    replica.runs({ appId, states: [], job: '', before: undefined, max: 50 }).runs.map(({ run, state }) => [run, state]),
    h.core.runs({ appId, states: [], job: '', before: undefined, max: 50 }).runs.map(({ run, state }) => [run, state]),
  );
  t.end();
});
