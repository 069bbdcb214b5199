import { headerBytes, readHeader } from '../batch/header.js';
import type { ReplicaState } from './replica-state.js';
import type { Segment } from './segment.js';
import { readRange } from './segment-scan.js';

/**
 * Leaves the last segment of a log so that the next start need not read it: cut to its last batch, and synced. `state`
 * says so then; it is the caller's to put into the journal. Everything up to `end` is on disk; the segment is open for
 * writing.
 */
export async function leaveClean(last: Segment, end: number, state: ReplicaState): Promise<void> {
  const handle = last.handle!;
  if (last.size > last.end) await handle.truncate(last.end);
  last.size = last.end;
  await handle.dataSync();
  const { base: segmentBase, end: segmentBytes, lastPosition } = last;
  const header = readHeader(await readRange(handle, lastPosition, lastPosition + headerBytes), 0);
  state.recoveryPoint = end;
  state.point = { segmentBase, position: lastPosition };
  if (typeof header === 'string') return;
  state.clean = { end, segmentBase, segmentBytes, lastPosition, lastHeaderCrc: header.headerCrc };
}
