import t from 'tap';
import { ErrorCode, TaskdError } from '../../../src/base/errors.js';
import { RetryTopics } from '../../../src/client/consumer/retry-topics.js';
import type { QueueNetwork } from '../../../src/client/topic-producer.js';

/** A cluster with a topic `orders` of 8 partitions and room for so many more. */
function network(room: number) {
  const partitions = new Map([['orders', 8]]);
  const topics = {
    named: async (name: string) => ({ partitions: partitions.get(name) }),
    ask: async (_method: unknown, request: { readonly name: string; readonly partitions: number }) => {
      if (request.partitions > room) throw new TaskdError(ErrorCode.QUOTA, 'no room');
      partitions.set(request.name, request.partitions);
    },
  };
  return { topics } as unknown as QueueNetwork;
}

const producer = { send: () => Promise.reject(new Error('not asked for')) };

t.test('a retry topic has as many partitions as its origin, or one where there is no room for them', async (t) => {
  t.equal(await new RetryTopics(network(8), producer, 'g').partitionsOf('retry.g.orders', 'orders'), 8);
  t.equal(await new RetryTopics(network(1), producer, 'g').partitionsOf('retry.g.orders', 'orders'), 1);
  const full = new RetryTopics(network(0), producer, 'g');
  await t.rejects(full.partitionsOf('retry.g.orders', 'orders'), { code: ErrorCode.QUOTA });
});
