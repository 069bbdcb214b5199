import fc from 'fast-check';
import t from 'tap';
import {
  HotWriter,
  newLeasedFields,
  newReportFields,
  newSubmitFields,
  readLeased,
  readReport,
  readSubmit,
} from '../../../src/scheduler/core/hot-records.js';
import { taskd } from '../../../src/wire/generated/messages.js';

const number = fc.oneof(fc.nat(300), fc.maxSafeNat(), fc.constant(Number.MAX_SAFE_INTEGER));
const u32 = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffff_ffff }));
const bytes = fc.uint8Array({ maxLength: 300 });
const text = fc.string({ maxLength: 40 }).map((each) => new TextDecoder().decode(new TextEncoder().encode(each)));
const decoder = new TextDecoder();
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

t.test('a RunSubmit reads as the generated codec wrote it', (t) => {
  const into = newSubmitFields();
  fc.assert(
    fc.property(
      number,
      text,
      bytes,
      fc.option(number),
      fc.option(number),
      u32,
      u32,
      fc.option(fc.array(u32, { maxLength: 5 })),
      (appId, processor, args, runAtMs, delayMs, priority, timeoutMs, delays) => {
        const retry = delays === null ? undefined : { attemptsMax: delays.length, delaysMs: delays };
        const value = taskd.RunSubmit.encode({
          appId,
          processor,
          arguments: args,
          runAtMs,
          delayMs,
          priority,
          timeoutMs,
          ...(retry === undefined ? {} : { retry }),
        }).finish();
        const range = (r: { start: number; end: number }): Uint8Array => value.subarray(r.start, r.end);
        return (
          readSubmit(value, into) &&
          into.appId === appId &&
          decoder.decode(range(into.processor)) === processor &&
          same(range(into.arguments), args) &&
          into.runAtMs === (runAtMs ?? -1) &&
          into.delayMs === (delayMs ?? -1) &&
          into.priority === priority &&
          into.timeoutMs === timeoutMs &&
          same(range(into.retry), retry === undefined ? Buffer.of() : taskd.RetryPolicy.encode(retry).finish())
        );
      },
    ),
  );
  t.end();
});

t.test('a RunLeased is written byte for byte as the generated codec does, and read back', (t) => {
  const writer = new HotWriter();
  const into = newLeasedFields();
  fc.assert(
    fc.property(
      number,
      number,
      u32,
      u32,
      text,
      number,
      number,
      (epoch, run, attempt, lost, workerId, incarnation, timeoutMs) => {
        const value = writer.leased(epoch, run, attempt, lost, Buffer.from(workerId), incarnation, timeoutMs);
        const message = { epoch, run, attempt, lost, workerId, incarnation, timeoutMs };
        return (
          same(value, taskd.RunLeased.encode(message).finish()) &&
          readLeased(value, into) &&
          into.epoch === epoch &&
          into.run === run &&
          into.attempt === attempt &&
          into.lost === lost &&
          decoder.decode(value.subarray(into.workerId.start, into.workerId.end)) === workerId &&
          into.incarnation === incarnation &&
          into.timeoutMs === timeoutMs
        );
      },
    ),
  );
  t.end();
});

t.test('a RunReport is written byte for byte as the generated codec does, and read back', (t) => {
  const writer = new HotWriter();
  const into = newReportFields();
  fc.assert(
    fc.property(
      number,
      number,
      fc.nat(5),
      bytes,
      text,
      fc.boolean(),
      fc.option(u32),
      u32,
      (run, token, outcome, result, error, nonRetryable, retryAfterMs, ranMs) => {
        const value = writer.report(run, token, outcome, result, error, nonRetryable, retryAfterMs ?? -1, ranMs);
        const message = { run, token, outcome, result, error, nonRetryable, retryAfterMs, ranMs };
        return (
          same(value, taskd.RunReport.encode(message).finish()) &&
          readReport(value, into) &&
          into.run === run &&
          into.token === token &&
          into.outcome === outcome &&
          same(value.subarray(into.result.start, into.result.end), result) &&
          decoder.decode(value.subarray(into.error.start, into.error.end)) === error &&
          into.nonRetryable === nonRetryable &&
          into.retryAfterMs === (retryAfterMs ?? -1) &&
          into.ranMs === ranMs
        );
      },
    ),
  );
  t.end();
});

t.test('random and cut bytes never throw', (t) => {
  const writer = new HotWriter();
  const submit = newSubmitFields();
  const leased = newLeasedFields();
  const report = newReportFields();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (value) => {
      readSubmit(value, submit);
      readLeased(value, leased);
      readReport(value, report);
    }),
    { numRuns: 2_000 },
  );
  const whole = writer.report(1, 2 ** 40, 2, Buffer.from('result'), 'error', true, 5, 6);
  for (let length = 1; length < whole.length; length++) {
    const isRead = readReport(whole.subarray(0, length), report);
    if (isRead) t.ok(report.run === 1, 'only whole fields');
  }
  t.notOk(readLeased(Buffer.from('08ffffffffffffffffff01', 'hex'), leased), 'a number above 2^53');
  t.notOk(readSubmit(Buffer.from('1264', 'hex'), submit), 'a length beyond the end');
  t.ok(readSubmit(Buffer.from('f80701' + '0805', 'hex'), submit), 'an unknown field is stepped over');
  t.equal(submit.appId, 5);
  t.end();
});
