import { CronExpressionParser } from 'cron-parser';
import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { planCron } from '../../src/timer/cron-plan.js';

/** The next `count` fires, as UTC. */
function fires(expression: string, zone: string, from: string, count: number): string[] {
  const plan = planCron(expression, zone);
  const times: string[] = [];
  let after = Date.parse(from);
  for (let i = 0; i < count; i++) {
    const next = plan.next(after);
    if (next === undefined) break;
    if (next <= after) throw new Error('not strictly after');
    times.push(new Date(next).toISOString().replace('.000Z', 'Z'));
    after = next;
  }
  return times;
}

function item(min: number, max: number): fc.Arbitrary<string> {
  const value = fc.integer({ min, max });
  const range = fc.tuple(value, value).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
  const step = fc.integer({ min: 1, max: max - min });
  return fc.oneof(
    value.map(String),
    range,
    fc.tuple(range, step).map(([r, s]) => `${r}/${s}`),
    step.map((s) => `*/${s}`),
    fc.tuple(value, step).map(([v, s]) => `${v}/${s}`),
  );
}
function field(min: number, max: number): fc.Arbitrary<string> {
  return fc.oneof(
    fc.constant('*'),
    item(min, max),
    fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 4 }).map((values) => values.join(',')),
  );
}
const day = fc.oneof(
  { weight: 4, arbitrary: field(1, 28) },
  { weight: 1, arbitrary: fc.constantFrom('?', 'L', '31', '30', '29', '15,L', '1,30-31') },
);
const weekDay = fc.oneof(
  { weight: 3, arbitrary: fc.constant('*') },
  { weight: 2, arbitrary: field(0, 6) },
  { weight: 2, arbitrary: fc.constantFrom('?', '5L', 'SUNL', '7', '1#1', 'MON#5', '5#3', 'MON-FRI', '5-7', '1L,3L') },
);
const expression = fc
  .tuple(field(0, 59), field(0, 59), field(0, 23), day, field(1, 12), weekDay)
  .map((fields) => fields.join(' '));
const instant = fc.integer({ min: Date.parse('1990-01-01'), max: Date.parse('2090-01-01') });

t.test('away from offset changes it says what cron-parser says', (t) => {
  let compared = 0;
  fc.assert(
    fc.property(expression, instant, (expression, afterMs) => {
      let plan: ReturnType<typeof planCron>;
      let theirs: ReturnType<typeof CronExpressionParser.parse>;
      try {
        theirs = CronExpressionParser.parse(expression, { currentDate: afterMs, tz: 'UTC' });
        plan = planCron(expression, 'UTC');
      } catch (error) {
        // Refused by both, or by us alone because it can never fire.
        return isTaskdError(error, ErrorCode.INVALID) || throws(() => planCron(expression, 'UTC'));
      }
      let after = afterMs;
      for (let i = 0; i < 4; i++) {
        let expected: number;
        try {
          expected = theirs.next().getTime();
        } catch {
          return true; // it gives up on rare dates
        }
        if (plan.next(after) !== expected) {
          throw new Error(`${expression} after ${after}: ${plan.next(after)} and not ${expected}`);
        }
        after = expected;
        compared++;
      }
      return true;
    }),
    { numRuns: 250 },
  );
  t.ok(compared > 500, 'most expressions could be compared');
  t.end();
});

function throws(call: () => unknown): boolean {
  try {
    call();
    return false;
  } catch (error) {
    return isTaskdError(error, ErrorCode.INVALID);
  }
}

// Zones whose change is by half an hour, at midnight, on the hour, and one that skipped a whole day.
const changes: readonly [zone: string, aroundIso: string][] = [
  ['Europe/Berlin', '2026-03-29T01:00:00Z'],
  ['Europe/Berlin', '2026-10-25T01:00:00Z'],
  ['America/New_York', '2026-11-01T06:00:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00:00Z'],
  ['Australia/Lord_Howe', '2026-10-03T15:30:00Z'],
  ['America/Santiago', '2026-04-05T03:00:00Z'],
  ['America/Santiago', '2026-09-06T04:00:00Z'],
  ['Pacific/Apia', '2011-12-30T10:00:00Z'],
  ['Africa/Casablanca', '2026-02-15T02:00:00Z'],
  ['Asia/Shanghai', '2026-02-15T02:00:00Z'],
];

