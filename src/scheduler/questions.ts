import { ErrorCode, TaskdError } from '../base/errors.js';
import type { ServerCall } from '../rpc/service.js';
import type { Clock } from '../runtime/clock.js';
import { taskd } from '../wire/generated/messages.js';
import type { AppDirectory } from './app-directory.js';
import { jobView, runView, wholeRunView } from './run-view.js';
import type { ShardDriver } from './shard-driver.js';

const jobsPageMax = 500;
const runsPageMax = 1_000;

const finalStates: ReadonlySet<taskd.RunState> = new Set([
  taskd.RunState.SUCCEEDED,
  taskd.RunState.CANCELLED,
  taskd.RunState.TIMED_OUT,
  taskd.RunState.DEAD,
  taskd.RunState.REFUSED,
]);

/**
 * Answers clients' questions about one shard from the core's state, at the offset that it has applied. Only the owner
 * answers: another one may be behind.
 */
export class Questions {
  readonly #clock: Clock;
  readonly #apps: AppDirectory;

  constructor(clock: Clock, apps: AppDirectory) {
    this.#clock = clock;
    this.#apps = apps;
  }

  getJob(driver: ShardDriver, request: taskd.GetJobRequest, call: ServerCall<taskd.GetJobResponse.$Properties>): void {
    const answer = (): void => {
      const job = driver.core.job(request.appId, request.name);
      if (job === undefined) call.fail(new TaskdError(ErrorCode.NOT_FOUND, `there is no job "${request.name}"`));
      else {
        const view = jobView(driver.shard, this.#apps.nameOf(request.appId), job, true);
        call.reply({ job: view, applied: driver.core.nextOffset - 1 });
      }
    };
    const proposal = request.decided;
    const atLeast = proposal == null ? request.atLeast : Math.max(request.atLeast ?? 0, proposal);
    this.#applied(driver, atLeast, call, () => {
      if (proposal == null) answer();
      else {
        this.#decided(driver, proposal, call, () => {
          const verdict = driver.core.verdict(proposal);
          if (verdict === undefined || verdict.accepted) answer();
          else call.fail(new TaskdError(verdict.code as ErrorCode, verdict.message));
        });
      }
    });
  }

  listJobs(
    driver: ShardDriver,
    request: taskd.ListJobsRequest,
    call: ServerCall<taskd.ListJobsResponse.$Properties>,
  ): void {
    this.#applied(driver, undefined, call, () => {
      const max = Math.min(request.countMax || jobsPageMax, jobsPageMax);
      const app = this.#apps.nameOf(request.appId);
      const jobs = driver.core.jobs(request.appId, request.after, max + 1);
      const page = jobs.slice(0, max).map((job) => jobView(driver.shard, app, job, false));
      call.reply({ jobs: page, more: jobs.length > max });
    });
  }

  getRun(driver: ShardDriver, request: taskd.GetRunRequest, call: ServerCall<taskd.GetRunResponse.$Properties>): void {
    const answer = (): void => {
      const run = driver.core.run(request.run);
      if (run === undefined) {
        const message = `there is no run ${driver.shard}:${request.run}, or it ended too long ago`;
        call.fail(new TaskdError(ErrorCode.NOT_FOUND, message));
        return;
      }
      const app = this.#apps.nameOf(run.appId);
      wholeRunView(driver.shard, app, run, (offset) => driver.records.at(offset)).then(
        (view) => call.reply({ run: view, applied: driver.core.nextOffset - 1 }),
        (error: unknown) => call.fail(error),
      );
    };
    this.#applied(driver, request.atLeast, call, () => {
      const run = driver.core.run(request.run);
      if (!request.untilFinal || run === undefined || finalStates.has(run.state)) answer();
      else this.#ended(driver, request.run, call, answer);
    });
  }

  listRuns(
    driver: ShardDriver,
    request: taskd.ListRunsRequest,
    call: ServerCall<taskd.ListRunsResponse.$Properties>,
  ): void {
    this.#applied(driver, undefined, call, () => {
      const { runs, nextBefore } = driver.core.runs({
        appId: request.appId,
        states: request.states,
        job: request.job,
        before: request.before ?? undefined,
        max: Math.min(request.countMax || runsPageMax, runsPageMax),
      });
      const app = this.#apps.nameOf(request.appId);
      const views = runs.map((run) => runView(driver.shard, app, run));
      call.reply({ runs: views, nextBefore: nextBefore ?? null });
    });
  }

  appStats(
    driver: ShardDriver,
    request: taskd.AppStatsRequest,
    call: ServerCall<taskd.AppStatsResponse.$Properties>,
  ): void {
    this.#applied(driver, request.atLeast, call, () => {
      const { workers, ...counts } = driver.core.stats(request.appId);
      call.reply({
        ...counts,
        workers: workers.map((worker) => ({
          workerId: worker.workerId,
          incarnation: worker.incarnation,
          capacity: worker.capacity,
          leases: worker.leases,
          processors: [...worker.processors],
          peer: driver.peerOf(worker.sessionId),
        })),
        applied: driver.core.nextOffset - 1,
      });
    });
  }

  // ---- waiting

  #applied<A>(driver: ShardDriver, atLeast: number | null | undefined, call: ServerCall<A>, then: () => void): void {
    if (driver.state !== 'active') call.fail(driver.notOwner());
    else if (atLeast == null || atLeast < driver.core.nextOffset) then();
    else {
      const waiter = waiterOf(call, then);
      giveUp(call, driver.waiters.awaitApplied(atLeast, this.#clock.monotonicMs(), waiter));
      driver.planEffects();
    }
  }

  #decided<A>(driver: ShardDriver, proposal: number, call: ServerCall<A>, then: () => void): void {
    giveUp(call, driver.waiters.awaitDecided(proposal, waiterOf(call, then)));
    driver.core.watchProposal(proposal);
    driver.planEffects();
  }

  #ended<A>(driver: ShardDriver, run: number, call: ServerCall<A>, then: () => void): void {
    giveUp(call, driver.waiters.awaitEnded(run, waiterOf(call, then)));
    driver.core.watchRun(run);
    driver.planEffects();
  }
}

/** Forgets the waiter when its caller has gone. The call counts as running until it is ended, so it is ended then. */
function giveUp<A>(call: ServerCall<A>, forget: () => void): void {
  call.onCancel(() => {
    forget();
    call.fail(new TaskdError(ErrorCode.CANCELLED, 'the caller gave up'));
  });
}

function waiterOf<A>(call: ServerCall<A>, then: () => void): { done(error: TaskdError | undefined): void } {
  return {
    done(error) {
      if (call.isCancelled) return;
      if (error !== undefined) call.fail(error);
      else {
        try {
          then();
        } catch (thrown) {
          call.fail(thrown);
        }
      }
    },
  };
}
