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
  return `retry.${namePart(group)}.${topic}`;
}

export function deadTopicName(group: string, topic: string): string {
  return `dlq.${namePart(group)}.${topic}`;
}

/**
 * All topics in which retries of the group may lie, first the one that they are stored in. A group with dots was once
 * named plainly, and so perhaps like another one's topic; what lies there is still taken, by the group that it names.
 */
export function retryTopicNames(group: string, topic: string): readonly string[] {
  const name = retryTopicName(group, topic);
  return group.includes('.') ? [name, `retry.${group}.${topic}`] : [name];
}

/** The same of dead letters; with an empty topic, how the names begin. */
export function deadTopicNames(group: string, topic: string): readonly string[] {
  const name = deadTopicName(group, topic);
  return group.includes('.') ? [name, `dlq.${group}.${topic}`] : [name];
}

/**
 * The group as it stands in these names. One with dots has an empty part and their number before it, `retry..1.a.b.c`:
 * else group a.b with topic c and group a with topic b.c would have one topic. Format.
 */
function namePart(group: string): string {
  const dots = group.split('.').length - 1;
  return dots === 0 ? group : `.${dots}.${group}`;
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
