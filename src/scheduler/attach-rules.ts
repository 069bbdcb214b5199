import { nameLengthMax } from '../base/limits.js';
import type { taskd } from '../wire/generated/messages.js';

/** Leases and processors of one worker. */
export const capacityMax = 4_096;
export const processorsMax = 1_000;

/** What is wrong with a worker that wants to attach, or undefined. */
export function attachProblem(request: taskd.AttachRequest): string | undefined {
  const { workerId, processors, capacity } = request;
  if (workerId === '' || Buffer.byteLength(workerId) > nameLengthMax) {
    return `the worker id has ${Buffer.byteLength(workerId)} bytes; 1 to ${nameLengthMax} are allowed`;
  }
  if (capacity < 1 || capacity > capacityMax) return `the capacity is ${capacity}; 1 to ${capacityMax} are allowed`;
  if (processors.length > processorsMax) {
    return `there are ${processors.length} processors; at most ${processorsMax} are allowed`;
  }
  const long = processors.find((name) => Buffer.byteLength(name) > nameLengthMax);
  if (long !== undefined) return `a processor's name has more than ${nameLengthMax} bytes`;
  return undefined;
}
