import type { taskd } from '../../wire/generated/messages.js';

/** What a client wants of a job, waiting for the owner's verdict. */
export interface Proposal {
  readonly offset: number;
  readonly kind: 'put' | 'pause' | 'resume';
  /** Of a 'put'. */
  readonly put: taskd.JobPut | undefined;
}

/**
 * A job by name. It is in force once a proposal to put it was planned; before that it is only a name with proposals.
 *
 * ```
 * JobPut ─▶ proposed ─JobPlanned─▶ in force ─JobPut, JobPause, JobResume─▶ … each decided in order
 *              └─JobRefused─▶ gone      └─JobDelete─▶ deleted (kept while runs refer to it)
 * ```
 */
export class Job {
  readonly index: number;
  readonly appId: number;
  readonly name: string;
  /** Offset of the JobPut that created it, and of the one in force; -1 before. */
  generation = -1;
  version = -1;
  /** The JobPut in force. */
  put: taskd.JobPut | undefined;
  lane = 0;
  spec = 0;
  paused = false;
  nextFireMs: number | undefined;
  /** The latest fire that was consumed: none at or before it is planned again, wherever the wall clock steps. */
  firedMs: number = Number.NEGATIVE_INFINITY;
  /** Handle in the wheel of the wall clock, 0: none. */
  timer = 0;
  fires = 0;
  skipped = 0;
  refusal = '';
  refusedVersion: number | undefined;
  /** Its runs that are neither final nor dead, in the order in which they came; the first may run, the others wait. */
  readonly live: number[] = [];
  readonly proposals: Proposal[] = [];
  isDeleted = false;
  /** Runs that name it. */
  references = 0;
  /** The owner has a decision on it on its way through the log. */
  isPending = false;

  constructor(index: number, appId: number, name: string) {
    this.index = index;
    this.appId = appId;
    this.name = name;
  }

  get isInForce(): boolean {
    return this.version >= 0 && !this.isDeleted;
  }
}

/** Jobs by app and name, and by index. Index 0 is none. */
export class JobTable {
  readonly #byApp: Map<number, Map<string, Job>> = new Map<number, Map<string, Job>>();
  readonly #byIndex: (Job | undefined)[] = [undefined];
  readonly #byGeneration: Map<number, Job> = new Map<number, Job>();
  readonly #free: number[] = [];
  /** Jobs with proposals that wait for a verdict. */
  readonly proposed: Set<Job> = new Set<Job>();
  /** The offsets of their proposals. */
  readonly #proposals: Set<number> = new Set<number>();

  find(appId: number, name: string): Job | undefined {
    return this.#byApp.get(appId)?.get(name);
  }

  at(index: number): Job {
    return this.#byIndex[index]!;
  }

  byGeneration(generation: number): Job | undefined {
    return this.#byGeneration.get(generation);
  }

  /** The job of this name, made if there is none. */
  ensure(appId: number, name: string): Job {
    let names = this.#byApp.get(appId);
    if (names === undefined) this.#byApp.set(appId, (names = new Map<string, Job>()));
    let job = names.get(name);
    if (job === undefined) {
      const index = this.#free.pop() ?? this.#byIndex.length;
      job = new Job(index, appId, name);
      this.#byIndex[index] = job;
      names.set(name, job);
    }
    return job;
  }

  /** The job is in force from now on. */
  create(job: Job, generation: number): void {
    job.generation = generation;
    this.#byGeneration.set(generation, job);
  }

  /** Takes the job out of the names; its index is free once no run refers to it. */
  delete(job: Job): void {
    job.isDeleted = true;
    this.proposed.delete(job);
    if (job.generation >= 0) this.#byGeneration.delete(job.generation);
    const names = this.#byApp.get(job.appId);
    if (names?.get(job.name) === job) {
      names.delete(job.name);
      if (names.size === 0) this.#byApp.delete(job.appId);
    }
    this.#freeIfUnused(job);
  }

  release(job: Job): void {
    job.references--;
    this.#freeIfUnused(job);
  }

  /** Jobs in force of an app, by name, after `after`. */
  list(appId: number, after: string, max: number): Job[] {
    const names = this.#byApp.get(appId);
    if (names === undefined) return [];
    const found: Job[] = [];
    for (const job of names.values()) if (job.isInForce && job.name > after) found.push(job);
    return found.sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, max);
  }

  /** Does the proposal at `offset` wait for its verdict? */
  isProposed(offset: number): boolean {
    return this.#proposals.has(offset);
  }

  propose(job: Job, proposal: Proposal): void {
    job.proposals.push(proposal);
    this.proposed.add(job);
    this.#proposals.add(proposal.offset);
  }

  /** Takes the oldest proposal out: it has its verdict. */
  takeProposal(job: Job): Proposal {
    const proposal = job.proposals.shift()!;
    this.#proposals.delete(proposal.offset);
    if (job.proposals.length === 0) this.proposed.delete(job);
    return proposal;
  }

  /** All jobs with an index, deleted ones that runs still name included. */
  *all(): IterableIterator<Job> {
    for (const job of this.#byIndex) if (job !== undefined) yield job;
  }

  #freeIfUnused(job: Job): void {
    if (!job.isDeleted || job.references > 0 || this.#byIndex[job.index] !== job) return;
    this.#byIndex[job.index] = undefined;
    this.#free.push(job.index);
  }
}
