import type { MetricSet } from '../base/counters.js';
import type { LogStats } from '../log/log-keeper.js';
import type { LogStore } from '../log/log-store.js';
import type { Partitions } from './partitions.js';
import type { Scrub } from './scrub.js';

/** Names the numbers of what the logs keep, and of the disk under them. */
export function addLogMetrics(metrics: MetricSet, store: LogStore, partitions: Partitions, scrub: Scrub): void {
  const sum = (read: (stats: LogStats) => number): number => {
    let total = 0;
    for (const { logStats } of partitions.all()) total += read(logStats);
    return total;
  };
  const most = (read: (partition: { unsavedBytes: number }) => number): number => {
    let highest = 0;
    for (const partition of partitions.all()) highest = Math.max(highest, read(partition));
    return highest;
  };
  const { space } = store;
  metrics.gauge('log_bytes', 'Bytes of batches in all logs', () => sum((stats) => stats.bytes));
  metrics.gauge('log_segments', 'Segment files of all logs', () => sum((stats) => stats.segments));
  metrics.counter('log_segments_removed_total', 'Segments that retention and trims took away', () =>
    sum((stats) => stats.segmentsRemoved),
  );
  metrics.counter('log_bytes_removed_total', 'Bytes of these segments', () => sum((stats) => stats.bytesRemoved));
  metrics.counter('log_snapshots_total', 'Snapshots saved of what partitions know', () =>
    sum((stats) => stats.snapshots),
  );
  metrics.gauge('log_unsaved_bytes', 'Bytes since the snapshot of the partition where that is most', () =>
    most((partition) => Math.max(0, partition.unsavedBytes)),
  );
  metrics.gauge('log_read_handles', 'Segment files open for reading', () => store.readHandles);
  metrics.gauge(
    'disk_left_bytes',
    'Free on the disk of the data folder, less what is on its way',
    () => space.leftBytes,
  );
  metrics.gauge('disk_min_free_bytes', "Users' records are refused under so much", () => space.minFreeBytes);
  metrics.gauge('disk_low', "1 while users' records are refused", () => (space.isLow ? 1 : 0));
  metrics.gauge('disk_reserve_bytes', 'In the reserve for what taskd itself must write', () => space.reserveBytes);
  metrics.counter('log_scrub_bytes_total', 'Bytes read again to find rot', () => scrub.bytesRead);
  metrics.counter('log_scrub_rounds_total', 'Times that all full segments were read for it', () => scrub.rounds);
  metrics.counter('log_scrub_gaps_total', 'Stretches of records found lost', () => scrub.gapsFound);
  metrics.counter(
    'log_trash_emptied_total',
    'Deleted topics whose files have left the disk',
    () => store.topicsEmptied,
  );
}
