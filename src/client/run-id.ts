import { ErrorCode, TaskdError } from '../base/errors.js';

/** A run's place: the shard, and the offset of the record that made it. In text `shard:offset`. */
export interface RunPlace {
  readonly shard: number;
  readonly run: number;
}

export function formatRunId(shard: number, run: number): string {
  return `${shard}:${run}`;
}

/** Throws INVALID for a text that is no run id. */
export function parseRunId(text: string): RunPlace {
  const match = /^(\d{1,9}):(\d{1,16})$/.exec(text);
  const run = Number(match?.[2]);
  if (match === null || !Number.isSafeInteger(run)) {
    throw new TaskdError(ErrorCode.INVALID, `"${text}" is no run id: expected shard:offset, such as 3:1042`);
  }
  return { shard: Number(match[1]), run };
}
