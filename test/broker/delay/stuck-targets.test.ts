import t from 'tap';
import { StuckTargets, stuckMs } from '../../../src/broker/delay/stuck-targets.js';
import { ManualClock } from '../../support/manual-clock.js';
import { MemoryLogger } from '../../support/rpc-pair.js';

t.test('a target that takes nothing is told of after a while, once an hour, until it takes something', (t) => {
  const clock = new ManualClock();
  const logger = new MemoryLogger();
  const stuck = new StuckTargets(clock, logger);
  const refuse = (afterMs: number): void => {
    clock.ms += afterMs;
    stuck.refused(7, 1, 'the log is damaged');
  };
  refuse(0);
  refuse(stuckMs - 1);
  t.same([stuck.count, logger.lines.length], [0, 0], 'it may be a moment only');
  refuse(1);
  refuse(100);
  t.equal(stuck.count, 1);
  t.match(logger.lines, [
    {
      level: 'warn',
      fields: { topicId: 7, partition: 1, why: 'the log is damaged', stuckMs, remedy: /dlq\.delay/ },
    },
  ]);
  t.equal(logger.lines.length, 1);
  refuse(3_600_000);
  t.equal(logger.lines.length, 2);
  stuck.went(7, 1);
  t.equal(stuck.count, 0);
  refuse(0);
  t.same([stuck.count, logger.lines.length], [0, 2], 'from the beginning');
  t.end();
});
