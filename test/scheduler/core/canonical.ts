import type { ShardCore } from '../../../src/scheduler/core/shard-core.js';
import { appId, RunState } from './harness.js';

/** All that the log says, as text. What an owner judges by its clock (due or not) isn't part of it. */
export function canonical(core: ShardCore): string {
  const { runs } = core.runs({ appId, states: [], job: '', before: undefined, max: 1e6 });
  const waiting = new Set([RunState.SCHEDULED, RunState.READY, RunState.RETRY_WAIT]);
  const lines = runs.map((run) =>
    [
      run.run,
      waiting.has(run.state) ? 'waiting' : run.state,
      run.attempt,
      run.lost,
      run.dueMs,
      run.startedMs,
      run.endedMs,
      run.workerId,
      run.token,
      run.causeAt,
      run.argumentsAt,
    ].join(),
  );
  const jobs = core
    .jobs(appId, '', 100)
    .map((job) => [job.name, job.version, job.nextFireMs, job.fires, job.skipped].join());
  return [core.epoch, ...lines, ...jobs].join('\n');
}
