import fc from 'fast-check';
import t from 'tap';
import {
  delayedIdText,
  delayLevelFor,
  delayMsMax,
  delayPartition,
  delaySpanMs,
  lastDelayLevel,
  parseDelayedId,
} from '../../src/base/delay-level.js';

t.test('a level is over a second before its record is due, and the next longer one would not be', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: -delayMsMax, max: delayMsMax }), (leftMs) => {
      const level = delayLevelFor(leftMs);
      if (leftMs < 2_000) return level === lastDelayLevel;
      if (delaySpanMs(level) + 1_000 > leftMs) return false;
      return level === lastDelayLevel - 1 || delaySpanMs(level + 1) + 1_000 > leftMs;
    }),
  );
  t.end();
});

t.test('any wait comes to its end in few moves', (t) => {
  let most = 0;
  for (let leftMs = delayMsMax; leftMs > 2_000; leftMs = Math.floor(leftMs * 0.93)) {
    let moves = 0;
    for (let left = leftMs; delayLevelFor(left) !== lastDelayLevel; moves++) left -= delaySpanMs(delayLevelFor(left));
    most = Math.max(most, moves);
  }
  t.ok(most <= 40, `${most} moves`);
  t.end();
});

t.test('ids are texts and back', (t) => {
  const id = { partition: 2, level: 13, offset: 1_234, deliverAtMs: 1_764_120_000_000 };
  t.equal(delayedIdText(id), '2:13:1234:1764120000000');
  t.same(parseDelayedId('2:13:1234:1764120000000'), id);
  for (const text of ['', '1:2:3', '1:2:3:x', '-1:2:3:4', `1:2:3:${'9'.repeat(20)}`, 'x'.repeat(10_000)]) {
    t.throws(() => parseDelayedId(text), /is not the id of a delayed record/);
  }
  t.end();
});

t.test('a target has one partition of delay, and targets spread over them', (t) => {
  const counts = [0, 0, 0, 0];
  for (let topic = 0; topic < 100; topic++) {
    for (let partition = 0; partition < 10; partition++) counts[delayPartition(topic, partition, 4)]!++;
  }
  t.ok(
    counts.every((count) => count > 150),
    counts.join(),
  );
  t.end();
});
