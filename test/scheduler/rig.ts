import { silentLogger } from '../../src/base/logger.js';
import { BatchClass } from '../../src/batch/header.js';
import { TaskdClient } from '../../src/client/client.js';
import type { ClientNetwork } from '../../src/client/client-network.js';
import type { TopicPlace } from '../../src/client/topic-directory.js';
import { MemoryTaskLog } from '../../src/coordinator/memory-task-log.js';
import { dial } from '../../src/rpc/connection.js';
import { Connections } from '../../src/rpc/connections.js';
import { RpcServer } from '../../src/rpc/server.js';
import type { Address } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { Scheduler, type SchedulerDeps } from '../../src/scheduler/scheduler.js';
import type { taskd } from '../../src/wire/generated/messages.js';
import { resolveApp } from '../../src/wire/methods.js';
import type { OwnerLink } from '../../src/worker/owner-link.js';
import type { Processor } from '../../src/worker/processor.js';
import { WorkerDriver } from '../../src/worker/worker-driver.js';

export const shards = 4;
const appsTopicId = 1;
const jobsTopicId = 2;

/** The logs of a cluster: they outlive its processes. */
export class MemoryLogs implements SchedulerDeps {
  readonly apps: MemoryTaskLog;
  readonly jobs: MemoryTaskLog[];

  constructor(runtime: Runtime) {
    this.apps = new MemoryTaskLog(runtime.clock);
    this.jobs = Array.from({ length: shards }, () => new MemoryTaskLog(runtime.clock));
  }

  ensureTopic(name: string): Promise<{ topicId: number; partitions: number }> {
    return Promise.resolve(
      name === 'taskd.apps' ? { topicId: appsTopicId, partitions: 1 } : { topicId: jobsTopicId, partitions: shards },
    );
  }

  taskLog(topicId: number, partition: number): MemoryTaskLog {
    return topicId === appsTopicId ? this.apps : this.jobs[partition]!;
  }
}

/** A scheduler on real connections over logs in memory, with clients and workers that know its address. */
export class Rig {
  /** What was logged as a warning. */
  readonly warnings: { fields: object; message: string }[] = [];
  readonly runtime: Runtime = nodeRuntime({
    ...silentLogger,
    warn: (fields, message) => this.warnings.push({ fields, message }),
  });
  readonly logs: MemoryLogs = new MemoryLogs(this.runtime);
  readonly #connections: Connections = new Connections(this.runtime, { clientId: 'test', kind: 'client' });
  #server: RpcServer | undefined;
  readonly #servers: RpcServer[] = [];
  readonly #schedulers: Scheduler[] = [];
  scheduler: Scheduler | undefined;
  address: Address | undefined;

  async startScheduler(nodeId = 'node-1'): Promise<void> {
    const identity = { nodeId, incarnation: 1, roles: ['scheduler'], clusterId: 'test' };
    const server = new RpcServer(this.runtime, identity);
    this.#server = server;
    this.#servers.push(server);
    const address = (): Address => this.address!;
    this.address = await server.listen({ host: '127.0.0.1', port: 0 });
    this.scheduler = await Scheduler.start(this.runtime, server, identity, address, this.logs, { shards });
    this.#schedulers.push(this.scheduler);
  }

  /** As when the process hangs: connections are cut, nothing is released, and it goes on deciding. */
  cutScheduler(): void {
    this.#server?.close();
  }

  async stopScheduler(): Promise<void> {
    await this.scheduler?.stop();
    this.#server?.close();
  }

  client(): TaskdClient {
    const network: ClientNetwork = {
      clock: this.runtime.clock,
      sender: {
        send: async (_topicId, shard, record, batchClass) => {
          const [offset] = await this.logs.jobs[shard]!.append([record], batchClass);
          return { offset: offset!, appendTimestampMs: this.runtime.clock.wallMs() };
        },
      },
      schedulers: () => Promise.resolve([this.address!]),
      callerTo: (address) => this.#connections.to(address),
      topics: {
        named: (name) => Promise.resolve({ topicId: jobsTopicId, name } as TopicPlace),
        create: () => Promise.reject(new Error('not used')),
        ask: () => Promise.reject(new Error('not used')),
        forgetNamed: () => {},
      },
      queues: () => {
        throw new Error('not used');
      },
      nodes: () => Promise.resolve([]),
      close: () => Promise.resolve(),
    };
    return new TaskdClient({ servers: ['127.0.0.1:1'] }, network);
  }

  worker(app: string, processors: Record<string, Processor>, workerId = 'worker-1', slots = 64): WorkerDriver {
    const link: OwnerLink = {
      locate: async () => {
        const { message } = await this.#connections.to(this.address!).call(resolveApp, { app, create: true });
        const owner = message.owner as taskd.Endpoint;
        const { appId, shard } = message;
        return { appId, shard, jobsTopicId: message.jobsTopicId, owner: { host: owner.host, port: owner.port } };
      },
      dial: (owner) => dial(this.runtime, owner, { clientId: workerId, kind: 'worker' }),
      append: async (place, records) => {
        const offsets = await this.logs.jobs[place.shard]!.append(records, BatchClass.WORKER);
        return offsets.at(-1)!;
      },
      close: () => Promise.resolve(),
    };
    return new WorkerDriver(this.runtime, link, {
      workerId,
      incarnation: this.runtime.clock.wallMs(),
      processors: new Map(Object.entries(processors)),
      slots,
      prefetch: 256,
    });
  }

  async close(): Promise<void> {
    await this.stopScheduler();
    for (const scheduler of this.#schedulers) await scheduler.stop();
    for (const server of this.#servers) server.close();
    await this.#connections.close();
  }
}
