import type { MetricSet } from '../base/counters.js';
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import type { TaskLog } from '../coordinator/task-log.js';
import type { NodeIdentity } from '../rpc/server.js';
import type { Peer, ServerCall, ServiceRegistry } from '../rpc/service.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import type { taskd } from '../wire/generated/messages.js';
import {
  appStats,
  attach,
  claim,
  draining,
  getJob,
  getRun,
  listApps,
  listJobs,
  listRuns,
  type Method,
  reports,
  resolveApp,
  returnLeases,
  sessionPing,
} from '../wire/methods.js';
import { AppDirectory } from './app-directory.js';
import { Questions } from './questions.js';
import { ShardDriver } from './shard-driver.js';

export const appsTopicName = 'taskd.apps';
export const jobsTopicName = 'taskd.jobs';

/** A topic as the broker made it, or found it. */
export interface TopicPlace {
  readonly topicId: number;
  readonly partitions: number;
}

/** What a scheduler needs of brokers. */
export interface SchedulerDeps {
  /** Creates the topic with so many partitions unless it exists; resolves with what there is. Repeats until it can. */
  ensureTopic(name: string, partitions: number): Promise<TopicPlace>;
  taskLog(topicId: number, partition: number): TaskLog;
}

export interface SchedulerOptions {
  /** Shards of a new cluster; an old one keeps those that it has. */
  readonly shards: number;
}

interface Parts {
  readonly apps: AppDirectory;
  readonly drivers: readonly ShardDriver[];
  readonly jobsTopicId: number;
  readonly questions: Questions;
}

/** The scheduler of a process: it owns all shards, answers questions, and holds the sessions of workers. */
export class Scheduler {
  readonly #address: () => Address;
  /** Undefined until the topics stand. */
  #parts: Parts | undefined;

  /**
   * Puts the handlers in place at once, and begins to take the shards. Resolves as soon as the topics stand; until then
   * every call is answered with NOT_READY, and later so are calls for a shard whose log has not been read.
   */
  static async start(
    runtime: Runtime,
    services: ServiceRegistry,
    identity: NodeIdentity,
    address: () => Address,
    deps: SchedulerDeps,
    options: SchedulerOptions,
  ): Promise<Scheduler> {
    const scheduler = new Scheduler(address);
    scheduler.#register(services);
    const apps = await deps.ensureTopic(appsTopicName, 1);
    const jobs = await deps.ensureTopic(jobsTopicName, options.shards);
    let sessionId = 0;
    const owner = { nodeId: identity.nodeId, address, nextSessionId: () => ++sessionId };
    const drivers = Array.from(
      { length: jobs.partitions },
      (_, shard) => new ShardDriver(runtime, shard, deps.taskLog(jobs.topicId, shard), owner),
    );
    const directory = new AppDirectory(deps.taskLog(apps.topicId, 0), jobs.partitions);
    const questions = new Questions(runtime.clock, directory);
    scheduler.#parts = { apps: directory, drivers, jobsTopicId: jobs.topicId, questions };
    directory.start();
    for (const driver of drivers) driver.start();
    return scheduler;
  }

  private constructor(address: () => Address) {
    this.#address = address;
  }

  get shards(): number {
    return this.#drivers().length;
  }

  /** True once every shard is owned here. */
  get isReady(): boolean {
    return this.#parts !== undefined && this.#drivers().every((driver) => driver.state === 'active');
  }

