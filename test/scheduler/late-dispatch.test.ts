import t from 'tap';
import { BatchClass } from '../../src/batch/header.js';
import { formatRunId, parseRunId } from '../../src/client/run-id.js';
import type { LogReader } from '../../src/coordinator/task-log.js';
import { dial } from '../../src/rpc/connection.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { appStats } from '../../src/wire/methods.js';
import { Rig } from './rig.js';

t.test('a run that is cancelled while its arguments are read again never starts', async (t) => {
  const rig = new Rig();
  // Reads other than the drivers' own, which come first, are held back while the gate is closed.
  const held: (() => void)[] = [];
  let isOpen = true;
  let asked = (): void => {};
  for (const log of rig.logs.jobs) {
    const read = log.read.bind(log);
    log.read = (offset: number, reader: LogReader) => {
      if (isOpen) return read(offset, reader);
      let subscription = { poke() {}, close() {} };
      let isClosed = false;
      held.push(() => {
        if (!isClosed) subscription = read(offset, reader);
      });
      asked();
      return {
        poke: () => subscription.poke(),
        close: () => {
          isClosed = true;
          subscription.close();
        },
      };
    };
  }
  await rig.startScheduler();
  t.teardown(() => rig.close());
  const client = rig.client();
  const started: number[] = [];
  const worker = rig.worker('shop', {
    work: (args: { n: number }, context) => {
      started.push(args.n);
      if (started.length === 1) throw new Error('the first time');
      return new Promise((_, reject) => context.signal.addEventListener('abort', () => reject(new Error('stopped'))));
    },
  });
  await worker.start();
  t.teardown(() => worker.stop());
  const dead = await client.runs.submit('shop', { processor: 'work', arguments: { n: 1 }, retry: { attemptsMax: 1 } });
  t.equal((await client.runs.result(dead.id)).state, 'DEAD');

  isOpen = false;
  const reading = new Promise<void>((resolve) => {
    asked = resolve;
  });
  // Straight to the log: the client's own verbs would read the arguments, too.
  const { shard, run: deadRun } = parseRunId(dead.id);
  const log = rig.logs.jobs[shard]!;
  const replay = { type: taskd.RecordType.RUN_REPLAY, value: taskd.RunReplay.encode({ run: deadRun }).finish() };
  const [run] = await log.append([replay], BatchClass.CLIENT);
  await reading;
  const cancel = { type: taskd.RecordType.RUN_CANCEL, value: taskd.RunCancel.encode({ run: run! }).finish() };
  const [offset] = await log.append([cancel], BatchClass.CLIENT);
  const connection = await dial(rig.runtime, rig.address!, { clientId: 'asker', kind: 'client' });
  t.teardown(() => connection.close());
  await connection.call(appStats, { shard, appId: 0, atLeast: offset! });
  isOpen = true;
  for (const release of held.splice(0)) release();
  const { state } = await client.runs.result(formatRunId(shard, run!), 5_000);
  t.equal(state, 'CANCELLED');
  t.same(started, [1]);
});
