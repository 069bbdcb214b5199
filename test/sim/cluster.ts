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
import { NoDoubleStart } from './no-double-start.js';

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

/** The main job in one world: standalone, a client that submits, two workers, and somebody who looks at the ends. */
export class Cluster {
  readonly ends: EverySubmitEnds;
  readonly starts: NoDoubleStart;
  readonly fires: FiresOnce;
  /** Those that faults may hit. */
  readonly processes: readonly SimProcess[];
  readonly #world: SimWorld;
  /** One task in so many is long; few in some worlds, so many in others that runs wait in the workers. */
  readonly #longEvery: number;
  #keys = 0;

  constructor(world: SimWorld) {
    this.#world = world;
    this.#longEvery = 2 + world.random.below(10);
    this.ends = new EverySubmitEnds((error) => world.fail(error));
    this.starts = new NoDoubleStart((error) => world.fail(error));
    this.fires = new FiresOnce((error) => world.fail(error));
    this.processes = ['server', 'client', 'worker-1', 'worker-2'].map((name) => world.process(name));
  }

  start(): void {
    const [server, client, ...workers] = this.processes;
    server!.start((runtime) => serve(runtime));
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
    const isFickle = random.below(12) === 0;
    try {
      const { id } = await client.runs.submit(apps[random.below(apps.length)]!, {
        processor: 'task',
        arguments: { ...task },
        retry: { attemptsMax: 4, delaysMs: [random.below(300)] },
        ...(isTimed ? { delayMs: random.below(4_000) } : {}),
        ...(isImpatient ? { timeoutMs: 500 } : {}),
      });
      if (!isMine()) return;
      const mustSucceed = !task.isHopeless && !isImpatient && !isFickle;
      this.ends.acknowledged(id, { key: task.key, mustSucceed, atMs: this.#world.nowMs });
      if (isFickle) {
        if (random.below(2) === 0) await elapse(clock, random.unit() ** 2 * 2_000);
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
    this.starts.isOver(run.id, run.state, this.#world.nowMs);
    if (run.state === 'SUCCEEDED' && !this.starts.hasStarted(run.id)) {
      this.#world.fail(new Error(`run ${run.id} succeeded and never started`));
    }
    return true;
  }

  async #observe(runtime: Runtime): Promise<void> {
    const client = new TaskdClient({ servers: [address], runtime });
    for (;;) {
      for (const id of this.ends.pending()) await this.#ask(client, id, () => true);
      await elapse(runtime.clock, 1_000);
    }
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
      this.starts.started({
        run: context.runId,
        leaseToken: context.leaseToken,
        worker: `${process.name}#${process.lives}`,
        atMs: this.#world.nowMs,
        isRunning: () => isRunning && isMine(),
      });
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
}

async function serve(runtime: Runtime): Promise<void> {
  const standalone = await startStandalone(runtime, { dataFolder: '/data/taskd', listen: address, shards });
  runtime.process.onStop(() => {
    void standalone.stop().then(() => runtime.process.exit(0));
  });
}
