import { ErrorCode, TaskdError } from '../base/errors.js';
import { nameLengthMax } from '../base/limits.js';

const allowed = /^[A-Za-z0-9._-]+$/;

/** True for names of topics that only brokers make, write, change and delete. */
export function isBrokersName(name: string): boolean {
  return name.startsWith('__');
}

/** True for names that belong to taskd itself: only its own processes create such topics. */
export function isInternalName(name: string): boolean {
  return isBrokersName(name) || name.startsWith('taskd.');
}

/**
 * True for names of topics that take records which have nowhere else to go: those that consumers could not process
 * (`retry.`, `dlq.`, see `client/consumer/retry-ladder.ts`), and taskd's own.
 */
export function hasReserve(name: string): boolean {
  return isInternalName(name) || name.startsWith('retry.') || name.startsWith('dlq.');
}

/** Throws INVALID for what can't be the name of a topic. */
export function checkTopicName(name: string): void {
  if (name.length === 0 || name.length > nameLengthMax) {
    throw invalid(`a topic's name has 1 to ${nameLengthMax} characters, this one ${name.length}`);
  }
  if (!allowed.test(name)) throw invalid(`topic ${JSON.stringify(name)}: a name has letters, digits, ".", "_" and "-"`);
  if (name === '.' || name === '..') throw invalid(`"${name}" can't be the name of a topic`);
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, message);
}
