import type { MetricSet } from '../base/counters.js';
import type { ClusterShard } from './cluster-shard.js';
import type { Partitions } from './partitions.js';

/** Rows on a scrape: the topics that hold most. */
const rowsMax = 100;
const prefix = 'dlq.';

/** Names how much lies in dead-letter topics, so that somebody is told when consumers give up. */
export function addDeadLetterMetrics(metrics: MetricSet, shard: ClusterShard, partitions: Partitions): void {
  metrics.gauges({
    name: 'dead_letter_topic_records',
    help: `Records in the ${rowsMax} largest dead-letter topics, with the notes of what was replayed`,
    label: 'topic',
    read: () => {
      const rows: [string, number][] = [];
      for (const { topicId, name, partitions: count } of shard.topics()) {
        if (!name.startsWith(prefix)) continue;
        let records = 0;
        for (let partition = 0; partition < count; partition++) {
          const found = partitions.find(topicId, partition);
          if (found !== undefined) records += found.highWatermark - found.logStart;
        }
        rows.push([name, records]);
      }
      return rows.sort(([, a], [, b]) => b - a).slice(0, rowsMax);
    },
  });
}
