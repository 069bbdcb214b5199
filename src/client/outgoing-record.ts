import { ErrorCode, TaskdError } from '../base/errors.js';
import { type NewRecord, type RecordHeader, recordProblem } from '../batch/record.js';
import type { Delay } from './delayed.js';

/**
 * A record as a program gives it. Texts go as UTF-8, bytes as they are; for anything else there is `json`. Bytes must
 * not be changed before the call's promise has settled.
 */
export interface OutgoingRecord extends Delay {
  /** Records of the same key keep their order and share a partition. An empty key is a key. */
  readonly key?: string | Uint8Array;
  /** Absent: the record has no value, which readers can tell from an empty one. */
  readonly value?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string | Uint8Array>>;
  /** Where it goes, whatever its key. */
  readonly partition?: number;
}

/** The JSON text of `value` in UTF-8. Throws INVALID for what has none: a function, a cycle, a bigint. */
export function json(value: unknown): Uint8Array {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    // The engine draws a cycle over several lines.
    const [why] = (error instanceof Error ? error.message : String(error)).split('\n', 1);
    throw invalid(`the value has no JSON text (${why}): pass plain data`);
  }
  if (text === undefined) throw invalid(`a ${typeof value} has no JSON text: pass plain data`);
  return Buffer.from(text, 'utf8');
}

/** What goes into a batch. Throws INVALID for a field of the wrong kind and TOO_LARGE above a limit, which it names. */
export function newRecord(record: OutgoingRecord): NewRecord {
  const { key, value, headers } = record;
  const made: { key?: Uint8Array; value?: Uint8Array; headers?: RecordHeader[] } = {};
  if (key !== undefined) made.key = bytesOf(key, 'the key');
  if (value !== undefined) made.value = bytesOf(value, 'the value');
  if (headers !== undefined) {
    if (typeof headers !== 'object' || headers === null) throw invalid('headers are an object of names and values');
    made.headers = Object.entries(headers).map(([name, of]) => ({ name, value: bytesOf(of, `header "${name}"`) }));
  }
  const problem = recordProblem(made);
  if (problem !== undefined) throw new TaskdError(ErrorCode.TOO_LARGE, problem);
  return made;
}

function bytesOf(given: unknown, what: string): Uint8Array {
  if (typeof given === 'string') return Buffer.from(given, 'utf8');
  if (given instanceof Uint8Array) return given;
  const kind = given === null ? 'null' : typeof given;
  throw invalid(`${what} is of type ${kind}: give a string or bytes, or json(value) for anything else`);
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, message);
}
