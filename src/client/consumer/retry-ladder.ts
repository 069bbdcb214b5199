/**
 * Where a record goes that could not be processed, and when it comes back:
 * ```
 *   orders ── fails ──► retry.G.orders, due after delay 1 ── fails ──► … after delay n ── fails ──► dlq.G.orders
 * ```
 * Both topics belong to one group G, so that one group's poison is nobody else's, and have as many partitions as the
 * topic had when they were made.
 */
import { ErrorCode, TaskdError } from '../../base/errors.js';
import { nameLengthMax } from '../../base/limits.js';

/** A dead letter is kept so long, unless its topic is altered. */
export const deadLettersKeptMs: number = 30 * 86_400_000;

export function retryTopicName(group: string, topic: string): string {
  return `retry.${group}.${topic}`;
}

export function deadTopicName(group: string, topic: string): string {
  return `dlq.${group}.${topic}`;
}

/** The wait before the next try after `attempts` failed ones; undefined when the record is a dead letter now. */
export function retryDelayMs(delaysMs: readonly number[], attempts: number): number | undefined {
  return delaysMs[attempts - 1];
}

/** What topics may be called. */
const legalName = /^[A-Za-z0-9._-]+$/;

/** Throws INVALID when the retry topics of a group for a topic would have no legal names. */
export function checkRetryNames(group: string, topic: string): void {
  const name = retryTopicName(group, topic);
  const remedy = 'choose other names for group and topic, or consume without retries (retry: false)';
  if (name.length > nameLengthMax) {
    const length = `${name.length} characters; at most ${nameLengthMax} are allowed`;
    throw new TaskdError(ErrorCode.INVALID, `the retry topic "${name}" would have ${length}: ${remedy}`);
  }
  if (legalName.test(name)) return;
  const allowed = 'a name has letters, digits, ".", "_" and "-"';
  throw new TaskdError(ErrorCode.INVALID, `${JSON.stringify(name)} can't be a retry topic (${allowed}): ${remedy}`);
}
