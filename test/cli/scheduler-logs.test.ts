import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import type { Broker } from '../../src/broker/broker.js';
import { localLogs } from '../../src/cli/scheduler-logs.js';

await t.test('a known topic whose partitions could not be made says why', async (t) => {
  const asked: unknown[] = [];
  let isFull = true;
  const broker = {
    topics: [{ name: 'taskd.jobs', topicId: 2, partitions: 8 }],
    ensureTopic: async (name: string, partitions: number) => {
      asked.push([name, partitions]);
      if (isFull) throw new TaskdError(ErrorCode.STORAGE_FULL, 'the disk is full');
      return 2;
    },
  } as unknown as Broker;
  const logs = localLogs(broker);
  await t.rejects(logs.ensureTopic('taskd.jobs', 4), { code: ErrorCode.STORAGE_FULL });
  isFull = false;
  t.same(await logs.ensureTopic('taskd.jobs', 4), { topicId: 2, partitions: 8 }, 'the number that it was made with');
  t.same(await logs.ensureTopic('new', 4), { topicId: 2, partitions: 4 });
  t.same(asked, [
    ['taskd.jobs', 8],
    ['taskd.jobs', 8],
    ['new', 4],
  ]);
});
