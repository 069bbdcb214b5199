import t from 'tap';
import { groupPartition, groupsTopicPartitions } from '../../src/base/group-partition.js';

t.test('a group has its partition for ever', (t) => {
  const golden: [string, number][] = [
    ['mailers', 2],
    ['a', 4],
    ['billing', 1],
    ['größe', 4],
  ];
  t.same(
    golden.map(([name]) => [name, groupPartition(name, groupsTopicPartitions)]),
    golden,
  );
  const used = new Set(Array.from({ length: 200 }, (_, i) => groupPartition(`group-${i}`, groupsTopicPartitions)));
  t.equal(used.size, groupsTopicPartitions, 'groups spread over all of them');
  t.end();
});
