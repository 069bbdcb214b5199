/**
 * The instances that this process keeps registered, on whichever connection the session has.
 *
 *   WANTED ──register──▶ CONFIRMED      on a new connection all are WANTED again, each with a higher version
 *     │ ▲                    │
 *     │ └──superseded, below─┘          above it; more than 3 times a minute: refused, DUPLICATE_ID
 *     └──close──▶ ENDING ──deregister answered, or 15 s──▶ forgotten
 *
 * A deregistration that didn't get through is sent again on the next connection: the instance could live on there.
 */
import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import type { OwnConnection } from '../rpc/caller.js';
import type { Runtime } from '../runtime/runtime.js';
import type { taskd } from '../wire/generated/messages.js';
import { deregister, register } from '../wire/methods.js';
import { Claim, parseVersion, type Supersession } from './claim.js';
import { HeldCount } from './held-count.js';
import { defaultNamespace, type NewInstance } from './instance.js';
import type { Session } from './session.js';

/** Wait before a register that failed for a passing reason is tried again on the same connection. */
const againMs = 1_000;
/** How long `close` waits for a deregistration. */
const closeMs = 2_000;
/** After so long without us an instance has ended by silence. */
const endingMs = 15_000;

/** See `Claim`. */
const counterStarts = 2 ** 20;

/** One instance that this process keeps registered. */
export interface Registration {
  /** Resolves once a name server has it; rejects when it is refused for good. */
  readonly registered: Promise<void>;
  /** Changes what is registered: new tags, metadata, weight. */
  update(changes: Partial<Omit<NewInstance, 'service' | 'instanceId' | 'namespace' | 'group'>>): void;
  /** Removes the instance. Resolves when a name server has answered, or after 2 s. */
  close(): Promise<void>;
}

interface Registered {
  readonly name: string;
  readonly claim: Claim;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readonly onRefused: (error: TaskdError) => void;
  wasSent: boolean;
  isSending: boolean;
  /** Something changed while a register was on its way. */
  isStale: boolean;
  /** The name server of this connection has it. */
  isConfirmed: boolean;
}

export class Registrations {
  readonly #runtime: Runtime;
  readonly #incarnation: number;
  readonly #session: () => Session;
  /** By name. */
  readonly #wanted = new Map<string, Registered>();
  /** Those to be deregistered, and who waits for it. */
  readonly #ending = new Map<Registered, () => void>();
  readonly #held = new HeldCount();
  #connection: OwnConnection | undefined;
  #isClosed = false;

  /** `session` gives the session that `up` and `beaten` come from. */
  constructor(runtime: Runtime, session: () => Session) {
    this.#runtime = runtime;
    this.#session = session;
    this.#incarnation = runtime.clock.wallMs();
  }

