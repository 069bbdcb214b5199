import t from 'tap';
import { writeStallBytes, writeStallMs } from '../../src/base/limits.js';
import { StallWatch } from '../../src/transport/stall-watch.js';

t.test('nothing waits, or all of it leaves in time: no stall', async (t) => {
  const watch = new StallWatch();
  t.notOk(watch.isStalled(0, 0, 0));
  t.notOk(watch.isStalled(1e6, 0, 0));
  t.notOk(watch.isStalled(1e6 + 1, 0, 50));
  t.notOk(watch.isStalled(1e6 + writeStallMs, 50, 1), 'the 50 left; one more came');
  t.notOk(watch.isStalled(1e6 + 2 * writeStallMs - 1, 50, 1));
  t.ok(watch.isStalled(1e6 + 2 * writeStallMs, 50, 1));
});

t.test('a slow peer goes on, one that takes a byte now and then does not', async (t) => {
  const slow = new StallWatch();
  const trickling = new StallWatch();
  const queued = 100 * writeStallBytes;
  for (let ms = 0; ms < 10 * writeStallMs; ms += 1_000) {
    t.notOk(slow.isStalled(ms, (writeStallBytes * ms) / (writeStallMs - 2_000), queued));
    t.equal(trickling.isStalled(ms, ms / 1_000, queued), ms >= writeStallMs);
  }
});

t.test('our own pause is not held against it', async (t) => {
  const watch = new StallWatch();
  watch.restart(5);
  t.notOk(watch.isStalled(0, 0, 10));
  watch.restart(writeStallMs);
  t.notOk(watch.isStalled(writeStallMs + 1, 0, 10));
  t.ok(watch.isStalled(2 * writeStallMs, 0, 10));
});
