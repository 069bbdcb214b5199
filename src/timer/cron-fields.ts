import { CronExpressionParser } from 'cron-parser';
import { ErrorCode, TaskdError } from '../base/errors.js';
import { civilFromDays, daysFromCivil, daysInMonth, weekday } from './civil-date.js';

/**
 * A cron expression, compiled: `cron-parser` reads and checks it, and what it read becomes small tables, with which
 * the next matching wall time is found in integers. Nothing here knows zones: times are wall times, in seconds since
 * 1970-01-01T00:00 on the wall.
 *
 * The days follow cron's old rule: when day-of-month and day-of-week are both given, a day that matches either one
 * matches; `*` and `?` (alone) are "not given".
 */

const daySec = 86_400;
/** The calendar repeats after 400 years, weekdays included: what doesn't match in that time never will. */
const searchMonths = 400 * 12;
const expressionLengthMax = 256;

const macros: ReadonlyMap<string, string> = new Map([
  ['@yearly', '0 0 0 1 1 *'],
  ['@annually', '0 0 0 1 1 *'],
  ['@monthly', '0 0 0 1 * *'],
  ['@weekly', '0 0 0 * * 0'],
  ['@weekdays', '0 0 0 * * 1-5'],
  ['@weekends', '0 0 0 * * 0,6'],
  ['@daily', '0 0 0 * * *'],
  ['@midnight', '0 0 0 * * *'],
  ['@hourly', '0 0 * * * *'],
  ['@minutely', '0 * * * * *'],
  ['@secondly', '* * * * * *'],
]);

interface FieldRule {
  readonly name: string;
  /** One item of the comma-separated list. Stricter than the parser, which would take `JANFEB` for 12. */
  readonly item: RegExp;
  readonly allows: string;
}

