/**
 * Runs a worker: keeps a session with the owner of the app's shard, starts what the session core lets it start, and
 * brings the reports home.
 *
 * States: `IDLE ── start ──► WORKING ── drain ──► DRAINING ── all reported ──► STOPPED`; `stop` leads to STOPPED from
 * anywhere. Within WORKING and DRAINING a session is sought, stands, falls and is sought again with back-off.
 *
 * Order of effects in a turn: what came is given to the core; at the turn's end leases are started, then returned
 * leases leave, then reports. A new session says ping, claim, (draining,) reports, in this order on one connection.
 */
import { ErrorCode, errorCodeName, isTaskdError, TaskdError } from '../base/errors.js';
import type { NewRecord } from '../batch/record.js';
import { encodePayload } from '../client/payload.js';
import type { ClientStream } from '../rpc/caller.js';
import type { Timer } from '../runtime/clock.js';
import type { Runtime } from '../runtime/runtime.js';
import { Timers } from '../timer/timers.js';
import { taskd } from '../wire/generated/messages.js';
import { attach, claim, draining, reports, returnLeases, sessionPing } from '../wire/methods.js';
import { Attempt, type Report } from './attempt.js';
import type { AppPlace, OwnerLink, SessionConnection } from './owner-link.js';
import type { Processor } from './processor.js';
import { describeThrown, NonRetryable, RetryAfter, type StopCause } from './run-error.js';
import { LeasePhase, SessionCore } from './session-core.js';

const tickMs = 250;
const pingMs = 2_000;
const backoffMinMs = 50;
const backoffMaxMs = 5_000;
/** From telling a processor to stop until its attempt is reported without it. */
const stopGraceMs = 10_000;
/** Pushes granted to the owner; granted anew in halves. */
const pushCredit = 128;
/** One frame of reports, one batch of own appends. */
const reportsCountMax = 1_024;
const reportsBytesMax = 512 * 1_024;

export interface WorkerDriverOptions {
  readonly workerId: string;
  readonly incarnation: number;
  readonly processors: ReadonlyMap<string, Processor>;
  readonly slots: number;
  readonly prefetch: number;
}

type State = 'idle' | 'working' | 'draining' | 'stopped';

interface Session {
  readonly connection: SessionConnection;
  readonly place: AppPlace;
  stream: ClientStream | undefined;
  pushesTaken: number;
  pingDueMs: number;
}

export class WorkerDriver {
  readonly #runtime: Runtime;
  readonly #link: OwnerLink;
  readonly #options: WorkerDriverOptions;
  readonly #core: SessionCore<Attempt>;
  readonly #timers: Timers;
  #state: State = 'idle';
  #session: Session | undefined;
  #place: AppPlace | undefined;
  #isConnecting = false;
  #failures = 0;
  #retry: Timer | undefined;
  #tick: Timer | undefined;
  #isPumpPlanned = false;
  #returnedRuns: number[] = [];
  #returnedTokens: number[] = [];
  #attached: (() => void)[] = [];
  #idle: (() => void)[] = [];
  /** Attempts started, and reports by outcome; read by metrics. */
  startedTotal = 0;
  succeededTotal = 0;
  failedTotal = 0;
  sessionsTotal = 0;

  constructor(runtime: Runtime, link: OwnerLink, options: WorkerDriverOptions) {
    this.#runtime = runtime;
    this.#link = link;
    this.#options = options;
    this.#core = new SessionCore(options.slots, runtime.clock.monotonicMs());
    this.#timers = new Timers(runtime.clock);
  }

  get state(): State {
    return this.#state;
  }

  get runningCount(): number {
    return this.#core.runningCount;
  }

