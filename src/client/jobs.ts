import { ErrorCode, isTaskdError } from '../base/errors.js';
import { taskd } from '../wire/generated/messages.js';
import { getJob, listJobs } from '../wire/methods.js';
import { type Job, jobOf } from './job.js';
import { checkName, type JobDefinition, jobPut } from './job-definition.js';
import type { App, Schedulers } from './schedulers.js';
import type { ShardLog } from './shard-log.js';

const pageMax = 1_000;

/** Jobs of an app. What changes something resolves once its owner has decided, so a later `get` sees it. */
export class Jobs {
  readonly #schedulers: Schedulers;
  readonly #log: ShardLog;

  constructor(schedulers: Schedulers, log: ShardLog) {
    this.#schedulers = schedulers;
    this.#log = log;
  }

  /**
   * Creates the job or replaces its definition. Runs that were made before keep theirs. Rejects with the owner's reason
   * when it refuses (INVALID for a cron or zone that it can't take, CONFLICT for another `expectedVersion`).
   */
  async put(appName: string, name: string, definition: JobDefinition): Promise<Job> {
    jobPut(0, name, definition);
    const app = await this.#schedulers.app(appName, true);
    const value = taskd.JobPut.encode(jobPut(app.appId, name, definition)).finish();
    const offset = await this.#log.append(app, taskd.RecordType.JOB_PUT, value);
    return this.#decided(app, name, offset);
  }

  /** Rejects with NOT_FOUND when there is no such job. */
  async get(appName: string, name: string): Promise<Job> {
    checkName(name, 'the job');
    const app = await this.#schedulers.app(appName, false);
    const { job } = await this.#schedulers.ask(app.shard, getJob, { shard: app.shard, appId: app.appId, name });
    return jobOf(job as taskd.JobView);
  }

  /** The app's jobs by name, from the first one after `after`; at most `limit`, by default all of them. */
  async list(
    appName: string,
    options: { readonly after?: string; readonly limit?: number } = {},
  ): Promise<readonly Job[]> {
    const app = await this.#schedulers.app(appName, false);
    const limit = options.limit ?? Number.POSITIVE_INFINITY;
    const jobs: Job[] = [];
    let after = options.after ?? '';
    while (jobs.length < limit) {
      const countMax = Math.min(limit - jobs.length, pageMax);
      const request = { shard: app.shard, appId: app.appId, countMax, after };
      const answer = await this.#schedulers.ask(app.shard, listJobs, request);
      for (const view of answer.jobs) jobs.push(jobOf(view as taskd.JobView));
      if (!answer.more || answer.jobs.length === 0) break;
      after = jobs.at(-1)!.name;
    }
    return jobs;
  }

  /** No fires until `resume`; those that come due meanwhile are not made up for. Runs that exist go on. */
  async pause(appName: string, name: string): Promise<Job> {
    const app = await this.#known(appName, name);
    const value = taskd.JobPause.encode({ appId: app.appId, name }).finish();
    return this.#decided(app, name, await this.#log.append(app, taskd.RecordType.JOB_PAUSE, value));
  }

  async resume(appName: string, name: string): Promise<Job> {
    const app = await this.#known(appName, name);
    const value = taskd.JobResume.encode({ appId: app.appId, name }).finish();
    return this.#decided(app, name, await this.#log.append(app, taskd.RecordType.JOB_RESUME, value));
  }

  /** The job fires no more; its runs go on. Rejects with NOT_FOUND when there is no such job. */
  async remove(appName: string, name: string): Promise<void> {
    const app = await this.#known(appName, name);
    const value = taskd.JobDelete.encode({ appId: app.appId, name }).finish();
    const offset = await this.#log.append(app, taskd.RecordType.JOB_DELETE, value);
    try {
      await this.#decided(app, name, offset);
    } catch (error) {
      if (!isTaskdError(error, ErrorCode.NOT_FOUND)) throw error;
    }
  }

  async #known(appName: string, name: string): Promise<App> {
    await this.get(appName, name);
    return this.#schedulers.app(appName, false);
  }

  /** Waits for the verdict on the proposal at `offset`, and returns the job as it stands then. */
  async #decided(app: App, name: string, offset: number): Promise<Job> {
    const request = { shard: app.shard, appId: app.appId, name, atLeast: offset, decided: offset };
    const { job } = await this.#schedulers.ask(app.shard, getJob, request);
    return jobOf(job as taskd.JobView);
  }
}
