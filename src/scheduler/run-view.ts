import type { StoredRecord } from '../batch/record.js';
import { taskd } from '../wire/generated/messages.js';
import { argumentsOf } from './core/shard-core.js';
import type { JobSnapshot, RunSnapshot } from './core/snapshots.js';

type RunView = taskd.RunView.$Properties;

/** A run without what stands only in the log: arguments, result, error. */
export function runView(shard: number, app: string, run: RunSnapshot): RunView {
  return {
    shard,
    app,
    run: run.run,
    job: run.job,
    processor: run.processor,
    state: run.state,
    attempt: run.attempt,
    attemptsMax: run.attemptsMax,
    lost: run.lost,
    dueMs: run.dueMs,
    createdMs: run.createdMs,
    startedMs: run.startedMs,
    endedMs: run.endedMs,
    workerId: run.workerId,
    priority: run.priority,
    waitsFor: run.waitsFor,
  };
}

type ReadRecord = (offset: number) => Promise<StoredRecord | undefined>;

/** A run with everything, read from the log where needed. Records that are gone leave their fields empty. */
export async function wholeRunView(shard: number, app: string, run: RunSnapshot, read: ReadRecord): Promise<RunView> {
  const view = runView(shard, app, run);
  const [origin, source, cause] = await Promise.all([
    run.isReplay ? read(run.run) : undefined,
    run.argumentsAt < 0 ? undefined : read(run.argumentsAt),
    run.causeAt < 0 ? undefined : read(run.causeAt),
  ]);
  if (origin?.value !== undefined) view.replayOf = taskd.RunReplay.decode(origin.value).run;
  if (source !== undefined) view.arguments = argumentsOf(source);
  if (cause !== undefined) describeCause(view, cause);
  return view;
}

/** Result and error as the record says that ended the run's last attempt. */
function describeCause(view: RunView, cause: StoredRecord): void {
  const value = cause.value ?? new Uint8Array(0);
  switch (cause.type) {
    case taskd.RecordType.RUN_REPORT: {
      const report = taskd.RunReport.decode(value);
      view.result = report.result;
      view.error = report.error;
      break;
    }
    case taskd.RecordType.RUN_REFUSED:
      view.error = taskd.RunRefused.decode(value).message;
      break;
    case taskd.RecordType.LEASE_LOST:
      view.error = 'the lease was lost: its worker was not heard of any more';
      break;
    case taskd.RecordType.ATTEMPT_TIMED_OUT:
      view.error = 'the time of the attempt was over';
      break;
    case taskd.RecordType.RUN_CANCEL:
      view.error = 'cancelled before it started';
      break;
    default:
      break;
  }
}

/** A job; `arguments` are left out of lists, which would not fit in a frame with them. */
export function jobView(
  shard: number,
  app: string,
  job: JobSnapshot,
  withArguments: boolean,
): taskd.JobView.$Properties {
  return {
    shard,
    app,
    name: job.name,
    generation: job.generation,
    version: job.version,
    processor: job.processor,
    cron: job.cron,
    zone: job.zone,
    retry: { attemptsMax: job.attemptsMax, delaysMs: [...job.delaysMs] },
    timeoutMs: job.timeoutMs,
    priority: job.priority,
    paused: job.paused,
    nextFireMs: job.nextFireMs ?? null,
    fires: job.fires,
    skipped: job.skipped,
    refusal: job.refusal,
    refusedVersion: job.refusedVersion ?? null,
    ...(withArguments ? { arguments: job.arguments } : {}),
  };
}
