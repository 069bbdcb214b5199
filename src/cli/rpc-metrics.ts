import type { MetricSet } from '../base/counters.js';
import type { Connections } from '../rpc/connections.js';
import type { RpcServer } from '../rpc/server.js';
import type { RpcStats } from '../rpc/stats.js';
import type { RegionStats } from '../runtime/file-region.js';
import type { BackgroundReadStats } from '../runtime/files.js';

type Row = readonly [field: keyof RpcStats, kind: 'counter' | 'gauge', name: string, help: string];

const rows: readonly Row[] = [
  ['connectionsOpen', 'gauge', 'rpc_connections', 'Connections past their hello'],
  ['connectionsPending', 'gauge', 'rpc_connections_pending', 'Connections whose hello is not through'],
  ['connectionsAccepted', 'counter', 'rpc_connections_accepted_total', 'Connections accepted'],
  ['connectionsAborted', 'counter', 'rpc_connections_aborted_total', 'Connections cut: rules, silence, stalls'],
  ['connectionsEvicted', 'counter', 'rpc_connections_evicted_total', 'Pending connections that made room'],
  ['connectionsRefused', 'counter', 'rpc_connections_refused_total', 'Connections reset: there were too many'],
  ['wrongProtocol', 'counter', 'rpc_wrong_protocol_total', 'Connections that spoke something else'],
  ['calls', 'counter', 'rpc_calls_total', 'Calls'],
  ['oneways', 'counter', 'rpc_oneways_total', 'Requests without an answer'],
  ['streams', 'counter', 'rpc_streams_total', 'Streams opened'],
  ['pushes', 'counter', 'rpc_pushes_total', 'Pushes on streams'],
  ['errors', 'counter', 'rpc_errors_total', 'Calls answered with an error'],
  ['expired', 'counter', 'rpc_expired_total', 'Calls dropped because their deadline had passed'],
  ['cancelled', 'counter', 'rpc_cancelled_total', 'Calls given up by their caller'],
  ['refused', 'counter', 'rpc_refused_total', 'Calls refused because too many were in flight'],
];

/** Names the numbers of a process's server, and what its connections to others count. */
export function addRpcMetrics(metrics: MetricSet, server: RpcServer, connections: Connections): void {
  for (const [field, kind, name, help] of rows) metrics[kind](name, help, () => server.stats[field]);
  metrics.counter(
    'rpc_late_answers_total',
    'Answers that nobody waited for any more',
    () => connections.stats.lateAnswers,
  );
}

type RegionRow = readonly [field: keyof RegionStats, kind: 'counter' | 'gauge', name: string, help: string];

const regionRows: readonly RegionRow[] = [
  ['zeroCopyBytes', 'counter', 'net_zero_copy_bytes_total', 'Bytes of files that the kernel sent from the page cache'],
  ['copiedBytes', 'counter', 'net_file_copied_bytes_total', 'Bytes of files that were read and written'],
  [
    'coldReads',
    'counter',
    'net_file_cold_reads_total',
    'Reads of what was not in the page cache when it was to be sent',
  ],
  ['queued', 'gauge', 'net_file_regions_queued', 'Parts of files that wait to leave'],
];

/** Names the numbers of how files leave a process's sockets. */
export function addRegionMetrics(metrics: MetricSet, regions: RegionStats): void {
  for (const [field, kind, name, help] of regionRows) metrics[kind](name, help, () => regions[field]);
}

/** Names the numbers of the reads that give way to syncs. */
export function addBackgroundReadMetrics(metrics: MetricSet, reads: BackgroundReadStats): void {
  metrics.counter('disk_background_read_bytes_total', 'Bytes read by those who can wait', () => reads.bytes);
  metrics.counter(
    'disk_background_read_wait_seconds_total',
    'Time that such reads gave way to writes and syncs',
    () => reads.waitedMs / 1_000,
  );
  metrics.gauge('disk_background_reads_waiting', 'Such reads that have not begun', () => reads.waiting);
  metrics.gauge(
    'disk_background_read_bytes_per_second_max',
    'What such reads may have now, so that syncs are not late; 0: no limit, nobody waits for syncs',
    () => reads.bytesPerSecondMax,
  );
}