  /** See `Registry.register`. */
  add(instance: NewInstance, onRefused: (error: TaskdError) => void): Registration {
    let resolve: () => void = () => {};
    let reject: (error: Error) => void = () => {};
    const registered = new Promise<void>((onDone, onError) => {
      resolve = onDone;
      reject = onError;
    });
    registered.catch(() => {});
    const name = nameOf(instance);
    const claim = new Claim(instance, this.#incarnation, this.#runtime.random.below(counterStarts));
    const flags = { wasSent: false, isSending: false, isStale: false, isConfirmed: false };
    const entry: Registered = { name, claim, resolve, reject, onRefused, ...flags };
    if (this.#isClosed || this.#wanted.has(name)) {
      const error = this.#isClosed ? closedError() : twiceError(instance);
      reject(error);
      // Not before the caller has what is returned here.
      this.#runtime.clock.defer(() => this.#refuse(entry, error));
    } else {
      this.#wanted.set(name, entry);
      this.#send(entry);
    }
    return {
      registered,
      update: (changes) => {
        entry.claim.instance = { ...entry.claim.instance, ...changes };
        this.#sendAgain(entry);
      },
      close: () => this.#end(entry),
    };
  }

  up(connection: OwnConnection): void {
    this.#connection = connection;
    for (const entry of this.#wanted.values()) this.#send(entry);
    for (const entry of this.#ending.keys()) void this.#deregister(entry);
  }

  down(): void {
    this.#connection = undefined;
    this.#held.restart();
    for (const entry of this.#wanted.values()) {
      entry.isSending = false;
      entry.isConfirmed = false;
    }
  }

  /** What the name server says with the answer to a beat that was sent at `sentMs`. */
  beaten({ superseded, held }: taskd.BeatResponse, sentMs: number): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    for (const told of superseded) this.#superseded(told);
    let confirmed = 0;
    for (const entry of this.#wanted.values()) if (entry.isConfirmed) confirmed++;
    if (!this.#held.isWrong(held, confirmed, sentMs, this.#runtime.clock.monotonicMs())) return;
    const text = `it holds ${held} of our instances, and should hold ${confirmed}`;
    this.#runtime.logger.warn({ held, registered: confirmed }, 'a name server lost track of us: registering anew');
    this.#session().leave(connection, new Error(text));
  }

  /** No name server answers: whoever wants to be gone doesn't wait for that. */
  unanswered(): void {
    if (this.#isClosed) this.#forgetEnding();
  }

  /** Deregisters everything; resolves when that was answered, or none answers, or after 2 s. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#wanted.values()].map((entry) => this.#end(entry)));
    this.#forgetEnding();
  }

  #send(entry: Registered): void {
    const connection = this.#connection;
    if (connection === undefined || entry.isSending || !this.#isWanted(entry)) return;
    entry.wasSent = true;
    entry.isSending = true;
    entry.isStale = false;
    const instance = messageFrom(entry.claim);
    const { clock } = this.#runtime;
    this.#held.sent(clock.monotonicMs());
    connection.call(register, { instance }).then(
      () => {
        if (this.#connection !== connection) return;
        this.#answered(entry, connection);
        entry.isConfirmed = true;
        entry.resolve();
        if (entry.isStale) this.#send(entry);
      },
      (error: Error) => {
        if (this.#connection !== connection) return;
        this.#answered(entry, connection);
        this.#failed(entry, connection, error);
      },
    );
  }

  #sendAgain(entry: Registered): void {
    if (entry.isSending) entry.isStale = true;
    else this.#send(entry);
  }

  #answered(entry: Registered, connection: OwnConnection): void {
    entry.isSending = false;
    this.#held.answered(this.#runtime.clock.monotonicMs());
    this.#session().heard(connection);
  }

  #failed(entry: Registered, connection: OwnConnection, error: Error): void {
    if (!this.#isWanted(entry)) return;
    if (isTaskdError(error, ErrorCode.SUPERSEDED)) {
      const seen = parseVersion(error.hint) ?? { incarnation: 0, counter: 0 };
      const outcome = entry.claim.refused(seen, this.#runtime.clock.monotonicMs());
      // Stale: we have risen above it in the meantime.
      if (outcome === 'stale') this.#sendLater(entry, connection, againMs);
      else this.#act(entry, outcome);
      return;
    }
    const isQuota = isTaskdError(error, ErrorCode.QUOTA);
    if (isTaskdError(error, ErrorCode.INVALID, ErrorCode.FORBIDDEN) || (isQuota && error.retry === Retry.NEVER)) {
      this.#refuse(entry, error);
      return;
    }
    this.#runtime.logger.warn(
      { instance: entry.claim.instance.instanceId, reason: error.message },
      'not registered yet',
    );
    if (isTaskdError(error, ErrorCode.NOT_READY)) {
      this.#session().leave(connection, error);
      return;
    }
    this.#sendLater(entry, connection, isQuota && error.retryAfterMs > 0 ? error.retryAfterMs : againMs);
  }

  /** If the connection is another one by then, all were registered there. */
  #sendLater(entry: Registered, connection: OwnConnection, waitMs: number): void {
    const { clock, random } = this.#runtime;
    clock.timer(waitMs * (1 + random.unit()), () => {
      if (this.#connection === connection) this.#send(entry);
    });
  }

  #superseded(told: taskd.Superseded.$Properties): void {
    const entry = this.#wanted.get(nameOf(told));
    if (entry === undefined) return;
    const seen = { incarnation: told.seen?.incarnation ?? 0, counter: told.seen?.counter ?? 0 };
    this.#act(entry, entry.claim.superseded(seen, this.#runtime.clock.monotonicMs()));
  }

  #act(entry: Registered, outcome: Supersession): void {
    if (outcome === 'again') this.#sendAgain(entry);
    if (outcome !== 'duplicate') return;
    const { instanceId, service } = entry.claim.instance;
    this.#refuse(
      entry,
      new TaskdError(
        ErrorCode.DUPLICATE_ID,
        `another process keeps registering ${instanceId} of ${service}; give one of the two another id`,
      ),
    );
  }

  #refuse(entry: Registered, error: TaskdError): void {
    if (this.#isWanted(entry)) this.#wanted.delete(entry.name);
    const { logger } = this.#runtime;
    const instance = entry.claim.instance.instanceId;
    logger.error({ instance, code: error.codeName }, error.message);
    entry.reject(error);
    try {
      entry.onRefused(error);
    } catch (failure) {
      logger.error({ instance, stack: (failure as Error)?.stack ?? String(failure) }, 'a listener failed');
    }
  }

  #isWanted(entry: Registered): boolean {
    return this.#wanted.get(entry.name) === entry;
  }

  #end(entry: Registered): Promise<void> {
    if (!this.#isWanted(entry)) return Promise.resolve();
    this.#wanted.delete(entry.name);
    entry.reject(closedError());
    // What no name server was ever asked for is nowhere.
    if (!entry.wasSent) return Promise.resolve();
    return new Promise((resolve) => {
      const { clock } = this.#runtime;
      const wait = clock.timer(closeMs, resolve);
      const forget = clock.timer(endingMs, () => this.#ending.delete(entry));
      this.#ending.set(entry, () => {
        wait.cancel();
        forget.cancel();
        resolve();
      });
      void this.#deregister(entry);
    });
  }

