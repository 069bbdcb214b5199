import t from 'tap';
import { slowStartDefaults, slowStartShare } from '../../src/discovery/slow-start.js';

t.test('a line from a tenth to all of the weight, by default', (t) => {
  const at = (ageMs: number): number => slowStartShare(ageMs, slowStartDefaults);
  t.equal(at(0), 0.1);
  t.equal(at(3_000), 0.1);
  t.equal(at(6_000), 0.2);
  t.equal(at(15_000), 0.5);
  t.equal(at(29_999) < 1 && at(29_999) > 0.99, true);
  t.equal(at(30_000), 1);
  t.equal(at(Number.POSITIVE_INFINITY), 1);
  t.end();
});

t.test('with aggression the weight rises fast at first; less than a second counts as one', (t) => {
  const options = { windowMs: 16_000, aggression: 2, floor: 0 };
  t.equal(slowStartShare(4_000, options), 0.5);
  t.equal(slowStartShare(1_000, options), 0.25);
  t.equal(slowStartShare(1, options), 0.25);
  t.equal(slowStartShare(4_000, { ...options, aggression: 0.5 }), 1 / 16);
  t.equal(slowStartShare(0, { ...options, windowMs: 500 }), 1, 'a window below a second');
  t.equal(slowStartShare(0, { ...options, windowMs: 0 }), 1, 'no window');
  t.end();
});
