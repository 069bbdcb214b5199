import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import type { Caller } from '../rpc/caller.js';
import type { Clock } from '../runtime/clock.js';
import { type Address, formatAddress, parseAddress } from '../runtime/net.js';
import type { taskd } from '../wire/generated/messages.js';
import { type Method, resolveApp } from '../wire/methods.js';
import { checkName } from './job-definition.js';

/** Where an app lives. Never changes once it is bound. */
export interface App {
  readonly name: string;
  readonly appId: number;
  readonly shard: number;
  readonly jobsTopicId: number;
}

/** How to reach the schedulers: who is there by discovery, and a caller for an address. */
export interface SchedulerNetwork {
  readonly clock: Clock;
  /** Those that are worth asking, the best first; empty when none is known now. */
  schedulers(): Promise<readonly Address[]>;
  /** One of them has answered, or what became of the question. */
  told?(scheduler: Address, error?: unknown): void;
  callerTo(address: Address): Caller;
}

export const callDeadlineMs = 10_000;
const pauseMinMs = 20;
const pauseMaxMs = 500;
const appsMax = 10_000;
const whereverShard = -1;

/**
 * Asks the scheduler that owns a shard. Follows NOT_OWNER hints, asks the others when one is away, and goes on until
 * the deadline: every question is idempotent.
 */
export class Schedulers {
  readonly #network: SchedulerNetwork;
  readonly #owners: Map<number, Address> = new Map<number, Address>();
  readonly #apps: Map<string, App> = new Map<string, App>();
  #isClosed = false;

  constructor(network: SchedulerNetwork) {
    this.#network = network;
  }

  /** Whoever asks, or waits for an answer, is told CANCELLED. */
  close(): void {
    this.#isClosed = true;
  }

  /** The app's place if it is known already; never asks. */
  known(name: string): App | undefined {
    return this.#apps.get(name);
  }

  /** The app's place, cached. An unknown name is bound with `create`, and NOT_FOUND without. */
  async app(name: string, create: boolean): Promise<App> {
    checkName(name, 'the app');
    return this.#apps.get(name) ?? (await this.locate(name, create)).app;
  }

  /** As `app`, asked anew, with the address of the scheduler that owns its shard, if there is one now. */
  async locate(name: string, create: boolean): Promise<{ readonly app: App; readonly owner: Address | undefined }> {
    checkName(name, 'the app');
    const answer = await this.ask(undefined, resolveApp, { app: name, create });
    const app = { name, appId: answer.appId, shard: answer.shard, jobsTopicId: answer.jobsTopicId };
    const endpoint = answer.owner as taskd.Endpoint | null | undefined;
    const owner = endpoint?.host ? { host: endpoint.host, port: endpoint.port } : undefined;
    if (owner !== undefined) this.#owners.set(app.shard, owner);
    if (this.#apps.size >= appsMax) this.#apps.clear();
    this.#apps.set(name, app);
    return { app, owner };
  }

  /** Asks the owner of `shard`, or any scheduler when that is undefined. Rejects with the last error at the deadline. */
  async ask<Q, A, QIn, AIn>(
    shard: number | undefined,
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
    deadlineMs: number = callDeadlineMs,
  ): Promise<A> {
    const { clock } = this.#network;
    const endMs = clock.monotonicMs() + deadlineMs;
    let pauseMs = pauseMinMs;
    let problem: TaskdError | undefined;
    for (;;) {
      if (this.#isClosed) throw new TaskdError(ErrorCode.CANCELLED, 'the client was closed: make a new one');
      let candidates: readonly Address[] = [];
      try {
        candidates = await this.#candidates(shard);
      } catch (error) {
        if (!isTaskdError(error) || !worthAnother(error)) throw error;
        problem = error;
      }
      for (const address of candidates) {
        let next: Address | undefined = address;
        // A hint may lead on to another one, but not in circles.
        for (let hops = 0; next !== undefined && hops < 3; hops++) {
          const leftMs = endMs - clock.monotonicMs();
          if (leftMs <= 0) throw problem ?? noneAnswered(deadlineMs);
          if (this.#isClosed) break;
          try {
            const { message } = await this.#network.callerTo(next).call(method, request, { deadlineMs: leftMs });
            this.#network.told?.(next);
            this.#owners.set(shard ?? whereverShard, next);
            return message;
          } catch (error) {
            this.#network.told?.(next, error);
            if (!isTaskdError(error) || !worthAnother(error)) throw error;
            problem = error;
            this.#owners.delete(shard ?? whereverShard);
            next = error.code === ErrorCode.NOT_OWNER ? parseAddress(error.hint) : undefined;
          }
        }
      }
      if (this.#isClosed) continue;
      const waitMs = Math.min(pauseMs, endMs - clock.monotonicMs());
      if (waitMs <= 0) throw problem ?? noneAnswered(deadlineMs);
      await new Promise<void>((resolve) => clock.timer(waitMs, resolve));
      pauseMs = Math.min(pauseMs * 2, pauseMaxMs);
    }
  }

  /** The last one that answered first, then all that discovery knows. */
  async #candidates(shard: number | undefined): Promise<readonly Address[]> {
    const owner = this.#owners.get(shard ?? whereverShard);
    // One that fails is forgotten, and discovery is asked again.
    if (owner !== undefined) return [owner];
    const all = await this.#network.schedulers();
    const seen = new Set<string>();
    return all.filter((address) => !seen.has(formatAddress(address)) && seen.add(formatAddress(address)));
  }
}

function worthAnother(error: TaskdError): boolean {
  if (error.code === ErrorCode.CONNECTION_LOST || error.code === ErrorCode.NOT_SENT) return true;
  return error.code !== ErrorCode.DEADLINE && error.retry !== Retry.NEVER;
}

function noneAnswered(deadlineMs: number): TaskdError {
  return new TaskdError(
    ErrorCode.NOT_READY,
    `no scheduler was found within ${deadlineMs} ms: is one running and registered with these servers?`,
    { retry: Retry.AFTER, retryAfterMs: 1_000 },
  );
}