  #forgetEnding(): void {
    for (const done of this.#ending.values()) done();
    this.#ending.clear();
  }

  async #deregister(entry: Registered): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    const { namespace = defaultNamespace, group = '', service, instanceId } = entry.claim.instance;
    // Above whatever of ours is still on its way.
    const request = { namespace, group, service, instanceId, version: entry.claim.nextVersion() };
    this.#held.sent(this.#runtime.clock.monotonicMs());
    let isAnswered = true;
    try {
      await connection.call(deregister, request, { deadlineMs: closeMs });
    } catch (error) {
      // Whatever else it says, saying it again would not help.
      isAnswered = isTaskdError(error, ErrorCode.INVALID, ErrorCode.FORBIDDEN);
    }
    if (this.#connection !== connection) return;
    this.#held.answered(this.#runtime.clock.monotonicMs());
    if (!isAnswered) return;
    this.#session().heard(connection);
    this.#ending.get(entry)?.();
    this.#ending.delete(entry);
  }
}

function messageFrom(claim: Claim): taskd.Instance.$Properties {
  const { instance } = claim;
  return {
    namespace: instance.namespace ?? defaultNamespace,
    group: instance.group ?? '',
    service: instance.service,
    instanceId: instance.instanceId,
    addresses: [...instance.addresses],
    zone: instance.zone ?? '',
    weight: instance.weight ?? 0,
    tags: [...(instance.tags ?? [])],
    metadata: { ...instance.metadata },
    version: claim.nextVersion(),
  };
}

type Named = Pick<taskd.Instance.$Properties, 'namespace' | 'group' | 'service' | 'instanceId'>;

function nameOf({ namespace, group, service, instanceId }: Named): string {
  return [namespace ?? defaultNamespace, group ?? '', service ?? '', instanceId ?? ''].join('\n');
}

function closedError(): TaskdError {
  return new TaskdError(ErrorCode.CANCELLED, 'the registry client is closed');
}

function twiceError({ service, instanceId }: NewInstance): TaskdError {
  const remedy = 'update that registration, or close it first';
  return new TaskdError(ErrorCode.DUPLICATE_ID, `this client registers ${instanceId} of ${service} already: ${remedy}`);
}
