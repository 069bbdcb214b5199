import { nameLengthMax, runArgumentsBytesMax } from '../../base/limits.js';
import type { SubmitFields } from './hot-records.js';
import { priorityMax } from './lane.js';
import { type RunSpec, retryBytesMax } from './retry-policy.js';

/** How far ahead a run may be planned. */
export const aheadMsMax: number = 10 * 366 * 24 * 60 * 60 * 1_000;

/** Why a submit is refused; empty when it is fine. Only what the record itself says. */
export function submitProblem(fields: SubmitFields, spec: RunSpec, appendMs: number): string {
  const processorBytes = fields.processor.end - fields.processor.start;
  if (processorBytes === 0) return 'it names no processor';
  if (processorBytes > nameLengthMax)
    return `the processor's name is too long; at most ${nameLengthMax} bytes are allowed`;
  const argumentBytes = fields.arguments.end - fields.arguments.start;
  if (argumentBytes > runArgumentsBytesMax) {
    return `the arguments have ${argumentBytes} bytes; at most ${runArgumentsBytesMax} are allowed`;
  }
  if (fields.priority > priorityMax) return `priority ${fields.priority} is not one of 0 to ${priorityMax}`;
  if (fields.runAtMs >= 0 && fields.delayMs >= 0) return 'it names both an instant and a delay; give one of them';
  if (fields.runAtMs - appendMs > aheadMsMax || fields.delayMs > aheadMsMax) {
    return 'it should run in more than ten years; that is further ahead than allowed';
  }
  const retryBytes = fields.retry.end - fields.retry.start;
  if (retryBytes > retryBytesMax) {
    return `the retry policy has ${retryBytes} bytes; at most ${retryBytesMax} are allowed`;
  }
  return spec.problem;
}
