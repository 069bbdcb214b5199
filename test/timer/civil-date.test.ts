import fc from 'fast-check';
import t from 'tap';
import { civilFromDays, daysFromCivil, daysInMonth, weekday } from '../../src/timer/civil-date.js';

t.test('agrees with the Date of the platform, from year 1 to 9999', (t) => {
  const first = -719_162;
  const last = 2_932_896;
  fc.assert(
    fc.property(fc.integer({ min: first, max: last }), (days) => {
      const date = new Date(days * 86_400_000);
      const civil = civilFromDays(days);
      return (
        civil.year === date.getUTCFullYear() &&
        civil.month === date.getUTCMonth() + 1 &&
        civil.day === date.getUTCDate() &&
        weekday(days) === date.getUTCDay() &&
        daysFromCivil(civil.year, civil.month, civil.day) === days
      );
    }),
    { numRuns: 5_000 },
  );
  t.same(
    [1900, 2000, 2024, 2026, 2100].map((year) => daysInMonth(year, 2)),
    [28, 29, 29, 28, 28],
  );
  t.same(
    [1, 3, 4, 6, 9, 11, 12].map((month) => daysInMonth(2026, month)),
    [31, 31, 30, 30, 30, 30, 31],
  );
  t.end();
});
