import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import type { Peer } from '../rpc/service.js';
import { Budget } from '../transport/budget.js';

/** Registrations, deregistrations and overrides of one connection: at once, and a second in the long run. */
export const writeBurst = 2_000;
export const writesPerSecond = 200;
export const watchersPerConnectionMax = 1_000;
export const watchersMax = 50_000;

interface ClientState {
  readonly peer: Peer;
  readonly writes: Budget;
  watchers: number;
}

/** The connections that write or watch, with what each has used of its limits. */
export class ClientTable {
  readonly #clients = new Map<number, ClientState>();
  #watchers = 0;

  get watcherCount(): number {
    return this.#watchers;
  }

  /** The connection of a session, while it is open. */
  peer(id: number): Peer | undefined {
    return this.#clients.get(id)?.peer;
  }

  /** Counts a write; QUOTA when there were too many. */
  write(peer: Peer, nowMs: number): void {
    if (this.#of(peer).writes.take(nowMs)) return;
    throw new TaskdError(
      ErrorCode.QUOTA,
      `one connection writes at most ${writesPerSecond} times a second, ${writeBurst} at once; write less often, or ` +
        'over another connection',
      { retry: Retry.AFTER, retryAfterMs: 1_000 },
    );
  }

  /** Counts a watcher; QUOTA when there are too many. */
  watch(peer: Peer): void {
    if (this.#watchers >= watchersMax) {
      throw new TaskdError(
        ErrorCode.QUOTA,
        `this name server has its limit of ${watchersMax} watchers; use another one`,
        { retry: Retry.OTHER },
      );
    }
    const client = this.#of(peer);
    if (client.watchers >= watchersPerConnectionMax) {
      throw new TaskdError(
        ErrorCode.QUOTA,
        `one connection has at most ${watchersPerConnectionMax} watchers; close some, watch all services of a group ` +
          'at once, or use another connection',
      );
    }
    client.watchers++;
    this.#watchers++;
  }

  unwatch(peer: Peer): void {
    this.#watchers--;
    const client = this.#clients.get(peer.id);
    if (client !== undefined) client.watchers--;
  }

  #of(peer: Peer): ClientState {
    let client = this.#clients.get(peer.id);
    if (client === undefined) {
      client = { peer, writes: new Budget(writeBurst, writesPerSecond), watchers: 0 };
      this.#clients.set(peer.id, client);
      peer.onClose(() => this.#clients.delete(peer.id));
    }
    return client;
  }
}
