/**
 * What a record carries on its way up the retry ladder and among the dead letters: where it came from, and what went
 * wrong. It is one header, `taskd.failure`, whose value is JSON.
 */
export const failureHeader = 'taskd.failure';

export interface Failure {
  /** Whose consumers failed: names of topics alone could be those of two groups. */
  readonly group: string;
  /** Where the record was first stored. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Tries that failed. */
  readonly attempts: number;
  readonly firstError: string;
  readonly lastError: string;
  readonly firstFailedAtMs: number;
  readonly lastFailedAtMs: number;
  /** The dead letter that was replayed, as `topic/partition:offset`. */
  readonly replayOf?: string;
  /** The record was too large to be stored again with this header: its value is in its first place only. */
  readonly isValueLeftOut?: true;
}

/** Characters of an error's text that are kept. */
const errorLengthMax = 500;

/** Another try failed. `before` is what the record carried so far. */
export function failedAgain(
  before: Failure | undefined,
  group: string,
  place: { readonly topic: string; readonly partition: number; readonly offset: number },
  error: string,
  nowMs: number,
): Failure {
  const text = error.slice(0, errorLengthMax);
  return {
    group,
    topic: place.topic,
    partition: place.partition,
    offset: place.offset,
    attempts: (before?.attempts ?? 0) + 1,
    firstError: before?.firstError ?? text,
    lastError: text,
    firstFailedAtMs: before?.firstFailedAtMs ?? nowMs,
    lastFailedAtMs: nowMs,
  };
}

export function writeFailure(failure: Failure): Uint8Array {
  return Buffer.from(JSON.stringify(failure), 'utf8');
}

/** What a `taskd.failure` header says; undefined when it isn't one, whatever the bytes. */
export function readFailure(bytes: Uint8Array): Failure | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const fields = parsed as Record<string, unknown>;
  const { group, topic, firstError, lastError } = fields;
  if (typeof group !== 'string' || typeof topic !== 'string') return undefined;
  if (typeof firstError !== 'string' || typeof lastError !== 'string') return undefined;
  const { partition, offset, attempts, firstFailedAtMs, lastFailedAtMs } = fields;
  if (!isCount(partition) || !isCount(offset) || !isCount(attempts)) return undefined;
  if (!isCount(firstFailedAtMs) || !isCount(lastFailedAtMs)) return undefined;
  return {
    group,
    topic,
    partition,
    offset,
    attempts,
    firstError,
    lastError,
    firstFailedAtMs,
    lastFailedAtMs,
    ...(typeof fields['replayOf'] === 'string' ? { replayOf: fields['replayOf'] } : {}),
    ...(fields['isValueLeftOut'] === true ? { isValueLeftOut: true } : {}),
  };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** What a handler threw, as a text for people. */
export function describeError(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message === '' ? thrown.name : `${thrown.name}: ${thrown.message}`;
  return String(thrown);
}
