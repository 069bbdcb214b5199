import type { MetricSet } from '../../base/counters.js';
import type { GroupTopics } from './broker-topics.js';
import type { GroupCoordinator } from './coordinator.js';
import { groupLag } from './group-report.js';

/** Rows of the lag on a scrape: the groups that lag most. */
const lagRowsMax = 100;

interface GroupNumbers {
  readonly coordinators: readonly GroupCoordinator[];
  readonly commitsTotal: number;
}

/** Names the numbers of all groups for the scrape. */
export function addGroupMetrics(metrics: MetricSet, groups: GroupNumbers, topics: () => GroupTopics | undefined): void {
  const sum =
    (read: (coordinator: GroupCoordinator) => number): (() => number) =>
    () =>
      groups.coordinators.reduce((total, coordinator) => total + read(coordinator), 0);
  metrics.gauge(
    'groups',
    'Consumer groups',
    sum(({ shard }) => shard.groups.size),
  );
  metrics.gauge(
    'group_members',
    'Members of all consumer groups',
    sum(({ memberCount }) => memberCount),
  );
  metrics.gauge(
    'group_partitions_moving',
    'Partitions on their way from one member to another',
    sum(({ shard }) => {
      let moving = 0;
      for (const group of shard.groups.values()) moving += group.movingCount;
      return moving;
    }),
  );
  metrics.counter(
    'group_rebalances_total',
    'Times that a group got another assignment',
    sum(({ planner }) => planner.rebalancesTotal),
  );
  metrics.counter(
    'group_partitions_moved_total',
    'Partitions that were given to another member',
    sum(({ planner }) => planner.movesTotal),
  );
  metrics.counter('group_commits_total', 'Commits of offsets that came', () => groups.commitsTotal);
  metrics.counter(
    'group_commit_records_total',
    'Records written for commits',
    sum(({ commits }) => commits.recordsTotal),
  );
  metrics.gauge(
    'group_offsets_waiting',
    'Offsets whose commit is not on disk yet',
    sum(({ commits }) => commits.waiting),
  );
  metrics.counter(
    'groups_expired_total',
    'Groups forgotten, unused for too long',
    sum((each) => each.expiredTotal),
  );
  metrics.gauges({
    name: 'group_lag_records',
    help: `Records that a group has still to consume, for the ${lagRowsMax} groups that lag most`,
    label: 'group',
    read: () => {
      const known = topics();
      return known === undefined ? [] : largestLags(groups.coordinators, known);
    },
  });
}

function largestLags(coordinators: readonly GroupCoordinator[], topics: GroupTopics): [string, number][] {
  const lags: [string, number][] = [];
  for (const { shard } of coordinators) {
    for (const group of shard.groups.values()) lags.push([group.name, groupLag(group, topics)]);
  }
  return lags.sort(([, a], [, b]) => b - a).slice(0, lagRowsMax);
}
