import { ErrorCode, isTaskdError } from '../../base/errors.js';
import { nameLengthMax, runArgumentsBytesMax } from '../../base/limits.js';
import { taskd } from '../../wire/generated/messages.js';
import type { Job, Proposal } from './job-table.js';
import { priorityMax } from './lane.js';
import { runSpec } from './retry-policy.js';

/** Computes a job's fires; `planCron` of src/timer. Throws TaskdError INVALID for an expression or zone it refuses. */
export type Planner = (cron: string, zone: string) => { next(afterMs: number): number | undefined };

/** A fire later than this is missed, no longer late. */
export const misfireMs = 60_000;
/** Missed fires that are counted; beyond it `merged` says "at least so many". */
export const mergedMax = 1_000;
/** Jobs whose cron plans are kept. */
const plansMax = 10_000;

/** The answer to a proposal. */
export type Plan =
  | { readonly accepted: true; readonly nextFireMs: number | undefined }
  | { readonly accepted: false; readonly code: number; readonly message: string };

/** A fire that is due: which, and the next one. */
export interface Fire {
  readonly fireMs: number;
  readonly nextFireMs: number | undefined;
  readonly merged: number;
}

const refuse = (code: number, message: string): Plan => ({ accepted: false, code, message });

/** Judges proposals and computes fires, for the owner only: nothing of this happens in replay. */
export class JobPlanner {
  readonly #planner: Planner;
  readonly #plans: Map<string, ReturnType<Planner>> = new Map<string, ReturnType<Planner>>();

  constructor(planner: Planner) {
    this.#planner = planner;
  }

  judge(job: Job, proposal: Proposal, wallMs: number): Plan {
    if (proposal.put !== undefined) return this.#judgePut(job, proposal.put, wallMs);
    if (!job.isInForce) return refuse(ErrorCode.NOT_FOUND, `there is no job ${job.name}`);
    if (proposal.kind === 'pause') return { accepted: true, nextFireMs: undefined };
    return this.#first(job.put!.cron, job.put!.zone, Math.max(wallMs, job.firedMs));
  }

  /**
   * The planned fire of `job`, which is due. Fires up to a minute late come one after another, each on its own; the
   * ones before are one fire, the planned one, which stands for all of them.
   */
  due(job: Job, wallMs: number): Fire {
    const { cron, zone } = job.put!;
    const plan = this.#plan(cron, zone);
    const fireMs = job.nextFireMs!;
    let nextFireMs = plan.next(fireMs);
    let merged = 0;
    while (nextFireMs !== undefined && nextFireMs < wallMs - misfireMs) {
      if (++merged === mergedMax) {
        nextFireMs = plan.next(wallMs - misfireMs - 1);
        break;
      }
      nextFireMs = plan.next(nextFireMs);
    }
    return { fireMs, nextFireMs, merged };
  }

  #judgePut(job: Job, put: taskd.JobPut, wallMs: number): Plan {
    const inForce = job.isInForce ? job.version : 0;
    if (put.expectedVersion != null && put.expectedVersion !== inForce) {
      const found = job.isInForce ? `it is at version ${job.version}` : 'there is no such job';
      return refuse(
        ErrorCode.CONFLICT,
        `version ${put.expectedVersion} should be replaced, but ${found}; read it again`,
      );
    }
    const problem = putProblem(put);
    if (problem !== '') return refuse(ErrorCode.INVALID, problem);
    // A clock that stepped back must not bring a fire back with a new version of its job.
    const afterMs = job.isInForce ? Math.max(wallMs, job.firedMs) : wallMs;
    const plan = this.#first(put.cron, put.zone, afterMs);
    return plan.accepted && put.paused ? { accepted: true, nextFireMs: undefined } : plan;
  }

  #first(cron: string, zone: string, afterMs: number): Plan {
    if (cron === '') return { accepted: true, nextFireMs: undefined };
    try {
      return { accepted: true, nextFireMs: this.#plan(cron, zone).next(afterMs) };
    } catch (error) {
      if (isTaskdError(error)) return refuse(error.code, error.message);
      throw error;
    }
  }

  #plan(cron: string, zone: string): ReturnType<Planner> {
    const key = `${zone} ${cron}`;
    let plan = this.#plans.get(key);
    if (plan === undefined) {
      plan = this.#planner(cron, zone === '' ? 'UTC' : zone);
      if (this.#plans.size >= plansMax) this.#plans.delete(this.#plans.keys().next().value!);
      this.#plans.set(key, plan);
    }
    return plan;
  }
}

/** What is wrong with a JobPut by itself, its cron, zone and (replay judged it) name aside; empty when it is fine. */
function putProblem(put: taskd.JobPut): string {
  if (put.processor === '' || put.processor.length > nameLengthMax) {
    return `a processor's name has 1 to ${nameLengthMax} characters, not ${put.processor.length}`;
  }
  if (put.arguments.length > runArgumentsBytesMax) {
    return `the arguments have ${put.arguments.length} bytes; at most ${runArgumentsBytesMax} are allowed`;
  }
  if (put.priority > priorityMax) return `priority ${put.priority} is not one of 0 to ${priorityMax}`;
  const retry = put.retry == null ? new Uint8Array(0) : taskd.RetryPolicy.encode(put.retry).finish();
  return runSpec(retry, put.timeoutMs).problem;
}
