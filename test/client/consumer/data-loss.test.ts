import t from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import { Consumer } from '../../../src/client/consumer/consumer.js';
import type { ConsumerOptions, LostData } from '../../../src/client/consumer/consumer-options.js';
import { damagedBroker, spoil } from '../../support/damaged-broker.js';

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