  /** Releases all shards and ends all sessions; their workers look for the next owner. */
  async stop(): Promise<void> {
    await Promise.all(this.#drivers().map((driver) => driver.stop()));
    this.#parts?.apps.stop();
  }

  addMetrics(metrics: MetricSet): void {
    const sum = (read: (driver: ShardDriver) => number) => () =>
      this.#drivers().reduce((total, driver) => total + read(driver), 0);
    metrics.counter(
      'scheduler_dispatches_total',
      'Attempts sent to workers',
      sum((driver) => driver.dispatchesTotal),
    );
    metrics.counter(
      'scheduler_records_total',
      'Records appended by the owner',
      sum((driver) => driver.decisionsTotal),
    );
    metrics.counter(
      'scheduler_reports_total',
      'Reports that came on sessions',
      sum((driver) => driver.reportsTotal),
    );
    metrics.counter(
      'scheduler_dead_letters_dropped_total',
      'Dead letters that made room for newer ones, since the start of the log',
      sum((driver) => driver.core.deadLettersDroppedTotal),
    );
    metrics.counter(
      'scheduler_forbidden_records_total',
      'Records of types that their writers may not write, since the start of the log; they had no effect',
      sum((driver) => driver.core.voided.forbidden),
    );
    metrics.gauge(
      'scheduler_sessions',
      'Sessions of workers',
      sum((driver) => driver.sessionCount),
    );
    metrics.gauge(
      'scheduler_questions_waiting',
      'Calls that wait for a shard',
      sum((driver) => driver.waiters.count),
    );
    metrics.gauge(
      'scheduler_shards_owned',
      'Shards owned here',
      sum((driver) => (driver.state === 'active' ? 1 : 0)),
    );
  }

  #register(services: ServiceRegistry): void {
    services.onCall(resolveApp, (request, call) => this.#resolve(request, call));
    services.onCall(listApps, (_request, call) => call.reply({ apps: [...this.#needParts().apps.list()] }));
    this.#onQuestion(services, getJob, (driver, request, call, ask) => ask.getJob(driver, request, call));
    this.#onQuestion(services, listJobs, (driver, request, call, ask) => ask.listJobs(driver, request, call));
    this.#onQuestion(services, getRun, (driver, request, call, ask) => ask.getRun(driver, request, call));
    this.#onQuestion(services, listRuns, (driver, request, call, ask) => ask.listRuns(driver, request, call));
    this.#onQuestion(services, appStats, (driver, request, call, ask) => ask.appStats(driver, request, call));
    this.#onQuestion(services, sessionPing, (driver, request, call) => driver.ping(request, call));
    this.#onQuestion(services, claim, (driver, request, call) => driver.claim(request, call));
    services.onStream(attach, (request, stream) => {
      this.#driver(request.shard).attach(request, stream);
    });
    this.#onSaid(services, reports, (driver, request, peer) => driver.report(request, peer));
    this.#onSaid(services, returnLeases, (driver, request, peer) => driver.returned(request, peer));
    this.#onSaid(services, draining, (driver, _request, peer) => driver.draining(peer));
  }

  #onQuestion<Q extends { shard: number }, A, QIn, AIn>(
    services: ServiceRegistry,
    method: Method<Q, A, QIn, AIn>,
    answer: (driver: ShardDriver, request: Q, call: ServerCall<AIn>, questions: Questions) => void,
  ): void {
    services.onCall(method, (request, call) => {
      answer(this.#driver(request.shard), request, call, this.#needParts().questions);
    });
  }

  #onSaid<Q extends { shard: number }, A, QIn, AIn>(
    services: ServiceRegistry,
    method: Method<Q, A, QIn, AIn>,
    take: (driver: ShardDriver, request: Q, peer: Peer) => void,
  ): void {
    services.onSend(method, (request, peer) => {
      // Before we are up nobody has a session to say it on.
      if (this.#parts === undefined) return;
      const driver = this.#drivers()[request.shard];
      if (driver === undefined) peer.abort(`${method.name} for shard ${request.shard}, which does not exist`);
      else take(driver, request, peer);
    });
  }

  #resolve(request: taskd.ResolveAppRequest, call: ServerCall<taskd.ResolveAppResponse.$Properties>): void {
    const { apps, drivers, jobsTopicId } = this.#needParts();
    apps.resolve(request.app, request.create).then(
      ({ appId, shard }) => {
        const owner = drivers[shard]?.core.owner ?? this.#address();
        const place = { appId, shard, jobsTopicId };
        call.reply({ ...place, owner: { host: owner.host, port: owner.port } });
      },
      (error: unknown) => call.fail(error),
    );
  }

  #drivers(): readonly ShardDriver[] {
    return this.#parts?.drivers ?? [];
  }

  /** Throws, and so fails the call that asks: NOT_READY while the topics are sought, NOT_FOUND for a wrong number. */
  #driver(shard: number): ShardDriver {
    const { drivers } = this.#needParts();
    const driver = drivers[shard];
    if (driver !== undefined) return driver;
    const message = `there is no shard ${shard}: they are numbered from 0 to ${drivers.length - 1}`;
    throw new TaskdError(ErrorCode.NOT_FOUND, message);
  }

  #needParts(): Parts {
    if (this.#parts !== undefined) return this.#parts;
    const message = 'the scheduler is starting: it seeks a broker for its topics; ask again in a moment';
    throw new TaskdError(ErrorCode.NOT_READY, message, { retry: Retry.AFTER, retryAfterMs: 200 });
  }
}
