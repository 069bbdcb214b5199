import { ErrorCode, isTaskdError } from '../base/errors.js';
import type { TaskLog } from '../coordinator/task-log.js';
import type { Runtime } from '../runtime/runtime.js';
import { type LogClients, RemoteTaskLog } from './remote-task-log.js';
import type { SchedulerDeps, TopicPlace } from './scheduler.js';

const pauseMs = 500;

/** The logs of a scheduler that runs apart from its brokers. */
export class RemoteLogs implements SchedulerDeps {
  readonly #runtime: Runtime;
  readonly #clients: LogClients;
  #isClosed = false;

  constructor(runtime: Runtime, clients: LogClients) {
    this.#runtime = runtime;
    this.#clients = clients;
  }

  /** Waits for brokers as long as it takes, until `close`. */
  async ensureTopic(name: string, partitions: number): Promise<TopicPlace> {
    for (;;) {
      try {
        return await this.#clients.topics.create(name, partitions, true);
      } catch (error) {
        // It exists with another number of partitions: that number is the cluster's.
        if (isTaskdError(error, ErrorCode.ALREADY_EXISTS)) return this.#clients.topics.named(name);
        if (!isTaskdError(error) || this.#isClosed || isOurFault(error.code)) throw error;
        this.#runtime.logger.warn({ topic: name, reason: error.message }, 'waiting for a broker');
      }
      await new Promise<void>((resolve) => this.#runtime.clock.timer(pauseMs, resolve));
    }
  }

  taskLog(topicId: number, partition: number): TaskLog {
    return new RemoteTaskLog(this.#runtime, this.#clients, topicId, partition);
  }

  close(): void {
    this.#isClosed = true;
  }
}

function isOurFault(code: ErrorCode): boolean {
  return code === ErrorCode.INVALID || code === ErrorCode.FORBIDDEN || code === ErrorCode.UNAUTHENTICATED;
}
