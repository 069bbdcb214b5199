import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { startStandalone } from '../../src/cli/standalone.js';
import { TaskdClient } from '../../src/client/client.js';
import type { Run } from '../../src/client/run.js';
import type { Clock } from '../../src/runtime/clock.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import type { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { NonRetryable, type RunContext, Worker } from '../../src/worker/worker.js';
import { EverySubmitEnds } from './every-submit-ends.js';
import { FiresOnce } from './fires-once.js';
import { LegalHistories } from './legal-histories.js';
import { auditLogs } from './log-audit.js';
import { LogStays } from './log-stays.js';
import { NoDoubleStart } from './no-double-start.js';
import { OneRunEach } from './one-run-each.js';

const address = { host: '127.0.0.1', port: 7400 };
const shards = 2;
const apps = ['alpha', 'beta'];

/** What a submission asks of its processor. */
interface Task {
  readonly key: string;
  readonly workMs: number;
  /** Attempts that fail before one succeeds. */
  readonly failures: number;
  readonly isHopeless: boolean;
}

const elapse = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.timer(ms, resolve);
  });

/**
 * The main job in one world: standalone, a client that submits, two workers, somebody who reads the logs all the time,
 * and in the end somebody who looks at everything again.
 */
export class Cluster {
  readonly ends: EverySubmitEnds;
  readonly starts: NoDoubleStart;
  readonly fires: FiresOnce;
  readonly logs: LogStays;
  /** Called when somebody outside was promised something: an answer, a start. */
  onPromise: (isSubmit: boolean) => void = () => {};
  /** Those that faults may hit. */
  readonly processes: readonly SimProcess[];
  readonly #world: SimWorld;
  /** One task in so many is long; few in some worlds, so many in others that runs wait in the workers. */
  readonly #longEvery: number;
  /** One submission in so many is cancelled. */
  readonly #fickleEvery: number;
  readonly #segmentBytes: number;
  /** Large arguments make write groups of several pages, of which a crash may leave any. */
  readonly #paddingMax: number;
  readonly #singles: OneRunEach;
  readonly #histories: LegalHistories;
  readonly #leases: (readonly [run: string, leaseToken: number])[] = [];
  #keys = 0;
  #isAudited = false;

  constructor(world: SimWorld) {
    this.#world = world;
    const { random } = world;
    this.#longEvery = 2 + Math.floor(random.unit() ** 2 * 10);
    this.#fickleEvery = 2 + random.below(12);
    this.#segmentBytes = 2_048 * 2 ** random.below(8);
    this.#paddingMax = random.below(2) === 0 ? 16 : 12_000;
    const fail = (error: Error): void => world.fail(error);
    this.ends = new EverySubmitEnds(fail);
    this.starts = new NoDoubleStart(fail);
    this.fires = new FiresOnce(fail);
    this.logs = new LogStays(fail);
    this.#singles = new OneRunEach(fail);
    this.#histories = new LegalHistories(fail);
    this.processes = ['server', 'client', 'worker-1', 'worker-2'].map((name) => world.process(name));
  }

  /** True when all that was acknowledged has ended, and everything agrees with the logs. */
  get isSettled(): boolean {
    return this.#isAudited;
  }

