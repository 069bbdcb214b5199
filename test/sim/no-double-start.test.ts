import t from 'tap';
import { NoDoubleStart, type Start } from './no-double-start.js';

function watch(): { checker: NoDoubleStart; problems: string[] } {
  const problems: string[] = [];
  return { checker: new NoDoubleStart((error) => problems.push(error.message)), problems };
}

const start = (leaseToken: number, atMs: number, more: Partial<Start> = {}): Start => ({
  run: '0:1',
  leaseToken,
  worker: 'w',
  atMs,
  isRunning: () => false,
  ...more,
});

await t.test('a run that is tried again, one attempt after another, is fine', async (t) => {
  const { checker, problems } = watch();
  checker.started(start(5, 100));
  checker.started(start(9, 200));
  checker.started(start(9, 150, { run: '0:2' }));
  checker.isOver('0:1', 'SUCCEEDED', 300);
  t.same(problems, []);
  t.equal(checker.count, 3);
  t.match(checker.history('0:1'), 'lease 5 started by w at 100.0 ms; lease 9 started by w at 200.0 ms; seen SUCCEEDED');
});

await t.test('each rule is caught', async (t) => {
  const cases: [string, (checker: NoDoubleStart) => unknown, RegExp | undefined][] = [
    ['twice', (c) => [start(5, 1), start(5, 9_000)].map((s) => c.started(s)), /one lease was started twice/],
    ['old lease', (c) => [start(9, 1), start(5, 9_000)].map((s) => c.started(s)), /under a lease that was over/],
    [
      'both run',
      (c) => [start(5, 1, { isRunning: () => true }), start(9, 3_000)].map((s) => c.started(s)),
      /while another lease is alive/,
    ],
    [
      'the first may be lost by then',
      (c) => [start(5, 1, { isRunning: () => true }), start(9, 5_000)].map((s) => c.started(s)),
      undefined,
    ],
    [
      'after the end',
      (c) => {
        c.isOver('0:1', 'CANCELLED', 1);
        c.started(start(5, 2));
      },
      /started after it was over/,
    ],
  ];
  for (const [name, act, expected] of cases) {
    const { checker, problems } = watch();
    act(checker);
    if (expected === undefined) t.same(problems, [], name);
    else t.match(problems.join(), expected, name);
  }
});
