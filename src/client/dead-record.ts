import { ErrorCode, TaskdError } from '../base/errors.js';
import type { ConsumerRecord, RecordHeaders } from './consumer/consumer-record.js';
import { type Failure, failureHeader, readFailure } from './consumer/failure.js';

/** A record that its group's consumers could not process. */
export interface DeadRecord extends Failure {
  /** `topic/partition:offset` of where it lies now. */
  readonly id: string;
  /** When it came there. */
  readonly deadAtMs: number;
  readonly key: Buffer | undefined;
  /** Undefined without a value, and with `isValueLeftOut`: then it lies in its first place only. */
  readonly value: Buffer | undefined;
  readonly headers: RecordHeaders;
}

export interface DeadPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** Throws INVALID for a text that is no id of a dead letter. */
export function parseDeadId(text: string): DeadPlace {
  const match = /^(dlq\.[A-Za-z0-9._-]+)\/(\d{1,5}):(\d{1,15})$/.exec(text);
  if (match === null) {
    throw new TaskdError(
      ErrorCode.INVALID,
      `"${text.slice(0, 80)}" is no dead letter of a group: expected dlq.GROUP.TOPIC/partition:offset`,
    );
  }
  return { topic: match[1]!, partition: Number(match[2]), offset: Number(match[3]) };
}

/** The dead letter in a record of a dead-letter topic; undefined for what is none. */
export function deadRecordOf(record: ConsumerRecord): DeadRecord | undefined {
  const note = record.headers[failureHeader];
  const failure = note === undefined ? undefined : readFailure(note);
  if (failure === undefined) return undefined;
  const { [failureHeader]: _, ...headers } = record.headers;
  const id = `${record.topic}/${record.partition}:${record.offset}`;
  return { ...failure, id, deadAtMs: record.timestampMs, key: record.key, value: record.value, headers };
}
