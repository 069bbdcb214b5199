import t from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import { control } from '../../../src/cli/control.js';
import type { ControlClient } from '../../../src/cli/control-client.js';
import { Consumer } from '../../../src/client/consumer/consumer.js';
import type { ConsumerOptions, LostData } from '../../../src/client/consumer/consumer-options.js';
import { nodeRuntime } from '../../../src/runtime/node/node-runtime.js';
import { type DamagedBroker, damagedBroker, spoil } from '../../support/damaged-broker.js';
import { fakeClient } from '../../support/fake-control-client.js';
import { noNameServers } from '../../support/fake-name-servers.js';
import { MemoryLogger } from '../../support/rpc-pair.js';

t.test('lost data stops the partition and says what to do, or is skipped as told', async (t) => {
  const { client, runtime, offsets } = await damagedBroker(t, ['one', 'two', 'three'], spoil('two'));
  const lostOffset = offsets[1]!;
  const network = { runtime, callers: client.connections, topics: client.topics };
  const consume = async (options: Partial<ConsumerOptions>): Promise<string[]> => {
    const seen: string[] = [];
    const consumer = new Consumer(network, { topics: ['words'], stopAtEnd: true, ...options });
    await consumer.run((record) => void seen.push(record.text()));
    return seen;
  };
  await t.rejects(consume({}), { code: ErrorCode.DATA_LOSS, message: /words\/0 is not consumed.*taskctl log inspect/ });
  const told: LostData[] = [];
  const skip = (lost: LostData) => {
    told.push(lost);
    return 'skip' as const;
  };
  t.same(await consume({ onDataLoss: skip }), ['one', 'three']);
  t.match(told, [{ topic: 'words', partition: 0, from: lostOffset, to: lostOffset + 1 }]);
});

t.test('taskctl goes on behind what was given up, and behind other losses when told to', async (t) => {
  const runtime = nodeRuntime(new MemoryLogger());
  const taskctl = async (argv: string[], client: Partial<ControlClient> = {}) => {
    const ended = { code: -1, out: '', err: '' };
    ended.code = await control(argv, {
      nowMs: 0,
      environment: {},
      lines: async function* () {},
      files: runtime.files,
      onStop: () => {},
      sink: { out: (text) => void (ended.out += text), err: (text) => void (ended.err += text) },
      nameServers: noNameServers,
      connect: () => Promise.resolve({ ...fakeClient([]), ...client }),
    });
    return ended;
  };
  const consume = (broker: DamagedBroker, ...flags: string[]) => {
    const network = { runtime, callers: broker.client.connections, topics: broker.client.topics };
    const consumer = (options: ConsumerOptions) => new Consumer(network, options);
    return taskctl(['consume', 'words', ...flags], { consumer });
  };
  const lost = await damagedBroker(t, ['one', 'two', 'three'], spoil('two'));
  const stopped = await consume(lost);
  t.match(stopped, { code: 1, out: 'one\n', err: /words\/0 is not consumed.*are gone.*; --skip-lost goes on behind/ });
  t.notMatch(stopped.err, /onDataLoss/);
  const inGroup = await consume(lost, '--group', 'g');
  t.match(inGroup, { code: 1, out: 'one\n', err: /words\/0 is not consumed.*--skip-lost/ });
  t.match(await consume(lost, '--skip-lost'), { code: 0, out: 'one\nthree\n', err: /are gone/ });

  const mended = await damagedBroker(t, ['one', 'two', 'three'], async (path) => {
    spoil('two')(path);
    const [, folder, topicId] = /^(.*)\/data\/(\d+)\//.exec(path)!;
    t.match(await taskctl(['log', 'repair', folder!, '--partition', `${topicId}/0`, '--keep']), { code: 0 });
  });
  const gone = await consume(mended);
  t.match(gone, { code: 0, out: 'one\nthree\n', err: /were given up with "taskctl log repair"/ });
});
