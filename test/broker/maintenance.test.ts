import t from 'tap';
import { silentLogger } from '../../src/base/logger.js';
import { Maintenance } from '../../src/broker/maintenance.js';
import type { Partitions } from '../../src/broker/partitions.js';
import type { LogStore } from '../../src/log/log-store.js';
import { ManualClock } from '../support/manual-clock.js';

t.test('a stop waits for the round that is under way, and nothing more begins', async (t) => {
  const clock = new ManualClock();
  const done: string[] = [];
  let tended: () => void = () => {};
  const store = {
    tend: () =>
      new Promise<void>((resolve) => {
        tended = resolve;
      }),
  } as LogStore;
  const partition = { topicId: 1, partition: 0, maintain: async () => void done.push('a partition') };
  const partitions = { all: () => [partition] } as unknown as Partitions;
  const maintenance = new Maintenance(clock, silentLogger, store, partitions);
  maintenance.start();
  await clock.advance(10_000);
  const stopped = maintenance.stop().then(() => done.push('stopped'));
  await clock.settle();
  t.same(done, []);
  tended();
  await stopped;
  await clock.advance(60_000);
  t.same(done, ['stopped']);
});
