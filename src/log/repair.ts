/**
 * What a person decides about records that are gone. No byte is destroyed: what is left out stays in its file, or its
 * file gets another name.
 */
import { ErrorCode, TaskdError } from '../base/errors.js';
import type { Files } from '../runtime/files.js';
import type { Examination } from './examination.js';
import type { Gap } from './gaps.js';
import { Gaps } from './gaps.js';
import { readGaps, writeGaps } from './gaps-file.js';
import { segmentBase, segmentName } from './segment.js';

/**
 * `keep`: what follows the gap is read on. `cut`: the log ends before the first gap, and what follows is left out.
 */
export type Decision = 'keep' | 'cut';

/**
 * Where the end itself is gone, offsets were acknowledged that nobody knows any more, at most those of the second since
 * the recovery point was stored. So many are left out, so that none of them ever gets another record.
 */
export const unknownEndOffsets = 1_000_000;

/** What a decision would do, before it is done. */
export interface RepairPlan {
  readonly gaps: readonly Gap[];
  /** Offset of the next record, where a new segment begins; undefined when the log goes on where it ends. */
  readonly newSegment: number | undefined;
  /** Segment files that are left out. */
  readonly leftOut: readonly string[];
}

/** Throws INVALID when there is nothing to decide, or nothing that a decision could mend. */
export function planRepair(examination: Examination, decision: Decision): RepairPlan {
  const { faults, problem, segments, state, end } = examination;
  if (problem !== undefined) throw new TaskdError(ErrorCode.INVALID, `this log can't be repaired: ${problem}`);
  const open = faults.filter((fault) => !fault.isRecorded);
  const first = open[0];
  const last = open.at(-1);
  if (first === undefined || last === undefined) {
    throw new TaskdError(ErrorCode.INVALID, 'there is nothing to repair: no record of this log is gone');
  }
  const next = Math.max(end, state.recoveryPoint) + (last.isEnd ? unknownEndOffsets : 0);
  if (decision === 'cut') {
    const { gap } = first;
    const leftOut = segments.filter(({ base }) => base > gap.segmentBase && base >= gap.from).map(({ path }) => path);
    return { gaps: [{ ...gap, to: next, resume: undefined }], newSegment: next, leftOut };
  }
  const gaps = open.map(({ gap, isEnd }) => (isEnd ? { ...gap, to: next } : gap));
  return { gaps, newSegment: last.isEnd ? next : undefined, leftOut: [] };
}

/**
 * Does what was planned; durable when it resolves, and then the log takes appends at the next start. A crash in
 * between leaves the log as damaged as it was, or repaired.
 */
export async function repairLog(files: Files, folder: string, plan: RepairPlan): Promise<void> {
  if (plan.newSegment !== undefined) {
    const path = `${folder}/${segmentName(plan.newSegment)}`;
    if (!(await files.exists(path))) await (await files.open(path, 'create')).close();
    const handle = await files.open(path, 'write');
    await handle.dataSync();
    await handle.close();
    await files.syncFolder(folder);
  }
  const recorded = await readGaps(files, folder);
  const gaps = new Gaps(recorded === 'damaged' ? [] : recorded);
  for (const gap of plan.gaps) gaps.add(gap);
  await writeGaps(files, folder, gaps.all);
  // From here on they lie inside a gap and are passed over; another name only says so.
  for (const path of plan.leftOut) {
    if (segmentBase(path.slice(path.lastIndexOf('/') + 1)) !== plan.newSegment) await files.rename(path, `${path}.cut`);
  }
  await files.syncFolder(folder);
}