const numbers = String.raw`(?:\*|\d{1,2}(?:-\d{1,2})?)(?:\/\d{1,2})?`;
const rules: readonly FieldRule[] = [
  { name: 'second', item: new RegExp(`^${numbers}$`), allows: '0-59, *, lists, ranges and steps' },
  { name: 'minute', item: new RegExp(`^${numbers}$`), allows: '0-59, *, lists, ranges and steps' },
  { name: 'hour', item: new RegExp(`^${numbers}$`), allows: '0-23, *, lists, ranges and steps' },
  {
    name: 'day-of-month',
    item: new RegExp(`^(?:${numbers}|\\?|L)$`),
    allows: '1-31, *, ?, L for the last day, lists, ranges and steps',
  },
  {
    name: 'month',
    item: /^(?:\*|(?:\d{1,2}|[A-Z]{3})(?:-(?:\d{1,2}|[A-Z]{3}))?)(?:\/\d{1,2})?$/i,
    allows: '1-12 or JAN-DEC, *, lists, ranges and steps',
  },
  {
    name: 'day-of-week',
    item: /^(?:(?:[*?]|(?:\d|[A-Z]{3})(?:-(?:\d|[A-Z]{3}))?)(?:\/\d)?|(?:\d|[A-Z]{3})(?:L|#\d))$/i,
    allows: '0-7 (0 and 7 are Sunday) or SUN-SAT, *, ?, 5L for the last Friday, 5#2 for the second, lists and steps',
  },
];

export class CronFields {
  /** True when second, minute and hour are numbers or lists of numbers: times of day that are meant one by one. */
  readonly isFixedTime: boolean;
  /** For every value the first allowed one from there on; -1 when there is none. */
  readonly #seconds: Int8Array;
  readonly #minutes: Int8Array;
  readonly #hours: Int8Array;
  readonly #months: Int8Array;
  /** Seconds of the day of its first match. */
  readonly #firstTime: number;
  /** Bit d - 1 for day d. */
  readonly #daysOfMonth: number;
  readonly #hasLastDay: boolean;
  /** By the weekday of the month's first: the days that match day-of-week, bit d - 1 for day d. */
  readonly #weekdayMasks: Int32Array;
  /** The same for weekdays in the last seven days of a month. */
  readonly #lastWeekdayMasks: Int32Array;

  /** Parses an expression. INVALID, naming the field and what it allows, when it is wrong or can never match. */
  constructor(expression: string) {
    const texts = split(expression);
    this.isFixedTime = texts.slice(0, 3).every((text) => /^\d+(?:,\d+)*$/.test(text));
    const { second, minute, hour, dayOfMonth, month, dayOfWeek } = parse(expression, texts);
    this.#seconds = successors(second.values, 60);
    this.#minutes = successors(minute.values, 60);
    this.#hours = successors(hour.values, 24);
    this.#months = successors(month.values, 13);
    this.#firstTime = this.#hours[0]! * 3_600 + this.#minutes[0]! * 60 + this.#seconds[0]!;

    const anyDayOfMonth = dayOfMonth.isWildcard;
    const anyDayOfWeek = dayOfWeek.isWildcard;
    let days = 0;
    if (!anyDayOfMonth) for (const day of dayOfMonth.values) if (typeof day === 'number') days |= 1 << (day - 1);
    if (anyDayOfMonth && anyDayOfWeek) days = -1;
    this.#daysOfMonth = days;
    this.#hasLastDay = !anyDayOfMonth && dayOfMonth.values.some((day) => day === 'L');

    const wanted = new Set<number>();
    const wantedLast = new Set<number>();
    if (!anyDayOfWeek) {
      for (const value of dayOfWeek.values as readonly (number | string)[]) {
        if (typeof value === 'number') wanted.add(value % 7);
        else wantedLast.add(Number.parseInt(value, 10) % 7);
      }
    }
    this.#weekdayMasks = weekdayMasks(wanted, dayOfWeek.nthDay);
    this.#lastWeekdayMasks = weekdayMasks(wantedLast, 0);

    if (this.#nextDay(0) === undefined) {
      throw new TaskdError(
        ErrorCode.INVALID,
        `cron "${expression}" can never fire: no day matches day-of-month "${texts[3]}" in month "${texts[4]}"` +
          ` with day-of-week "${texts[5]}"; change one of these three fields`,
      );
    }
  }

  /** The first matching wall time after `wallSec`. */
  next(wallSec: number): number | undefined {
    const from = wallSec + 1;
    const days = Math.floor(from / daySec);
    const day = this.#nextDay(days);
    if (day === undefined) return undefined;
    if (day !== days) return day * daySec + this.#firstTime;
    const time = this.#nextTime(from - days * daySec);
    if (time >= 0) return days * daySec + time;
    const later = this.#nextDay(days + 1);
    return later === undefined ? undefined : later * daySec + this.#firstTime;
  }

  /** The first matching second of the day from `time` on; -1 when none is left. */
  #nextTime(time: number): number {
    const hour = Math.floor(time / 3_600);
    const minute = Math.floor(time / 60) % 60;
    if (this.#hours[hour] === hour) {
      if (this.#minutes[minute] === minute) {
        const second = this.#seconds[time % 60]!;
        if (second >= 0) return hour * 3_600 + minute * 60 + second;
      }
      const next = minute === 59 ? -1 : this.#minutes[minute + 1]!;
      if (next >= 0) return hour * 3_600 + next * 60 + this.#seconds[0]!;
    }
    const next = hour === 23 ? -1 : this.#hours[hour + 1]!;
    return next < 0 ? -1 : next * 3_600 + this.#minutes[0]! * 60 + this.#seconds[0]!;
  }

  /** The first matching day from `days` on. */
  #nextDay(days: number): number | undefined {
    const date = civilFromDays(days);
    let { year, month } = date;
    let below = date.day - 1;
    for (let i = 0; i <= searchMonths; i++) {
      if (this.#months[month] === month) {
        const first = daysFromCivil(year, month, 1);
        const mask = this.#monthMask(year, month, first) & (-1 << below);
        if (mask !== 0) return first + 31 - Math.clz32(mask & -mask);
      }
      below = 0;
      if (++month === 13) {
        month = 1;
        year++;
      }
    }
    return undefined;
  }

  #monthMask(year: number, month: number, first: number): number {
    const length = daysInMonth(year, month);
    const start = weekday(first);
    let mask = this.#daysOfMonth | this.#weekdayMasks[start]!;
    mask |= this.#lastWeekdayMasks[start]! & (-1 << (length - 7));
    if (this.#hasLastDay) mask |= 1 << (length - 1);
    return mask & (2 ** length - 1);
  }
}

