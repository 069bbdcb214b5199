/**
 * What replay does with the records of jobs. JobPut, JobPause and JobResume are proposals: they queue at their job and
 * count once the owner has answered them, in order, with JobPlanned or JobRefused; so cron is never computed in replay.
 * JobDelete needs no plan and counts at once, for everything that was proposed before it too.
 */
import { ErrorCode } from '../../base/errors.js';
import { taskd } from '../../wire/generated/messages.js';
import type { Job, Proposal } from './job-table.js';
import type { RunMachine } from './run-machine.js';
import { jobPayload, type ShardState } from './shard-state.js';

/** Proposals of one job that wait for the owner. */
const proposalsMax = 1_000;
const accepted = { accepted: true, code: 0, message: '' };

export class JobMachine {
  readonly #state: ShardState;
  readonly #runs: RunMachine;

  constructor(state: ShardState, runs: RunMachine) {
    this.#state = state;
    this.#runs = runs;
  }

  /** JobPut, JobPause or JobResume. False: too many wait already, which is the verdict. */
  proposed(appId: number, name: string, proposal: Proposal): boolean {
    const { jobs } = this.#state;
    const job = jobs.ensure(appId, name);
    if (job.proposals.length >= proposalsMax) {
      this.#decide(proposal.offset, false, ErrorCode.BUSY, `${proposalsMax} changes of this job wait already`);
      return false;
    }
    jobs.propose(job, proposal);
    return true;
  }

  /** JobDelete: runs that haven't started are cancelled, others run to their end. */
  deleted(appId: number, name: string, offset: number, appendMs: number): boolean {
    const { jobs, lanes, specs } = this.#state;
    const job = jobs.find(appId, name);
    if (job === undefined) {
      this.#decide(offset, false, ErrorCode.NOT_FOUND, `there is no job ${name}`);
      return false;
    }
    while (job.proposals.length > 0) {
      this.#decide(jobs.takeProposal(job).offset, false, ErrorCode.SUPERSEDED, 'the job was deleted right after');
    }
    this.#disarm(job);
    const wasInForce = job.isInForce;
    // From the last on, or each one's end would let the next one go.
    for (const id of [...job.live].reverse()) this.#runs.cancelWaiting(id, offset, appendMs);
    if (wasInForce) {
      lanes.release(job.lane);
      specs.release(job.spec);
    }
    jobs.delete(job);
    if (wasInForce) this.#decide(offset, true, 0, '');
    else this.#decide(offset, false, ErrorCode.NOT_FOUND, `there is no job ${name}`);
    return true;
  }

  /** JobPlanned: the oldest proposal counts from now on. */
  planned(message: taskd.JobPlanned): boolean {
    const job = this.#oldest(message.appId, message.name, message.version);
    if (job === undefined) return false;
    const proposal = this.#state.jobs.takeProposal(job);
    if (proposal.put !== undefined) this.#putInForce(job, proposal.put, proposal.offset);
    else job.paused = proposal.kind === 'pause';
    this.#arm(job, message.nextFireMs ?? undefined);
    this.#decide(proposal.offset, true, 0, '');
    return true;
  }

  /** JobRefused: the oldest proposal is dropped. */
  refused(message: taskd.JobRefused): boolean {
    const { jobs } = this.#state;
    const job = this.#oldest(message.appId, message.name, message.version);
    if (job === undefined) return false;
    jobs.takeProposal(job);
    if (job.proposals.length === 0 && !job.isInForce) jobs.delete(job);
    job.refusal = message.message;
    job.refusedVersion = message.version;
    this.#decide(message.version, false, message.code, message.message);
    return true;
  }

  /** RunScheduled: consumes the planned fire and makes the run `id`. */
  scheduled(message: taskd.RunScheduled, id: number, appendMs: number): boolean {
    const job = this.#firing(message.job, message.version, message.fireMs);
    if (job === undefined) return false;
    job.fires++;
    job.firedMs = Math.max(job.firedMs, message.fireMs);
    job.skipped += message.merged;
    this.#arm(job, message.nextFireMs ?? undefined);
    this.#runs.fired(job, id, message.fireMs, appendMs);
    return true;
  }

  /** FireSkipped: consumes the planned fire and makes no run. */
  skipped(message: taskd.FireSkipped): boolean {
    const job = this.#firing(message.job, message.version, message.fireMs);
    if (job === undefined) return false;
    job.skipped += 1 + message.merged;
    job.firedMs = Math.max(job.firedMs, message.fireMs);
    this.#arm(job, message.nextFireMs ?? undefined);
    return true;
  }

  #oldest(appId: number, name: string, version: number): Job | undefined {
    const job = this.#state.jobs.find(appId, name);
    return job?.proposals[0]?.offset === version ? job : undefined;
  }

  #firing(generation: number, version: number, fireMs: number): Job | undefined {
    const job = this.#state.jobs.byGeneration(generation);
    return job?.version === version && job.nextFireMs === fireMs ? job : undefined;
  }

  #putInForce(job: Job, put: taskd.JobPut, version: number): void {
    const { jobs, lanes, specs } = this.#state;
    const lane = lanes.internName(job.appId, put.processor);
    const retry = put.retry == null ? new Uint8Array(0) : taskd.RetryPolicy.encode(put.retry).finish();
    const spec = specs.intern(retry, 0, retry.length, put.timeoutMs);
    if (job.isInForce) {
      lanes.release(job.lane);
      specs.release(job.spec);
    } else {
      jobs.create(job, version);
      job.firedMs = Number.NEGATIVE_INFINITY;
    }
    job.lane = lane;
    job.spec = spec;
    job.put = put;
    job.version = version;
    job.paused = put.paused;
    job.refusal = '';
    job.refusedVersion = undefined;
  }

  #arm(job: Job, nextFireMs: number | undefined): void {
    this.#disarm(job);
    job.nextFireMs = nextFireMs;
    if (nextFireMs !== undefined) job.timer = this.#state.wheel.add(nextFireMs, jobPayload(job.index));
  }

  #disarm(job: Job): void {
    job.nextFireMs = undefined;
    if (job.timer !== 0) this.#state.wheel.cancel(job.timer);
    job.timer = 0;
  }

  #decide(offset: number, isAccepted: boolean, code: number, message: string): void {
    this.#state.verdicts.set(offset, isAccepted ? accepted : { accepted: false, code, message });
    this.#state.observer.decided(offset);
  }
}
