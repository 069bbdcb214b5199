import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { nameLengthMax } from '../base/limits.js';
import { BatchClass } from '../batch/header.js';
import { ShardRuntime } from '../coordinator/shard-runtime.js';
import type { TaskLog } from '../coordinator/task-log.js';
import { AppTable, appBind, appsMax, type BoundApp, isAppName } from './app-table.js';

/** Follows taskd.apps, answers where an app lives, and binds new names. */
export class AppDirectory {
  readonly #table: AppTable;
  readonly #runtime: ShardRuntime<BoundApp | undefined>;
  readonly #shards: number;
  /** Names that are being bound: those who ask meanwhile share the answer. */
  readonly #binding: Map<string, Promise<BoundApp>> = new Map<string, Promise<BoundApp>>();

  constructor(log: TaskLog, shards: number) {
    this.#shards = shards;
    this.#table = new AppTable(shards);
    this.#runtime = new ShardRuntime(log, this.#table);
  }

  start(): void {
    this.#runtime.start();
  }

  stop(): void {
    this.#runtime.close();
  }

  nameOf(appId: number): string {
    return this.#table.nameOf(appId) ?? '';
  }

  /** All apps by name. Rejects with NOT_READY before the topic has been read to its end once. */
  list(): readonly BoundApp[] {
    this.#assertReady();
    return this.#table.all().sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The app with that name. An unknown one is bound when `create` is set, and NOT_FOUND otherwise. */
  async resolve(name: string, create: boolean): Promise<BoundApp> {
    const known = this.#table.app(name);
    if (known !== undefined) return known;
    this.#assertReady();
    if (!isAppName(name)) {
      const limit = `the app's name has ${Buffer.byteLength(name, 'utf8')} bytes; 1 to ${nameLengthMax} are allowed`;
      throw new TaskdError(ErrorCode.INVALID, limit);
    }
    if (!create) {
      const remedy = 'put a job, submit a run or start a worker to create it';
      throw new TaskdError(ErrorCode.NOT_FOUND, `there is no app "${name}": ${remedy}`);
    }
    const underWay = this.#binding.get(name) ?? this.#bind(name);
    this.#binding.set(name, underWay);
    return underWay;
  }

  async #bind(name: string): Promise<BoundApp> {
    try {
      const [app] = await this.#runtime.write([appBind(name, this.#shards)], BatchClass.OWNER);
      if (app !== undefined) return app;
      throw new TaskdError(ErrorCode.QUOTA, `there are ${appsMax} apps already: no other can be created`);
    } finally {
      this.#binding.delete(name);
    }
  }

  #assertReady(): void {
    if (this.#runtime.isCaughtUp) return;
    throw new TaskdError(ErrorCode.NOT_READY, 'the scheduler is starting and still reads the list of apps', {
      retry: Retry.AFTER,
      retryAfterMs: 100,
    });
  }
}
