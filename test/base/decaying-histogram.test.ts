import fc from 'fast-check';
import t from 'tap';
import { DecayingHistogram } from '../../src/base/decaying-histogram.js';

t.test('a percentile is right to within a tenth, while nothing is forgotten', (t) => {
  const values = fc.array(fc.double({ min: 0.002, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 100 }), (given, percent) => {
      const histogram = new DecayingHistogram(1_000);
      for (const value of given) histogram.record(value);
      const exact = [...given].sort((a, b) => a - b)[Math.ceil((given.length * percent) / 100 - 1e-9) - 1]!;
      const found = histogram.percentile(percent);
      return found >= exact * 0.999_999 && found <= exact * 1.100_001;
    }),
  );
  t.end();
});

t.test('the past fades, and any value has a place', (t) => {
  const histogram = new DecayingHistogram(64);
  t.equal(histogram.percentile(99), 0);
  for (let i = 0; i < 1_000; i++) histogram.record(100);
  t.ok(histogram.count < 64);
  for (let i = 0; i < 1_000; i++) histogram.record(1);
  t.ok(histogram.percentile(99) < 1.2, 'what was long ago is forgotten');
  for (const value of [-1, 0, 1e300, Number.POSITIVE_INFINITY]) histogram.record(value);
  t.ok(histogram.percentile(100) > 1e6);
  t.end();
});