/** Wall time fields at an instant, from Intl alone. */
function wall(format: Intl.DateTimeFormat, ms: number): { hour: number; minute: number; key: string } {
  const parts = Object.fromEntries(format.formatToParts(ms).map((part) => [part.type, part.value]));
  const { year, month, day, hour, minute } = parts;
  return { hour: Number(hour), minute: Number(minute), key: `${year}-${month}-${day}T${hour}:${minute}` };
}

function wallFormat(zone: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat('en-CA', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  });
}

function ranged(min: number, max: number): fc.Arbitrary<{ text: string; values: Set<number>; isList: boolean }> {
  const list = fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 3 });
  const all = Array.from({ length: max - min + 1 }, (_, i) => min + i);
  return fc.oneof(
    fc.constant({ text: '*', values: new Set(all), isList: false }),
    list.map((values) => ({ text: values.join(','), values: new Set(values), isList: true })),
    fc
      .constantFrom(2, 5, 15, 20)
      .map((step) => ({ text: `*/${step}`, values: new Set(all.filter((v) => v % step === 0)), isList: false })),
  );
}

t.test('around offset changes it keeps its rules, minute by minute', (t) => {
  fc.assert(
    fc.property(fc.constantFrom(...changes), ranged(0, 59), ranged(0, 23), ([zone, around], minutes, hours) => {
      const plan = planCron(`${minutes.text} ${hours.text} * * *`, zone);
      const format = wallFormat(zone);
      const from = Date.parse(around) - 30 * 3_600_000;
      const until = Date.parse(around) + 30 * 3_600_000;
      const expected: number[] = [];
      const seen = new Set<string>();
      let previous = wall(format, from);
      let previousMs = from;
      const isFixed = minutes.isList && hours.isList;
      for (let ms = from + 60_000; ms <= until; ms += 60_000) {
        const now = wall(format, ms);
        const isMatch = minutes.values.has(now.minute) && hours.values.has(now.hour);
        if (!isFixed) {
          if (isMatch) expected.push(ms);
        } else {
          const skipped = skippedMinutes(previous.key, now.key).some(
            ([hour, minute]) => hours.values.has(hour) && minutes.values.has(minute),
          );
          if ((isMatch && !seen.has(now.key)) || skipped) expected.push(ms);
        }
        seen.add(now.key);
        previous = now;
        previousMs = ms;
      }
      const actual: number[] = [];
      let after = from;
      for (;;) {
        const next = plan.next(after);
        if (next === undefined || next > previousMs) break;
        actual.push(next);
        after = next;
      }
      if (JSON.stringify(actual) !== JSON.stringify(expected)) {
        throw new Error(`${minutes.text} ${hours.text} in ${zone}: ${actual.length} fires, not ${expected.length}`);
      }
      // Stateless: from any instant between, the same answer.
      return expected.every(
        (ms, i) => plan.next(ms - 1) === ms && plan.next(ms + 59_000) === (expected[i + 1] ?? plan.next(ms)),
      );
    }),
    { numRuns: 15 },
  );
  t.end();
});

/** Wall minutes that lie between two neighbouring instants' wall times. */
function skippedMinutes(before: string, after: string): [number, number][] {
  const minutes: [number, number][] = [];
  for (let ms = Date.parse(`${before}Z`) + 60_000; ms < Date.parse(`${after}Z`); ms += 60_000) {
    const date = new Date(ms);
    minutes.push([date.getUTCHours(), date.getUTCMinutes()]);
  }
  return minutes;
}

