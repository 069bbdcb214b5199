import t from 'tap';
import { ErrorCode, Retry, TaskdError } from '../../../src/base/errors.js';
import { GroupSession } from '../../../src/client/consumer/group-session.js';
import type { LeaderCaller } from '../../../src/client/consumer/leader-caller.js';
import { MemberCore } from '../../../src/client/consumer/member-core.js';
import type { StreamEvents } from '../../../src/rpc/caller.js';
import { nodeRuntime } from '../../../src/runtime/node/node-runtime.js';
import type { taskd } from '../../../src/wire/generated/messages.js';
import { ManualClock } from '../../support/manual-clock.js';
import { MemoryLogger } from '../../support/rpc-pair.js';

/** A member whose coordinator refuses each join with `refusal`. */
async function refusedWith(refusal: TaskdError) {
  const clock = new ManualClock();
  const seen = { joins: 0, troubles: [] as TaskdError[], fatal: [] as TaskdError[] };
  const caller = {
    open: (_method: unknown, _request: unknown, _credit: number, events: StreamEvents<taskd.GroupPush>) => {
      seen.joins++;
      clock.defer(() => events.end(refusal));
      return { cancel: () => {}, credit: () => {} };
    },
  };
  const leaders = { coordinator: async () => caller, coordinatorIsStale: () => {} };
  const session = new GroupSession(
    { ...nodeRuntime(new MemoryLogger()), clock },
    leaders as unknown as LeaderCaller,
    new MemberCore(6_000),
    {
      take: () => {},
      release: () => {},
      lose: () => {},
      mayStart: () => {},
      trouble: (error) => void seen.troubles.push(error),
      fatal: (error) => void seen.fatal.push(error),
    },
    {
      group: 'g',
      memberId: 'm',
      instanceId: '',
      topics: ['orders'],
      assignor: 'sticky',
      sessionTimeoutMs: 6_000,
      releaseTimeoutMs: 6_000,
    },
  );
  session.start();
  await clock.settle();
  await clock.advance(25_000);
  return seen;
}

t.test('a group for which there is no room is the end of its member, told at once', async (t) => {
  const { joins, fatal } = await refusedWith(new TaskdError(ErrorCode.QUOTA, 'no room for the group'));
  t.equal(joins, 1);
  t.match(fatal, [{ code: ErrorCode.QUOTA, message: 'no room for the group' }]);
});

t.test('a group that is full for now is asked again, and its member is told', async (t) => {
  const full = new TaskdError(ErrorCode.QUOTA, 'full', { retry: Retry.AFTER, retryAfterMs: 10_000 });
  const { joins, troubles, fatal } = await refusedWith(full);
  t.equal(joins, 3);
  t.equal(troubles.length, 3);
  t.same(fatal, []);
});
