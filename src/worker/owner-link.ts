import type { NewRecord } from '../batch/record.js';
import type { Caller } from '../rpc/caller.js';
import type { Address } from '../runtime/net.js';

/** A connection to a scheduler. It is the session: when it is over, so is the session. */
export interface SessionConnection extends Caller {
  /** Calls back once when the other end asks us to leave. */
  onDrain(callback: () => void): void;
  onClose(callback: (error: Error | undefined) => void): void;
  /** Sends what is queued, then closes. */
  close(): void;
}

/** Where an app lives. */
export interface AppPlace {
  readonly appId: number;
  readonly shard: number;
  readonly jobsTopicId: number;
  readonly owner: Address;
}

/** How a worker reaches the rest of the world: the owner of its app's shard, and the log itself. */
export interface OwnerLink {
  /** Finds the app and its owner, binding the app's name to a shard if it is new. Rejects when nobody can tell. */
  locate(): Promise<AppPlace>;
  dial(owner: Address): Promise<SessionConnection>;
  /** Appends records of class WORKER to the shard; resolves with the last one's offset once all are durable. */
  append(place: AppPlace, records: readonly NewRecord[]): Promise<number>;
  close(): Promise<void>;
}
