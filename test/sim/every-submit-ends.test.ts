import t from 'tap';
import type { Run } from '../../src/client/run.js';
import { EverySubmitEnds } from './every-submit-ends.js';

const run = (state: string, more: Partial<Run> = {}): Run =>
  ({ id: '0:1', state, attempt: 1, lost: 0, error: '', result: Buffer.from('{"key":"k"}'), ...more }) as Run;

function watch(mustSucceed = true): { checker: EverySubmitEnds; problems: string[] } {
  const problems: string[] = [];
  const checker = new EverySubmitEnds((error) => problems.push(error.message));
  checker.acknowledged('0:1', { key: 'k', mustSucceed, atMs: 1 });
  return { checker, problems };
}

await t.test('pending until it is seen at its end', async (t) => {
  const { checker, problems } = watch();
  t.same(checker.pending(), ['0:1']);
  t.equal(checker.saw(run('RUNNING'), 2), false);
  t.equal(checker.saw(run('SUCCEEDED'), 3), true);
  t.equal(checker.saw(run('SUCCEEDED'), 4), true);
  t.same(checker.pending(), []);
  t.equal(checker.endsIn('SUCCEEDED'), 1);
  t.same(problems, []);
});

await t.test('each rule is caught', async (t) => {
  const cases: [string, boolean, (checker: EverySubmitEnds) => unknown, RegExp | undefined][] = [
    ['gone', true, (c) => c.isMissing('0:1'), /acknowledged at 1.0 ms and is gone/],
    ['never acknowledged', true, (c) => c.isMissing('0:2'), undefined],
    ['alive again', true, (c) => ['SUCCEEDED', 'READY'].map((s) => c.saw(run(s), 2)), /was SUCCEEDED and is READY/],
    ['another end', false, (c) => ['CANCELLED', 'DEAD'].map((s) => c.saw(run(s), 2)), /was CANCELLED and became DEAD/],
    ['dead', true, (c) => c.saw(run('DEAD'), 2), /should have succeeded/],
    ['dead by losses', true, (c) => c.saw(run('DEAD', { lost: 6 }), 2), undefined],
    ['dead by design', false, (c) => c.saw(run('DEAD'), 2), undefined],
    ['wrong result', true, (c) => c.saw(run('SUCCEEDED', { result: Buffer.from('{}') }), 2), /with the result/],
    ['two runs, one id', true, (c) => c.acknowledged('0:1', { key: 'x', mustSucceed: true, atMs: 2 }), /two submits/],
  ];
  for (const [name, mustSucceed, act, expected] of cases) {
    const { checker, problems } = watch(mustSucceed);
    act(checker);
    if (expected === undefined) t.same(problems, [], name);
    else t.match(problems.join(), expected, name);
  }
});
