import t from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import type { GroupTopics } from '../../../src/broker/groups/broker-topics.js';
import type { GroupCoordinator } from '../../../src/broker/groups/coordinator.js';
import { GroupShard } from '../../../src/broker/groups/core/group-shard.js';
import { HandGroups } from '../../../src/broker/groups/hand-groups.js';
import { OffsetService } from '../../../src/broker/groups/offset-service.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { taskd } from '../../../src/wire/generated/messages.js';

t.test('a reset leaves no offsets for a topic that is deleted while times are looked up', async (t) => {
  const topic = { topicId: 7, name: 'orders', partitions: 2, replicas: 1, internal: false, config: {} };
  let isDeleted = false;
  let found = (_offset: number): void => {};
  const topics: GroupTopics = {
    named: () => topic,
    byId: () => (isDeleted ? undefined : topic),
    has: () => !isDeleted,
    ends: () => ({ start: 0, end: 10, recordsEnd: 10, logEnd: 10 }),
    offsetForTime: () =>
      new Promise((resolve) => {
        found = resolve;
      }),
  };
  let writes = 0;
  const coordinator = {
    refusal: undefined,
    shard: new GroupShard(),
    noRoom: () => undefined,
    byHand: new HandGroups(() => true),
    writeNew: () => {
      writes++;
      return Promise.resolve({});
    },
  } as unknown as GroupCoordinator;
  const service = new OffsetService({} as Runtime, topics);
  const request = taskd.ResetOffsetsRequest.create({
    group: 'workers',
    topic: 'orders',
    partitions: [1],
    to: taskd.ResetTo.RESET_TO_TIME,
    timeMs: 5,
  });
  const ask = () => service.reset(coordinator, request as taskd.ResetOffsetsRequest, 'c');
  const first = ask();
  found(3);
  t.match(await first, { changes: [{ topicId: 7, partition: 1, to: 3 }] });
  t.equal(writes, 1);
  const second = ask();
  isDeleted = true;
  found(4);
  await t.rejects(second, { code: ErrorCode.NOT_FOUND });
  t.equal(writes, 1);
});