  start(): void {
    const [server, client, ...workers] = this.processes;
    server!.start((runtime) => this.#serve(runtime));
    this.#world.process('reader').start((runtime) => this.#read(runtime));
    client!.start((runtime) => this.#submit(runtime, client!));
    for (const worker of workers) worker.start((runtime) => this.#work(runtime, worker));
  }

  /** Stops submitting, and looks for the ends of all that was acknowledged. */
  settle(): void {
    const client = this.#world.process('client');
    client.kill();
    client.start(() => {});
    this.#world.process('observer').start((runtime) => this.#observe(runtime));
  }

  async #submit(runtime: Runtime, process: SimProcess): Promise<void> {
    const { clock, random } = runtime;
    const life = process.lives;
    const isMine = (): boolean => process.isAlive && process.lives === life;
    runtime.process.onStop(() => runtime.process.exit(0));
    const client = new TaskdClient({ servers: [address], runtime });
    void this.#putJob(client);
    for (;;) {
      const burst = 1 + random.below(5);
      for (let i = 0; i < burst; i++) void this.#one(client, runtime, isMine);
      await elapse(clock, random.unit() ** 2 * 1_500);
      if (random.below(3) === 0) void this.#look(client, runtime, isMine);
    }
  }

  async #putJob(client: TaskdClient): Promise<void> {
    try {
      await client.jobs.put(apps[0]!, 'tick', { processor: 'tick', cron: '*/2 * * * * *' });
    } catch (error) {
      this.#expectPassing(error);
    }
  }

  async #one(client: TaskdClient, { clock, random }: Runtime, isMine: () => boolean): Promise<void> {
    const isFailing = random.below(6) === 0;
    const task: Task = {
      key: `task-${this.#keys++}`,
      workMs: random.below(this.#longEvery) === 0 ? random.unit() * 8_000 : random.unit() * 40,
      failures: isFailing ? 1 + random.below(2) : 0,
      isHopeless: random.below(25) === 0,
    };
    const isTimed = random.below(4) === 0;
    const isImpatient = random.below(15) === 0;
    const isFickle = random.below(this.#fickleEvery) === 0;
    const delayMs = random.below(4_000);
    try {
      const { id } = await client.runs.submit(apps[random.below(apps.length)]!, {
        processor: 'task',
        arguments: { ...task, padding: '.'.repeat(random.below(this.#paddingMax)) },
        retry: { attemptsMax: 4, delaysMs: [random.below(300)] },
        ...(isTimed ? { delayMs } : {}),
        ...(isImpatient ? { timeoutMs: 500 } : {}),
      });
      if (!isMine()) return;
      const mustSucceed = !task.isHopeless && !isImpatient && !isFickle;
      this.ends.acknowledged(id, { key: task.key, mustSucceed, atMs: this.#world.nowMs });
      this.onPromise(true);
      if (isFickle) {
        // Often about when it starts.
        if (isTimed) await elapse(clock, delayMs * (0.97 + random.unit() * 0.03));
        else if (random.below(2) === 0) await elapse(clock, random.unit() ** 2 * 2_000);
        const run = await client.runs.cancel(id);
        if (isMine()) this.#saw(run);
      }
    } catch (error) {
      this.#expectPassing(error);
    }
  }

  /** A client that asks for a run now and then, while faults are on. */
  async #look(client: TaskdClient, { random }: Runtime, isMine: () => boolean): Promise<void> {
    const count = this.ends.acknowledgedCount;
    if (count === 0) return;
    const id = this.ends.at(random.below(count))!;
    await this.#ask(client, id, isMine);
    const dead = this.ends.withEnd('DEAD');
    if (dead.length > 0 && random.below(2) === 0) await this.#replay(client, dead[random.below(dead.length)]!, isMine);
  }

  async #replay(client: TaskdClient, dead: string, isMine: () => boolean): Promise<void> {
    const { key } = this.ends.submitted(dead)!;
    this.#singles.replaying(key, dead);
    try {
      const { id } = await client.dead.replay(dead);
      if (!isMine()) return;
      this.ends.acknowledged(id, { key, mustSucceed: false, atMs: this.#world.nowMs });
      this.onPromise(false);
    } catch (error) {
      this.#expectPassing(error);
    }
  }

  async #ask(client: TaskdClient, id: string, isMine: () => boolean): Promise<boolean> {
    try {
      const run = await client.runs.get(id);
      if (!isMine()) return false;
      return this.#saw(run);
    } catch (error) {
      if (isTaskdError(error, ErrorCode.NOT_FOUND)) this.ends.isMissing(id);
      else this.#expectPassing(error);
      return false;
    }
  }

  /** A scheduler told the run's state. Returns true when it is over. */
  #saw(run: Run): boolean {
    const isOver = this.ends.saw(run, this.#world.nowMs);
    if (!isOver) return false;
    this.onPromise(false);
    this.starts.isOver(run.id, run.state, this.#world.nowMs);
    if (run.state === 'SUCCEEDED' && !this.starts.hasStarted(run.id)) {
      this.#world.fail(new Error(`run ${run.id} succeeded and never started`));
    }
    return true;
  }

  async #observe(runtime: Runtime): Promise<void> {
    const client = new TaskdClient({ servers: [address], runtime });
    while (this.ends.endedCount < this.ends.acknowledgedCount) {
      for (const id of this.ends.pending()) await this.#ask(client, id, () => true);
      await elapse(runtime.clock, 1_000);
    }
    await this.#readAll(runtime);
    for (const [run, leaseToken] of this.#leases) this.#histories.checkStart(run, leaseToken);
    const over = new Set(this.#histories.over());
    for (const run of this.ends.all()) {
      if (!over.has(run)) this.#world.fail(new Error(`run ${run} is over, but not by the log`));
    }
    for (const app of apps) {
      for (const run of await client.runs.list(app)) if (over.has(run.id)) this.#histories.checkEnd(run);
    }
    this.#isAudited = true;
  }

  /** A consumer of the logs, from the beginning to whatever end they have at each time. */
  async #read(runtime: Runtime): Promise<void> {
    await auditLogs(runtime, address, shards, {
      batch: (shard, batch) => {
        this.logs.saw(shard, batch);
        this.onPromise(false);
      },
      caughtUp: () => {},
      lost: (shard, logStart) => this.logs.lost(shard, logStart),
    });
  }

  /** Reads all again; resolves when every log's end was reached. */
  async #readAll(runtime: Runtime): Promise<void> {
    const left = new Map(Array.from({ length: shards }, (_, shard) => [shard, this.logs.endOf(shard)] as const));
    await new Promise<void>((resolve) => {
      void auditLogs(runtime, address, shards, {
        batch: (shard, batch) => {
          this.logs.saw(shard, batch);
          if (left.has(shard)) this.#histories.apply(shard, batch);
        },
        caughtUp: (shard, end) => {
          const expected = left.get(shard);
          if (expected !== undefined) this.logs.sawEnd(shard, end, expected);
          left.delete(shard);
          if (left.size === 0) resolve();
        },
        lost: (shard, logStart) => this.logs.lost(shard, logStart),
      });
    });
  }

  async #work(runtime: Runtime, process: SimProcess): Promise<void> {
    const life = process.lives;
    const isMine = (): boolean => process.isAlive && process.lives === life;
    const processors = {
      task: (task: Task, context: RunContext) => this.#process(task, context, runtime, process, isMine),
      tick: (_arguments: unknown, context: RunContext) => {
        if (isMine()) this.fires.fired(context.job, context.dueMs, context.runId);
        return this.#process(
          { key: 'tick', workMs: 5, failures: 0, isHopeless: false },
          context,
          runtime,
          process,
          isMine,
        );
      },
    };
    const workers = apps.map(
      (app) =>
        new Worker({ servers: [address], app, processors, slots: 3, prefetch: 3, workerId: process.name, runtime }),
    );
    runtime.process.onStop(() => {
      void Promise.all(workers.map((worker) => worker.drain())).then(() => runtime.process.exit(0));
    });
    await Promise.all(workers.map((worker) => worker.start()));
  }

  async #process(
    task: Task,
    context: RunContext,
    { clock }: Runtime,
    process: SimProcess,
    isMine: () => boolean,
  ): Promise<{ key: string }> {
    let isRunning = true;
    if (isMine()) {
      if (context.job === '') this.#singles.started(task.key, context.runId);
      this.#leases.push([context.runId, context.leaseToken]);
      this.starts.started({
        run: context.runId,
        leaseToken: context.leaseToken,
        worker: `${process.name}#${process.lives}`,
        atMs: this.#world.nowMs,
        isRunning: () => isRunning && isMine(),
      });
      this.onPromise(false);
    }
    try {
      await elapse(clock, task.workMs);
      if (task.isHopeless) throw new NonRetryable(`${task.key} is hopeless`);
      if (context.attempt <= task.failures) throw new Error(`${task.key} fails ${task.failures} times`);
      return { key: task.key };
    } finally {
      isRunning = false;
    }
  }

  /** While the server is away, calls fail with what may be tried again; anything else is a bug. */
  #expectPassing(error: unknown): void {
    if (!isTaskdError(error)) this.#world.fail(error);
  }

  /** A start that the disk does not let happen ends the process, as it ends the command; any other failure is a bug. */
  async #serve(runtime: Runtime): Promise<void> {
    const options = { dataFolder: '/data/taskd', listen: address, shards, segmentBytes: this.#segmentBytes };
    try {
      const standalone = await startStandalone(runtime, options);
      runtime.process.onStop(() => {
        void standalone.stop().then(() => runtime.process.exit(0));
      });
    } catch (error) {
      if (!isTaskdError(error, ErrorCode.STORAGE_FAILED, ErrorCode.STORAGE_FULL)) throw error;
      runtime.logger.warn({ reason: error.message }, 'the server did not start');
      runtime.process.exit(1);
    }
  }
}
