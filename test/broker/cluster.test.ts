import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { Cluster } from '../../src/broker/cluster.js';
import { clusterPartitionsMax, reservedPartitions, topicPartitionsMax } from '../../src/broker/cluster-shard.js';
import { MemoryTaskLog } from '../../src/coordinator/memory-task-log.js';
import { ManualClock } from '../support/manual-clock.js';

t.test('the partitions of all topics are bounded, also after a restart', async (t) => {
  const clock = new ManualClock();
  const log = new MemoryTaskLog(clock);
  const started = async (): Promise<Cluster> => {
    const cluster = new Cluster(log);
    const start = cluster.start();
    await clock.settle();
    await start;
    return cluster;
  };
  const create = async (cluster: Cluster, name: string, partitions: number): Promise<unknown> => {
    const created = cluster.createTopic({ name, partitions, replicas: 1, ifAbsent: false }).catch((error) => error);
    await clock.settle();
    return created;
  };
  const first = await started();
  const topics = clusterPartitionsMax / topicPartitionsMax;
  for (let i = 1; i < topics; i++) await create(first, `t${i}`, topicPartitionsMax);
  t.match(await create(first, 'last', topicPartitionsMax - 1), { name: 'last' });
  t.match(await create(first, 'more', 2), { code: ErrorCode.QUOTA, message: /"more" wants 2 partitions/ });
  first.close();
  const second = await started();
  t.match(await create(second, 'more', 2), { code: ErrorCode.QUOTA });
  t.match(await create(second, 'one', 1), { name: 'one', partitions: 1 });
  t.match(await create(second, 'two', 1), { code: ErrorCode.QUOTA }, 'now all are taken');

  t.match(await create(second, '__delay.1', 4), { name: '__delay.1' }, "the brokers' own are always made");
  const reserved = reservedPartitions;
  t.match(await create(second, 'retry.g.t1', reserved - 1), { name: 'retry.g.t1' }, 'retries have a reserve');
  t.match(await create(second, 'dlq.g.t1', 2), { code: ErrorCode.QUOTA, message: /wants 2 partitions/ });
  t.match(await create(second, 'dlq.g.t1', 1), { name: 'dlq.g.t1' });
  t.match(await create(second, '__delay.2', 4), { name: '__delay.2' });
  second.close();
});
