import t from 'tap';
import { ErrorCode, TaskdError } from '../../../src/base/errors.js';
import { Committer } from '../../../src/client/consumer/committer.js';
import type { LeaderCaller } from '../../../src/client/consumer/leader-caller.js';
import { OpenPartition } from '../../../src/client/consumer/open-partition.js';

function setUp() {
  const asked: { epoch: number; reject: (error: Error) => void }[] = [];
  const leaders = {
    askCoordinator: (_group: string, _method: unknown, { memberEpoch }: { memberEpoch: number }) =>
      new Promise((_resolve, reject) => asked.push({ epoch: memberEpoch, reject })),
  } as unknown as LeaderCaller;
  const state = { epoch: 5, unknown: 0 };
  const committer = new Committer(leaders, 'g', 'm', {
    partitions: () => [],
    epoch: () => state.epoch,
    unknown: () => {
      state.unknown++;
    },
    refused: () => {},
  });
  const partition = new OpenPartition('orders', 7, 0);
  return { asked, state, commit: () => committer.commitExactly([{ partition, offset: 1 }], 1_000) };
}

const unknown = new TaskdError(ErrorCode.UNKNOWN_MEMBER, 'no such member');

t.test('a member that is not known is told so', async (t) => {
  const { asked, state, commit } = setUp();
  const committed = commit();
  asked[0]!.reject(unknown);
  await t.rejects(committed, { code: ErrorCode.UNKNOWN_MEMBER });
  t.equal(state.unknown, 1);
});

t.test('an answer to an earlier membership does not end the one after it', async (t) => {
  const { asked, state, commit } = setUp();
  const committed = commit();
  state.epoch = 9;
  asked[0]!.reject(unknown);
  await t.rejects(committed, { code: ErrorCode.UNKNOWN_MEMBER });
  t.equal(asked[0]!.epoch, 5);
  t.equal(state.unknown, 0);
});
