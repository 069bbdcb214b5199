import t from 'tap';
import { LiveTime, tickMs } from '../../../src/nameserver/core/live-time.js';

t.test('time passes with the inputs; what passes without any does not count', (t) => {
  const time = new LiveTime(1_000);
  t.equal(time.observe(1_000 + tickMs), 0);
  t.equal(time.observe(1_000 + 3 * tickMs), 0, 'a little late is on time');
  t.equal(time.nowMs, 1_000 + 3 * tickMs);
  t.equal(time.observe(1_000 + 3 * tickMs + 30_000), 30_000 - tickMs);
  t.equal(time.nowMs, 1_000 + 4 * tickMs, 'a tick of it counts');
  t.equal(time.realMs, 1_000 + 3 * tickMs + 30_000);
  t.equal(time.skippedMs, 30_000 - tickMs);
  t.equal(time.resumedMs, time.nowMs);
  t.equal(time.observe(5_000), 0, 'a clock that goes back is ignored');
  t.equal(time.nowMs, 1_000 + 4 * tickMs);
  t.end();
});