t.test('golden tables of the gap and the overlap', (t) => {
  t.same(
    fires('0 30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 2),
    ['2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z'],
    'a time of day in the gap: once, at its end',
  );
  t.same(
    fires('0 0,30 2,3 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 3),
    ['2026-03-29T01:00:00Z', '2026-03-29T01:30:00Z', '2026-03-30T00:00:00Z'],
    'several in the gap and one at its end are one',
  );
  t.same(
    fires('0 30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 2),
    ['2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z'],
    'a repeated time of day: the first copy only',
  );
  t.same(
    fires('0 30 2 * * *', 'Europe/Berlin', '2026-10-25T01:10:00Z', 1),
    ['2026-10-26T01:30:00Z'],
    'asked inside the second copy',
  );
  t.same(
    fires('30 * * * *', 'Europe/Berlin', '2026-10-25T00:00:00Z', 3),
    ['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z', '2026-10-25T02:30:00Z'],
    'hourly goes on through both copies',
  );
  t.equal(fires('*/15 * * * * *', 'Europe/Berlin', '2026-10-24T23:59:59Z', 481).at(-1), '2026-10-25T02:00:00Z');
  t.same(
    fires('*/20 2 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 1),
    ['2026-03-30T00:00:00Z'],
    'a step in the gap is just not there',
  );
  t.same(
    fires('0 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00:00Z', 2),
    ['2026-10-03T15:30:00Z', '2026-10-04T15:00:00Z'],
    'a gap of half an hour',
  );
  t.same(
    fires('0 0 * * *', 'America/Santiago', '2026-09-05T00:00:00Z', 3),
    ['2026-09-05T04:00:00Z', '2026-09-06T04:00:00Z', '2026-09-07T03:00:00Z'],
    'midnight skipped: no day is lost',
  );
  t.same(
    fires('0 12 * * *', 'Pacific/Apia', '2011-12-29T00:00:00Z', 3),
    ['2011-12-29T22:00:00Z', '2011-12-30T10:00:00Z', '2011-12-30T22:00:00Z'],
    'a day skipped: its noon comes when it would have ended',
  );
  t.end();
});

t.test('the calendar', (t) => {
  t.same(fires('0 0 29 2 ?', 'UTC', '2096-03-01T00:00:00Z', 1), ['2104-02-29T00:00:00Z'], '2100 is no leap year');
  t.same(fires('0 0 ? 2 MON#5', 'UTC', '2026-01-01T00:00:00Z', 2), ['2044-02-29T00:00:00Z', '2072-02-29T00:00:00Z']);
  t.same(fires('0 0 29 2 ?', 'Europe/Berlin', '2026-06-01T00:00:00Z', 1), ['2028-02-28T23:00:00Z']);
  t.same(fires('15 10 L * ?', 'UTC', '2026-01-31T11:00:00Z', 3), [
    '2026-02-28T10:15:00Z',
    '2026-03-31T10:15:00Z',
    '2026-04-30T10:15:00Z',
  ]);
  t.same(fires('0 0 ? * 5L', 'UTC', '2026-02-01T00:00:00Z', 2), ['2026-02-27T00:00:00Z', '2026-03-27T00:00:00Z']);
  t.same(fires('0 0 13 * 5', 'UTC', '2026-02-01T00:00:00Z', 3), [
    '2026-02-06T00:00:00Z',
    '2026-02-13T00:00:00Z',
    '2026-02-20T00:00:00Z',
  ]);
  t.same(fires('0 0 31 2 1', 'UTC', '2026-01-01T00:00:00Z', 1), ['2026-02-02T00:00:00Z'], 'either day matches');
  t.same(fires('59 59 23 31 12 ?', 'UTC', '2026-12-31T23:59:59Z', 1), ['2027-12-31T23:59:59Z']);
  t.same(fires('*/47 * * * * *', 'UTC', '2026-01-01T00:00:00Z', 3), [
    '2026-01-01T00:00:47Z',
    '2026-01-01T00:01:00Z',
    '2026-01-01T00:01:47Z',
  ]);
  t.same(fires('@weekly', '', '2026-01-01T00:00:00Z', 1), ['2026-01-04T00:00:00Z'], 'an empty zone is UTC');
  t.same(
    fires('* * * * *', 'Asia/Kolkata', '1969-12-31T23:59:30.500Z', 1),
    ['1970-01-01T00:00:00Z'],
    'before the epoch',
  );
  t.equal(planCron('* * * * *', 'UTC').next(Date.parse('9999-12-31T23:59:00Z')), undefined);
  t.equal(planCron('0 0 * * *', 'UTC'), planCron('0 0 * * *', 'UTC'), 'equal plans are shared');
  t.end();
});

t.test('what is wrong is named with its remedy', (t) => {
  const cases: readonly [expression: string, zone: string, message: RegExp][] = [
    ['', 'UTC', /has 0 fields; write 5/],
    ['* * * *', 'UTC', /has 4 fields; write 5/],
    ['0 0 0 1 1 ? 2030', 'UTC', /has 7 fields/],
    ['61 * * * *', 'UTC', /minute "61" is wrong.*0-59/],
    ['0 0 24 * * *', 'UTC', /hour "24" is wrong.*0-23/],
    ['0 0 32 * *', 'UTC', /day-of-month "32".*1-31/],
    ['0 0 1 13 *', 'UTC', /month "13".*JAN-DEC/],
    ['0 0 1 FOO *', 'UTC', /month "FOO"/],
    ['0 0 1 JANFEB *', 'UTC', /month "JANFEB"/],
    ['0 0 * * 8', 'UTC', /day-of-week "8"/],
    ['0 0 * * L', 'UTC', /day-of-week "L"/],
    ['0 0 * * 1#6', 'UTC', /day-of-week "1#6"/],
    ['*/0 * * * *', 'UTC', /minute "\*\/0"/],
    ['5-1 * * * *', 'UTC', /minute "5-1"/],
    ['1,,2 * * * *', 'UTC', /minute "1,,2".*empty/],
    ['? * * * *', 'UTC', /minute "\?"/],
    ['H * * * *', 'UTC', /minute "H"/],
    ['0 0 15W * *', 'UTC', /day-of-month "15W"/],
    ['0 0 L-3 * *', 'UTC', /day-of-month "L-3"/],
    ['@every 5m', 'UTC', /macro "@every 5m" is not known; use one of @yearly/],
    [`${'1,'.repeat(300)}1 * * * *`, 'UTC', /at most 256 characters/],
    ['0 0 31 2 *', 'UTC', /can never fire: no day matches day-of-month "31" in month "2"/],
    ['0 0 30,31 2 ?', 'UTC', /can never fire/],
    ['0 0 31 4,6,9,11 *', 'UTC', /can never fire/],
    ['* * * * *', 'Mars/Olympus', /zone "Mars\/Olympus" is not known; use a name of the IANA/],
    ['* * * * *', 'x'.repeat(10_000), /is not known/],
  ];
  for (const [expression, zone, message] of cases) {
    try {
      planCron(expression, zone);
      t.fail(`${expression} was taken`);
    } catch (error) {
      t.ok(isTaskdError(error, ErrorCode.INVALID), expression);
      t.match((error as Error).message, message);
    }
  }
  t.end();
});

t.test('random text is a plan or INVALID', (t) => {
  const text = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.array(fc.constantFrom(...'0123456789*/-,?L#W MONJAN'.split('')), { maxLength: 30 }).map((c) => c.join('')),
  );
  fc.assert(
    fc.property(text, (expression) => {
      try {
        const next = planCron(expression, 'UTC').next(0);
        return next === undefined || next > 0;
      } catch (error) {
        return isTaskdError(error, ErrorCode.INVALID);
      }
    }),
    { numRuns: 3_000 },
  );
  t.end();
});
