import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { BatchClass } from '../batch/header.js';
import type { NewRecord } from '../batch/record.js';
import { ClusterNetwork } from '../client/client-network.js';
import { Schedulers } from '../client/schedulers.js';
import { type ClientIdentity, dial } from '../rpc/connection.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import type { AppPlace, OwnerLink, SessionConnection } from './owner-link.js';

/** A worker's way to a real cluster: discovery and the log over shared connections, each session on one of its own. */
export class ClusterLink implements OwnerLink {
  readonly #runtime: Runtime;
  readonly #self: ClientIdentity;
  readonly #app: string;
  readonly #network: ClusterNetwork;
  readonly #schedulers: Schedulers;

  /** `discoveryCache` is as in `WorkerOptions`. */
  constructor(runtime: Runtime, servers: readonly Address[], app: string, workerId: string, discoveryCache?: string) {
    this.#runtime = runtime;
    this.#self = { clientId: workerId, kind: 'worker' };
    this.#app = app;
    this.#network = new ClusterNetwork(runtime, servers, this.#self, discoveryCache);
    this.#schedulers = new Schedulers(this.#network);
  }

  async locate(): Promise<AppPlace> {
    const { app, owner } = await this.#schedulers.locate(this.#app, true);
    if (owner === undefined) {
      throw new TaskdError(ErrorCode.NOT_READY, `shard ${app.shard} has no owner now`, {
        retry: Retry.AFTER,
        retryAfterMs: 100,
      });
    }
    return { appId: app.appId, shard: app.shard, jobsTopicId: app.jobsTopicId, owner };
  }

  dial(owner: Address): Promise<SessionConnection> {
    return dial(this.#runtime, owner, this.#self);
  }

  async append(place: AppPlace, records: readonly NewRecord[]): Promise<number> {
    const offsets = await this.#network.sender.sendAll(place.jobsTopicId, place.shard, records, BatchClass.WORKER);
    return offsets.at(-1)!;
  }

  close(): Promise<void> {
    this.#schedulers.close();
    return this.#network.close();
  }
}
