import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { parseRunId } from '../../src/client/run-id.js';
import { dial } from '../../src/rpc/connection.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { getJob, getRun } from '../../src/wire/methods.js';
import { Rig } from './rig.js';

t.test('questions that were given up cost their connection nothing', async (t) => {
  const rig = new Rig();
  await rig.startScheduler();
  t.teardown(() => rig.close());
  const { id } = await rig.client().runs.submit('shop', { processor: 'nobody' });
  const { shard, run } = parseRunId(id);
  const connection = await dial(rig.runtime, rig.address!, { clientId: 'asker', kind: 'client' });
  t.teardown(() => connection.close());
  // More than may run for one peer, twice the calls that it may have in flight.
  for (let round = 0; round < 5; round++) {
    const request = { shard, run, atLeast: run, untilFinal: true };
    const asked = Array.from({ length: 2_000 }, () => connection.call(getRun, request, { deadlineMs: 30 }));
    for (const { status, ...rest } of await Promise.allSettled(asked)) {
      if (status === 'fulfilled' || (rest as { reason: { code: number } }).reason.code !== ErrorCode.DEADLINE) {
        t.fail('a question that should have waited did not');
        return;
      }
    }
  }
  const { message } = await connection.call(getRun, { shard, run, atLeast: run });
  t.equal(message.run?.state, taskd.RunState.READY);
});

t.test('a verdict on what was never proposed is not waited for', async (t) => {
  const rig = new Rig();
  await rig.startScheduler();
  t.teardown(() => rig.close());
  const client = rig.client();
  const { id } = await client.runs.submit('shop', { processor: 'nobody' });
  const { shard } = parseRunId(id);
  const connection = await dial(rig.runtime, rig.address!, { clientId: 'asker', kind: 'client' });
  t.teardown(() => connection.close());
  const request = { shard, appId: 1, name: 'none', decided: 1_000_000 };
  await t.rejects(connection.call(getJob, request), { code: ErrorCode.NOT_FOUND });
});