  /** Resolves once the first session stands: the owner knows this worker and may dispatch to it. Tries for ever. */
  start(): Promise<void> {
    if (this.#state !== 'idle') {
      return Promise.reject(new TaskdError(ErrorCode.INVALID, 'a worker starts once: make a new one'));
    }
    this.#state = 'working';
    this.#planTick();
    this.#connect();
    return new Promise((resolve) => this.#attached.push(resolve));
  }

  /** Takes nothing more, lets what runs end, waits until all reports are on disk, then stops. */
  async drain(): Promise<void> {
    if (this.#state === 'working') {
      this.#state = 'draining';
      for (const waiting of this.#core.drain()) this.#giveBack(waiting);
      const session = this.#session;
      if (session !== undefined) session.connection.send(draining, { shard: session.place.shard });
      this.#planPump();
    }
    if (this.#state === 'draining' && !this.#core.isIdle) await new Promise<void>((done) => this.#idle.push(done));
    await this.stop();
  }

  /** Gives up what runs (it counts as lost, not as an attempt) and closes. Processors see their signal. */
  async stop(): Promise<void> {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    for (const waiting of this.#core.drain()) this.#giveBack(waiting);
    for (const attempt of [...this.#core.held()]) {
      if (attempt.phase !== LeasePhase.RUNNING) continue;
      attempt.stop('worker-stops');
      this.#finish(attempt, { outcome: taskd.Outcome.OUTCOME_ABANDONED, error: 'the worker stopped' });
    }
    this.#flush();
    this.#tick?.cancel();
    this.#retry?.cancel();
    this.#timers.close();
    const session = this.#session;
    this.#session = undefined;
    this.#core.closed();
    session?.stream?.cancel();
    session?.connection.close();
    for (const done of this.#idle.splice(0)) done();
    for (const done of this.#attached.splice(0)) done();
    await this.#link.close();
  }

  // ---- the session

  #connect(): void {
    if (this.#isConnecting || this.#session !== undefined || this.#state === 'stopped') return;
    this.#isConnecting = true;
    this.#openSession().then(
      () => {
        this.#isConnecting = false;
      },
      (error: unknown) => {
        this.#isConnecting = false;
        this.#connectLater(error);
      },
    );
  }

  #connectLater(error: unknown): void {
    if (this.#state === 'stopped' || this.#retry !== undefined) return;
    const limit = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#failures++, 10));
    const delayMs = 1 + this.#runtime.random.unit() * limit;
    const reason = isTaskdError(error) ? errorCodeName(error.code) : undefined;
    const fields = { worker: this.#options.workerId, reason, error: String(error), delayMs: Math.round(delayMs) };
    if (this.#failures > 1) this.#runtime.logger.warn(fields, 'no session with a scheduler; trying again');
    this.#retry = this.#runtime.clock.timer(delayMs, () => {
      this.#retry = undefined;
      this.#connect();
    });
  }

  async #openSession(): Promise<void> {
    const place = await this.#link.locate();
    if (this.#state === 'stopped') return;
    this.#place = place;
    const connection = await this.#link.dial(place.owner);
    if (this.#isStopped()) {
      connection.close();
      return;
    }
    const now = this.#runtime.clock.monotonicMs();
    const session: Session = { connection, place, stream: undefined, pushesTaken: 0, pingDueMs: now };
    this.#session = session;
    this.sessionsTotal++;
    connection.onDrain(() => this.#lost(session, new Error('the scheduler is leaving')));
    connection.onClose((error) => this.#lost(session, error ?? new Error('connection closed')));
    const options = this.#options;
    session.stream = connection.open(
      attach,
      {
        shard: place.shard,
        appId: place.appId,
        workerId: options.workerId,
        incarnation: options.incarnation,
        processors: [...options.processors.keys()],
        capacity: options.slots + options.prefetch,
        weight: options.slots,
      },
      pushCredit,
      {
        push: (message) => this.#pushed(session, message),
        end: (error) => this.#lost(session, error ?? new Error('the scheduler ended the session')),
      },
    );
    const lists = this.#core.opened(now);
    this.#ping(session, now);
    const request = {
      shard: place.shard,
      incarnation: options.incarnation,
      running: [...lists.running],
      unreported: [...lists.unreported],
      acknowledgedOffset: lists.acknowledgedOffset ?? null,
    };
    const answered = connection.call(claim, request);
    if (this.#state === 'draining') connection.send(draining, { shard: place.shard });
    this.#planPump();
    let message: taskd.ClaimResponse;
    try {
      message = (await answered).message;
    } catch (error) {
      // A session without its claim would get no work: another one may.
      this.#lost(session, error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.#session !== session) return;
    this.#failures = 0;
    for (const gone of this.#core.claimed(message.epoch, message.kept)) this.#stopAttempt(gone, 'lease-lost');
    for (const done of this.#attached.splice(0)) done();
    this.#planPump();
  }

  #isStopped(): boolean {
    return this.#state === 'stopped';
  }

  #lost(session: Session, error: Error): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    this.#core.closed();
    // A return belongs to its session: the owner may send the same lease again on the next one, where it would run.
    this.#returnedRuns = [];
    this.#returnedTokens = [];
    session.stream?.cancel();
    session.connection.close();
    this.#runtime.logger.debug({ worker: this.#options.workerId, error: error.message }, 'session over');
    this.#connectLater(error);
  }

  #ping(session: Session, now: number): void {
    session.pingDueMs = now + pingMs;
    session.connection.call(sessionPing, { shard: session.place.shard, sentMonotonicMs: now }).then(
      ({ message }) => {
        if (this.#session !== session) return;
        this.#core.pingAnswered(message.sentMonotonicMs, this.#runtime.clock.monotonicMs());
        this.#planPump();
      },
      (error: unknown) => {
        // Only a silent owner is given time; one that answers otherwise isn't the owner.
        if (isTaskdError(error, ErrorCode.DEADLINE)) return;
        this.#lost(session, error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  #planTick(): void {
    this.#tick = this.#runtime.clock.timer(tickMs, () => {
      const now = this.#runtime.clock.monotonicMs();
      const session = this.#session;
      if (session !== undefined) {
        if (this.#core.isSilent(now)) this.#lost(session, new Error('the scheduler does not answer'));
        else if (now >= session.pingDueMs) this.#ping(session, now);
      }
      this.#useLog(now);
      if (!this.#isStopped()) this.#planTick();
    });
  }

  // ---- dispatches

  #pushed(session: Session, push: taskd.SessionPush): void {
    if (this.#session !== session) return;
    const now = this.#runtime.clock.monotonicMs();
    if (push.acknowledged.length > 0) this.#acknowledged(push.acknowledged, push.acknowledgedOffset);
    for (const dispatch of push.dispatches as taskd.Dispatch[]) {
      const processor = this.#options.processors.get(dispatch.processor);
      const attempt = new Attempt(dispatch, session.place.shard, processor);
      if (this.#core.offer(attempt, dispatch.epoch, now) === 'return') this.#giveBack(attempt);
    }
    for (const token of push.cancels) {
      const attempt = this.#core.lease(token);
      if (attempt?.phase === LeasePhase.RUNNING) this.#stopAttempt(attempt, 'cancelled');
      else if (attempt?.phase === LeasePhase.QUEUED) {
        this.#finish(attempt, { outcome: taskd.Outcome.OUTCOME_CANCELLED, error: 'cancelled before it started' });
      }
    }
    if (++session.pushesTaken >= pushCredit / 2) {
      session.stream?.credit(session.pushesTaken);
      session.pushesTaken = 0;
    }
    if (push.notOwner) this.#lost(session, new Error('another scheduler owns the app'));
    this.#planPump();
  }

  #giveBack(attempt: Attempt): void {
    if (this.#session === undefined) return;
    this.#returnedRuns.push(attempt.run);
    this.#returnedTokens.push(attempt.token);
  }

  #planPump(): void {
    if (this.#isPumpPlanned) return;
    this.#isPumpPlanned = true;
    this.#runtime.clock.defer(this.#pump);
  }

  readonly #pump = (): void => {
    this.#isPumpPlanned = false;
    if (this.#isStopped()) return;
    const now = this.#runtime.clock.monotonicMs();
    for (let attempt = this.#core.next(now); attempt !== undefined; attempt = this.#core.next(now)) {
      this.#run(attempt, now);
    }
    this.#flush();
  };

  #run(attempt: Attempt, now: number): void {
    this.startedTotal++;
    attempt.startedMs = now;
    if (attempt.timeoutMs > 0) {
      attempt.deadline = this.#runtime.clock.wallMs() + attempt.timeoutMs;
      attempt.timeout = this.#timers.after(attempt.timeoutMs, () => this.#stopAttempt(attempt, 'timed-out'));
    }
    if (attempt.processor === undefined) {
      const error = `this worker has no processor "${attempt.processorName}"`;
      this.#finish(attempt, { outcome: taskd.Outcome.OUTCOME_FAILED, error });
      return;
    }
    try {
      const result = attempt.call();
      if (!isThenable(result)) this.#succeeded(attempt, result);
      else {
        result.then(
          (value) => this.#succeeded(attempt, value),
          (error: unknown) => this.#failed(attempt, error),
        );
      }
    } catch (error) {
      this.#failed(attempt, error);
    }
  }

  #succeeded(attempt: Attempt, value: unknown): void {
    if (attempt.phase !== LeasePhase.RUNNING) return;
    let result: Uint8Array;
    try {
      result = encodePayload(value, 'the results');
    } catch (error) {
      this.#failed(attempt, new NonRetryable((error as Error).message));
      return;
    }
    this.#finish(attempt, { outcome: taskd.Outcome.OUTCOME_SUCCEEDED, result });
  }

  #failed(attempt: Attempt, thrown: unknown): void {
    if (attempt.phase !== LeasePhase.RUNNING) return;
    const error = describeThrown(thrown);
    if (attempt.stopCause !== undefined) {
      this.#finish(attempt, { outcome: stoppedOutcome[attempt.stopCause], error });
      return;
    }
    this.#finish(attempt, {
      outcome: taskd.Outcome.OUTCOME_FAILED,
      error,
      nonRetryable: thrown instanceof NonRetryable || isTaskdError(thrown, ErrorCode.INVALID),
      ...(thrown instanceof RetryAfter ? { retryAfterMs: Math.max(0, Math.round(thrown.delayMs)) } : {}),
    });
  }

  /** Tells the processor to stop, and stops waiting for it after the grace: it can't be killed where it runs. */
  #stopAttempt(attempt: Attempt, cause: StopCause): void {
    if (attempt.phase !== LeasePhase.RUNNING || attempt.stopCause !== undefined) return;
    attempt.stop(cause);
    if (attempt.timeout !== undefined) this.#timers.cancel(attempt.timeout);
    attempt.timeout = this.#timers.after(stopGraceMs, () => {
      const error = `${cause}: the processor went on for ${stopGraceMs} ms after its signal and is not waited for`;
      this.#runtime.logger.warn({ run: attempt.runId, processor: attempt.processorName }, error);
      this.#finish(attempt, { outcome: stoppedOutcome[cause], error });
    });
  }

  #finish(attempt: Attempt, report: Report): void {
    const now = this.#runtime.clock.monotonicMs();
    const wasRunning = attempt.phase === LeasePhase.RUNNING;
    if (!this.#core.finish(attempt, now)) return;
    if (attempt.timeout !== undefined) this.#timers.cancel(attempt.timeout);
    attempt.timeout = undefined;
    report.run = attempt.run;
    report.token = attempt.token;
    if (wasRunning) report.ranMs = Math.round(now - attempt.startedMs);
    attempt.report = report;
    if (report.outcome === taskd.Outcome.OUTCOME_SUCCEEDED) this.succeededTotal++;
    else this.failedTotal++;
    this.#planPump();
  }

  // ---- reports

  #flush(): void {
    const session = this.#session;
    if (session === undefined) return;
    if (this.#returnedTokens.length > 0) {
      const request = { shard: session.place.shard, runs: this.#returnedRuns, tokens: this.#returnedTokens };
      this.#returnedRuns = [];
      this.#returnedTokens = [];
      session.connection.send(returnLeases, request);
    }
    for (;;) {
      const taken = this.#core.takeReports(reportsCountMax);
      if (taken.length === 0) return;
      let part: Report[] = [];
      let bytes = 0;
      for (const { report } of taken) {
        const length = reportBytes(report!);
        if (bytes + length > reportsBytesMax) {
          session.connection.send(reports, { shard: session.place.shard, reports: part });
          part = [];
          bytes = 0;
        }
        part.push(report!);
        bytes += length;
      }
      session.connection.send(reports, { shard: session.place.shard, reports: part });
    }
  }

  #acknowledged(tokens: readonly number[], offset: number): void {
    this.#core.acknowledged(tokens, offset);
    if (this.#core.isIdle) for (const done of this.#idle.splice(0)) done();
  }

  /** What the session doesn't bring home goes to the log directly: overdue reports, and the beat for what runs. */
  #useLog(now: number): void {
    const place = this.#place;
    if (place === undefined) return;
    const overdue = this.#core.takeOverdue(now, reportsCountMax);
    if (overdue.length > 0) {
      const records: NewRecord[] = overdue.map(({ report }) => ({
        type: taskd.RecordType.RUN_REPORT,
        value: taskd.RunReport.encode(report!).finish(),
      }));
      this.#link.append(place, records).then(
        (offset) =>
          this.#acknowledged(
            overdue.map((attempt) => attempt.token),
            offset,
          ),
        (error: unknown) => {
          this.#core.appendFailed(overdue);
          this.#runtime.logger.warn({ reports: overdue.length, error: String(error) }, 'reports could not be appended');
        },
      );
    }
    const running = this.#core.takeAlive(now);
    if (running === undefined) return;
    const { workerId, incarnation } = this.#options;
    const value = taskd.WorkerAlive.encode({ workerId, incarnation, running }).finish();
    this.#link.append(place, [{ type: taskd.RecordType.WORKER_ALIVE, value }]).catch((error: unknown) => {
      this.#runtime.logger.warn({ error: String(error) }, 'the beat through the log failed');
    });
  }
}

const stoppedOutcome: Readonly<Record<StopCause, taskd.Outcome>> = {
  cancelled: taskd.Outcome.OUTCOME_CANCELLED,
  'timed-out': taskd.Outcome.OUTCOME_TIMED_OUT,
  'lease-lost': taskd.Outcome.OUTCOME_ABANDONED,
  'worker-stops': taskd.Outcome.OUTCOME_ABANDONED,
};

/** Roughly what a report takes in a frame: characters may take three bytes. */
function reportBytes(report: Report): number {
  return 64 + (report.result?.length ?? 0) + 3 * (report.error?.length ?? 0);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
