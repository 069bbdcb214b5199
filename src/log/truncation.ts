/**
 * Cuts the end of a log off its files, so that a crash at any moment leaves a log that begins the same way.
 *
 * The order: the wish is durable in the state journal (`cutTo`), then the later segments are removed, newest first and
 * each durably, then the last one left is cut and synced; only then is the wish forgotten and anything appended. A crash
 * in between is followed by the same cut at the next start: a file that was cut but not synced may come back with
 * zeros in the middle, which nothing else would tell from damage.
 */
import { assert } from '../base/errors.js';
import { type BatchHeader, headerBytes, readHeader } from '../batch/header.js';
import type { FileHandle, Files } from '../runtime/files.js';
import { indexPath, removeIndex } from './index-file.js';
import type { Segment } from './segment.js';
import { readRange } from './segment-scan.js';

/** Where a log can be cut. */
export interface CutPlace {
  /** The one that becomes the last. */
  readonly segment: Segment;
  /** Bytes of it that stay. */
  readonly position: number;
  /** Position of the last batch that stays; 0 when none does. */
  readonly lastPosition: number;
  /** Its header; undefined when nothing stays. */
  readonly lastHeader: BatchHeader | undefined;
}

/**
 * Finds the batch boundary `end`; undefined when there is none. The segments of the log, at least one, must hold
 * all batches up to there.
 */
export async function findCut(files: Files, segments: readonly Segment[], end: number): Promise<CutPlace | undefined> {
  let index = segments.length - 1;
  while (index > 0 && segments[index]!.base >= end) index--;
  const segment = segments[index]!;
  if (segment.base > end) return undefined;
  if (segment.base === end) return { segment, position: 0, lastPosition: 0, lastHeader: undefined };
  const handle = await files.open(segment.path, 'read');
  try {
    return await stepTo(handle, segment, end);
  } finally {
    await handle.close();
  }
}

async function stepTo(handle: FileHandle, segment: Segment, end: number): Promise<CutPlace | undefined> {
  for (let at = segment.index.find(end - 1); ; ) {
    const header = readHeader(await readRange(handle, at, at + headerBytes), 0);
    if (typeof header === 'string') return undefined;
    const next = at + header.length;
    const batchEnd = header.baseOffset + header.recordCount;
    if (batchEnd === end) return { segment, position: next, lastPosition: at, lastHeader: header };
    if (batchEnd > end) return undefined;
    at = next;
  }
}

/**
 * Cuts the files; durable when it resolves, with the segments that were removed. `segments` loses them, and its last one has its file open for
 * writing. The caller has stopped everything that writes to them or changes the list.
 */
export async function cutFiles(files: Files, folder: string, segments: Segment[], place: CutPlace): Promise<Segment[]> {
  const removed: Segment[] = [];
  assert(segments.includes(place.segment), 'a log is cut in a segment that it has');
  while (segments.at(-1) !== place.segment) {
    const last = segments.at(-1)!;
    await last.handle?.close();
    last.handle = undefined;
    if (await files.exists(last.path)) {
      await removeIndex(files, indexPath(last.path));
      await files.remove(last.path);
      await files.syncFolder(folder);
    }
    segments.pop();
    removed.push(last);
  }
  const last = place.segment;
  last.handle ??= await files.open(last.path, 'write');
  await last.handle.truncate(place.position);
  await last.handle.dataSync();
  await files.syncFolder(folder);
  last.end = last.synced = last.size = place.position;
  last.lastPosition = place.lastPosition;
  last.lastTimestampMs = place.lastHeader?.appendTimestamp;
  last.isIndexStored = last.isIndexLoaded = false;
  last.index.cut(place.position);
  last.indexedFrom = Math.min(last.indexedFrom, place.position);
  if (place.position === 0) last.firstTimestampMs = undefined;
  return removed;
}
