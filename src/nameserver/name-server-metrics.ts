import type { MetricSet } from '../base/counters.js';
import type { RegistryCore } from './core/registry-core.js';
import type { OwnerInfo } from './core/view-state.js';
import type { Overrides } from './overrides.js';
import type { PeerGate } from './peer-gate.js';
import type { PeerLinks } from './peer-links.js';
import type { WatchSet } from './watch-set.js';

const ownerStates: readonly OwnerInfo['state'][] = ['self', 'alive', 'suspect', 'gone', 'hidden', 'left'];

/** What a scrape reads of a name server. */
export function addNameServerMetrics(
  metrics: MetricSet,
  core: RegistryCore,
  links: PeerLinks,
  gate: PeerGate,
  overrides: Overrides,
  watches: WatchSet,
): void {
  metrics.gauge('nameserver_instances', 'Instances in the merged view', () => core.instanceCount);
  metrics.gauge('nameserver_sessions', 'Connections that hold instances', () => core.sessionCount);
  metrics.gauge('nameserver_watchers', 'Watches open', () => watches.size);
  metrics.counter('nameserver_changes_total', 'Changes in the log of this name server', () => core.sequence);
  metrics.gauge('nameserver_tombstones', 'Deregistrations that are remembered', () => core.tombstoneCount);
  const dropped = 'Deregistrations forgotten for want of room, before everyone knew of them';
  metrics.counter('nameserver_tombstones_dropped_total', dropped, () => core.tombstonesDropped);
  const overfull = 'What other name servers said that there was no room for';
  metrics.counter('nameserver_peer_refused_total', overfull, () => core.refused);
  metrics.counter('nameserver_frames_malformed_total', 'Frames of peers that made no sense', () => core.malformed);
  metrics.gauge('nameserver_ready', '1: this name server answers', () => Number(core.isReady));
  metrics.gauge('nameserver_frozen', '1: cut off from most of the others', () => Number(core.viewState().isFrozen));
  metrics.gauge('nameserver_complete', '1: absence may be believed', () => Number(core.viewState().isComplete));
  metrics.gauge('nameserver_overrides', 'Overrides in force', () => overrides.size);
  metrics.gauges({
    name: 'nameserver_owners',
    help: 'Name servers as this one sees them, by state',
    label: 'state',
    read: () => {
      const owners = core.owners();
      return ownerStates.map((state) => [state, owners.filter((owner) => owner.state === state).length] as const);
    },
  });
  metrics.gauge('nameserver_links_up', 'Links to other name servers that are up', () => links.upCount);
  const queued = 'Bytes that wait in the links to other name servers';
  metrics.gauge('nameserver_links_queued_bytes', queued, () => {
    return links.states().reduce((sum, { queuedBytes }) => sum + queuedBytes, 0);
  });
  const unsent = 'Frames not sent because their link was down or over-full';
  metrics.counter('nameserver_frames_dropped_total', unsent, () => links.framesDropped);
  metrics.counter('nameserver_links_cut_total', 'Links cut because they took too little', () => links.overflows);
  metrics.counter('nameserver_frames_refused_total', 'Frames of peers that broke the rules', () => gate.refused);
}
