import { ErrorCode, TaskdError } from '../base/errors.js';
import { taskd } from '../wire/generated/messages.js';
import { formatRunId } from './run-id.js';

export type RunState = Exclude<keyof typeof taskd.RunState, 'RUN_STATE_UNSPECIFIED'>;

/** States that nothing leaves any more. A dead run may be replayed, which makes a new run. */
export const finalStates: ReadonlySet<RunState> = new Set<RunState>([
  'SUCCEEDED',
  'CANCELLED',
  'TIMED_OUT',
  'DEAD',
  'REFUSED',
]);

/** A run as its owner saw it when it answered. Times in milliseconds on the wall clock, 0 until they happen. */
export interface Run {
  /** `shard:offset`. */
  readonly id: string;
  readonly app: string;
  /** Empty for a run that was submitted by itself. */
  readonly job: string;
  readonly processor: string;
  readonly state: RunState;
  readonly attempt: number;
  readonly attemptsMax: number;
  /** Leases that ended without a report. */
  readonly lost: number;
  readonly dueMs: number;
  readonly createdMs: number;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly workerId: string;
  readonly priority: number;
  /** Of the last attempt that failed, or why the run was refused. */
  readonly error: string;
  /** The dead run that this one replays. */
  readonly replayOf?: string;
  /** What it waits for, in words. */
  readonly waitsFor: string;
  /** Only when one run was asked for; empty in lists. */
  readonly arguments: Uint8Array;
  readonly result: Uint8Array;
}

const stateNames = new Map<number, RunState>(
  Object.entries(taskd.RunState)
    .filter(([, value]) => typeof value === 'number')
    .map(([name, value]) => [value as number, name as RunState]),
);

export function runOf(view: taskd.RunView): Run {
  return {
    id: formatRunId(view.shard, view.run),
    app: view.app,
    job: view.job,
    processor: view.processor,
    state: stateNames.get(view.state) ?? ('READY' as RunState),
    attempt: view.attempt,
    attemptsMax: view.attemptsMax,
    lost: view.lost,
    dueMs: view.dueMs,
    createdMs: view.createdMs,
    startedMs: view.startedMs,
    endedMs: view.endedMs,
    workerId: view.workerId,
    priority: view.priority,
    error: view.error,
    waitsFor: view.waitsFor,
    // Copies: what was received may be a view of a buffer with much else in it.
    arguments: new Uint8Array(view.arguments),
    result: new Uint8Array(view.result),
    ...(view.replayOf == null ? {} : { replayOf: formatRunId(view.shard, view.replayOf) }),
  };
}

/** The wire's number for a state; throws INVALID for a name that is none. */
export function stateNumber(state: RunState): taskd.RunState {
  for (const [number, name] of stateNames) if (name === state && number !== 0) return number;
  const names = [...stateNames.values()].slice(1).join(', ');
  throw new TaskdError(ErrorCode.INVALID, `"${state}" is no state of a run: one of ${names}`);
}
