import { ErrorCode, TaskdError } from '../base/errors.js';
import type { FileHandle } from '../runtime/files.js';
import { findBatches } from './look-ahead.js';
import type { Segment } from './segment.js';
import type { ScanEnd } from './segment-scan.js';
import { above } from './sparse-index.js';

/** Records of a log that are gone for good: of the offsets in [from, to). */
export interface Gap {
  readonly from: number;
  readonly to: number;
  /** The segment in which the batches before it end, or would lie. */
  readonly segmentBase: number;
  /** Where they end. */
  readonly position: number;
  /** Where the batches from `to` on begin in the same segment; undefined: they begin a segment of their own. */
  readonly resume: number | undefined;
  /** A person has given these records up. */
  readonly isGivenUp?: true;
}

/**
 * The gaps of one log, in order: those that a person has decided to live with, and those found since. Found ones are
 * in memory only: the bytes themselves are the record of them.
 */
export class Gaps {
  #gaps: Gap[];

  constructor(gaps: readonly Gap[] = []) {
    this.#gaps = [...gaps].sort((a, b) => a.from - b.from);
  }

  get all(): readonly Gap[] {
    return this.#gaps;
  }

  /** Notes a gap; those that it covers leave. */
  add(gap: Gap): void {
    const rest = this.#gaps.filter((each) => each.to <= gap.from || each.from >= gap.to);
    this.#gaps = [...rest, gap].sort((a, b) => a.from - b.from);
  }

  /** The gap that holds `offset`. */
  at(offset: number): Gap | undefined {
    if (this.#gaps.length === 0) return undefined;
    const gap = this.#gaps[this.#lastFrom(offset)];
    return gap !== undefined && offset < gap.to ? gap : undefined;
  }

  /** True for a segment that was left out: it begins inside a gap which ends the segment before it. */
  covers(segmentBase: number): boolean {
    const gap = this.at(segmentBase);
    return gap !== undefined && gap.resume === undefined && gap.segmentBase !== segmentBase;
  }

  /** True when a gap ends the batches of a segment at `position` or before. */
  endBefore(segmentBase: number, position: number): boolean {
    return this.#gaps.some(
      (gap) => gap.segmentBase === segmentBase && gap.resume === undefined && gap.position <= position,
    );
  }

  /** The gap that begins where batches of a segment end. */
  beginningAt(segmentBase: number, end: Pick<ScanEnd, 'position' | 'offset'>): Gap | undefined {
    return this.#gaps.find(
      (gap) => gap.segmentBase === segmentBase && gap.position === end.position && gap.from === end.offset,
    );
  }

  /** Where to begin to look for `offset` in its segment, so that no gap lies between. */
  beginFor(segmentBase: number, offset: number): number {
    const before = this.#gaps[this.#lastFrom(offset)];
    return before !== undefined && before.segmentBase === segmentBase ? (before.resume ?? 0) : 0;
  }

  /** Up to where batches lie without a gap in a segment from the one with `offset` on, if there is one. */
  limitFor(segmentBase: number, offset: number): number | undefined {
    const next = this.#gaps[this.#lastFrom(offset) + 1];
    return next !== undefined && next.segmentBase === segmentBase ? next.position : undefined;
  }

  #lastFrom(offset: number): number {
    return (
      above(
        this.#gaps.map((gap) => gap.from),
        offset,
      ) - 1
    );
  }
}

/**
 * What a reader is told; the hint is `from-to`, so that it can go on at `to`, with `given up` behind it when that was
 * decided.
 */
export function dataLost(gap: Pick<Gap, 'from' | 'to' | 'isGivenUp'>, where: string, remedy: string): TaskdError {
  const { from, to, isGivenUp } = gap;
  const records = `the records from offset ${from} to ${to - 1}`;
  const what =
    isGivenUp === true
      ? `${records} were given up with "taskctl log repair" (${where}); read on from offset ${to}`
      : `${records} are gone (${where}); read on from offset ${to}; ${remedy}`;
  const hint = `${from}-${to}${isGivenUp === true ? ' given up' : ''}`;
  return new TaskdError(ErrorCode.DATA_LOSS, what, { hint });
}

/**
 * What is gone where `end` stopped: up to the next whole batch that this replica put into the segment, else up to
 * `nextBase`, the beginning of the next segment, else undefined: nothing that can be read follows.
 */
export async function gapAfter(
  handle: FileHandle,
  salt: number,
  segment: Segment,
  end: Pick<ScanEnd, 'position' | 'offset' | 'term' | 'timestampMs'>,
  limit: number,
  nextBase: number | undefined,
): Promise<Gap | undefined> {
  const { position, offset: from } = end;
  const place = { from, segmentBase: segment.base, position };
  for await (const found of findBatches(handle, { salt, segmentBase: segment.base }, position, limit)) {
    const { baseOffset, term, appendTimestamp } = found.header;
    if (baseOffset < from || term < end.term || appendTimestamp < end.timestampMs) continue;
    return { ...place, to: baseOffset, resume: found.position };
  }
  return nextBase === undefined ? undefined : { ...place, to: nextBase, resume: undefined };
}
