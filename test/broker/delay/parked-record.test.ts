import t from 'tap';
import { delaySpanMs } from '../../../src/base/delay-level.js';
import { parkingLevel } from '../../../src/broker/delay/parked-record.js';

t.test('what is parked waits at most as long again as it is late, between four seconds and 17 minutes', (t) => {
  const levels = [Number.NEGATIVE_INFINITY, 0, 15_999, 16_000, 63_999, 64_000, 256_000, 1_024_000, 1e12].map(
    parkingLevel,
  );
  t.same(levels, [1, 1, 1, 2, 2, 3, 4, 5, 5]);
  t.equal(delaySpanMs(5), 1_024_000);
  t.end();
});
