import t from 'tap';
import { BatchClass } from '../../src/batch/header.js';
import type { Run } from '../../src/client/run.js';
import type { CommittedBatch } from '../../src/coordinator/task-log.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { LegalHistories } from './legal-histories.js';

const { Outcome, RecordType } = taskd;
type Part = readonly [batchClass: BatchClass, type: number, value: Uint8Array];

const submit = (): Part => [
  BatchClass.CLIENT,
  RecordType.RUN_SUBMIT,
  taskd.RunSubmit.encode({ retry: { attemptsMax: 2 } }).finish(),
];
const cancel = (run: number): Part => [
  BatchClass.CLIENT,
  RecordType.RUN_CANCEL,
  taskd.RunCancel.encode({ run }).finish(),
];
const acquire = (generation: number): Part => [
  BatchClass.OWNER,
  RecordType.ACQUIRE,
  taskd.Acquire.encode({ generation }).finish(),
];
const lease = (epoch: number, run: number, attempt: number, lost: number): Part => [
  BatchClass.OWNER,
  RecordType.RUN_LEASED,
  taskd.RunLeased.encode({ epoch, run, attempt, lost }).finish(),
];
const lost = (epoch: number, run: number, token: number): Part => [
  BatchClass.OWNER,
  RecordType.LEASE_LOST,
  taskd.LeaseLost.encode({ epoch, run, token }).finish(),
];
const report = (run: number, token: number, outcome: taskd.Outcome): Part => [
  BatchClass.WORKER,
  RecordType.RUN_REPORT,
  taskd.RunReport.encode({ run, token, outcome }).finish(),
];

function read(...parts: Part[]): { checker: LegalHistories; problems: string[] } {
  const problems: string[] = [];
  const checker = new LegalHistories((error) => problems.push(error.message));
  parts.forEach(([batchClass, type, value], offset) => {
    const records = [{ offset, type, value }];
    checker.apply(0, { baseOffset: offset, appendTimestampMs: 0, batchClass, records } as unknown as CommittedBatch);
  });
  return { checker, problems };
}

const told = (state: string, attempt: number, losses: number): Run =>
  ({ id: '0:1', state, attempt, lost: losses }) as Run;

await t.test('void records change nothing, and the scheduler must see it so', async (t) => {
  const { checker, problems } = read(
    acquire(1), // 0
    submit(), // 1
    lease(0, 1, 1, 0), // 2
    lease(0, 1, 1, 0), // 3: it is leased already
    lost(7, 1, 2), // 4: of no epoch
    lost(0, 1, 2), // 5
    lease(0, 1, 1, 1), // 6
    report(1, 2, Outcome.OUTCOME_FAILED), // 7: of the lease before
    report(1, 6, Outcome.OUTCOME_SUCCEEDED), // 8
    lost(0, 1, 6), // 9: too late
    cancel(1), // 10: too late
  );
  t.same(checker.over(), ['0:1']);
  checker.checkEnd(told('SUCCEEDED', 1, 1));
  checker.checkStart('0:1', 2);
  checker.checkStart('0:1', 6);
  t.same(problems, []);
  checker.checkEnd(told('SUCCEEDED', 2, 1));
  checker.checkStart('0:1', 3);
  t.match(problems, [/by the log SUCCEEDED, attempt 1, lost 1/, /lease 3, which the log lacks/]);
});

await t.test('a run dies of its last attempt', async (t) => {
  const failed = report(1, 2, Outcome.OUTCOME_FAILED);
  const { checker, problems } = read(acquire(1), submit(), lease(0, 1, 1, 0), failed, lease(0, 1, 2, 0));
  t.same(checker.over(), []);
  const second = report(1, 4, Outcome.OUTCOME_FAILED);
  const ended = read(acquire(1), submit(), lease(0, 1, 1, 0), failed, lease(0, 1, 2, 0), second);
  ended.checker.checkEnd(told('DEAD', 2, 0));
  t.same([...problems, ...ended.problems], []);
});