/** The six fields as text. */
function split(expression: string): string[] {
  if (expression.length > expressionLengthMax) {
    throw new TaskdError(
      ErrorCode.INVALID,
      `a cron expression has at most ${expressionLengthMax} characters, this one ${expression.length}; shorten its lists`,
    );
  }
  const text = expression.trim();
  const macro = macros.get(text.toLowerCase());
  if (macro !== undefined) return macro.split(' ');
  if (text.startsWith('@')) {
    throw new TaskdError(
      ErrorCode.INVALID,
      `cron macro "${text}" is not known; use one of ${[...macros.keys()].join(' ')}`,
    );
  }
  const texts = text === '' ? [] : text.split(/\s+/);
  if (texts.length !== 5 && texts.length !== 6) {
    throw new TaskdError(
      ErrorCode.INVALID,
      `cron "${text}" has ${texts.length} fields; write 5 (minute hour day-of-month month day-of-week) or 6 (second first)`,
    );
  }
  return texts.length === 5 ? ['0', ...texts] : texts;
}

type Parsed = Pick<
  ReturnType<typeof CronExpressionParser.parse>['fields'],
  'second' | 'minute' | 'hour' | 'dayOfMonth' | 'month' | 'dayOfWeek'
>;

/**
 * Field by field, each among stars: so an error is the named field's own, and whether the fields can match together
 * is for the calendar to say.
 */
function parse(expression: string, texts: readonly string[]): Parsed {
  return {
    second: parseField(expression, texts, 0).second,
    minute: parseField(expression, texts, 1).minute,
    hour: parseField(expression, texts, 2).hour,
    dayOfMonth: parseField(expression, texts, 3).dayOfMonth,
    month: parseField(expression, texts, 4).month,
    dayOfWeek: parseField(expression, texts, 5).dayOfWeek,
  };
}

function parseField(expression: string, texts: readonly string[], index: number): Parsed {
  const rule = rules[index]!;
  const text = texts[index]!;
  for (const item of text.split(',')) {
    if (!rule.item.test(item)) refuse(expression, rule, text, item === '' ? 'an item of the list is empty' : '');
  }
  const alone = rules.map((_, i) => (i === index ? text : '*')).join(' ');
  try {
    // The parser's own "now" is never used: nothing is asked of it but the fields.
    return CronExpressionParser.parse(alone, { currentDate: 0, tz: 'UTC' }).fields;
  } catch (error) {
    return refuse(expression, rule, text, (error as Error).message);
  }
}

function refuse(expression: string, rule: FieldRule, text: string, why: string): never {
  throw new TaskdError(
    ErrorCode.INVALID,
    `cron "${expression}": ${rule.name} "${text}" is wrong${why === '' ? '' : ` (${why})`}; it takes ${rule.allows}`,
  );
}

function successors(values: readonly (number | string)[], length: number): Int8Array {
  const table = new Int8Array(length).fill(-1);
  for (const value of values) table[Number(value)] = Number(value);
  for (let i = length - 2; i >= 0; i--) if (table[i] === -1) table[i] = table[i + 1]!;
  return table;
}

/** `nth` 1 to 5 keeps only that one of each weekday; 0 keeps all. */
function weekdayMasks(wanted: ReadonlySet<number>, nth: number): Int32Array {
  const masks = new Int32Array(7);
  for (let start = 0; start < 7; start++) {
    for (let day = 1; day <= 31; day++) {
      const isNth = nth === 0 || Math.ceil(day / 7) === nth;
      if (isNth && wanted.has((start + day - 1) % 7)) masks[start]! |= 1 << (day - 1);
    }
  }
  return masks;
}
