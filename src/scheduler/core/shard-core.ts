import { sameBytes } from '../../base/bytes.js';
import { runArgumentsBytesMax } from '../../base/limits.js';
import type { NewRecord, StoredRecord } from '../../batch/record.js';
import type { CommittedBatch } from '../../coordinator/task-log.js';
import { taskd } from '../../wire/generated/messages.js';
import { deadLettersMax } from './dead-letters.js';
import { Decider } from './decider.js';
import { type Effect, EffectQueue } from './effects.js';
import { HotWriter, noBytes } from './hot-records.js';
import { JobPlanner, type Planner } from './job-planner.js';
import { Owner } from './owner.js';
import { Replayer } from './replayer.js';
import { Mark } from './run-table.js';
import type { Claim, Report, SessionInfo } from './session.js';
import { ShardState } from './shard-state.js';
import type { AppSnapshot, JobSnapshot, RunFilter, RunPage, RunSnapshot, Verdict } from './snapshots.js';
import { Views } from './views.js';

export type { Planner };

const { Outcome, RecordType } = taskd;

/** Characters of a report's error text that are kept. */
const errorLengthMax = 4_096;

const argumentsBytesDefault = 16 * 1024 * 1024;

export interface ShardCoreOptions {
  readonly planner: Planner;
  /** Ended runs that stay readable; default 100,000. */
  readonly endedRunsMax?: number;
  /** Dead letters that stay until they are replayed. Tests only: see `deadLettersMax`, a constant of the log's format. */
  readonly deadLettersMax?: number;
  /** Arguments of runs that haven't ended, kept in memory; default 16 MiB. Others are read from the log. */
  readonly argumentsBytesMax?: number;
}

/**
 * One shard of the scheduler: a pure, synchronous state machine.
 *
 * Inputs: committed batches (`replay`), what workers say (`attach` … `returned`), looks at the log's end (`caughtUp`),
 * and time (`decide`). Outputs: records to append (OWNER class, in order, in one append a turn) and effects, drained
 * after each input. The driver's turn: inputs → `decide` → append what `decide` and `report` returned → `drain`.
 *
 * It owns the shard between the `active` effect and `deposed` (or `abandon`). Before and after, `replay` goes on and
 * questions are answered, but nothing is decided.
 */
export class ShardCore {
  readonly #effects: EffectQueue = new EffectQueue();
  readonly #state: ShardState;
  readonly #owner: Owner;
  readonly #replayer: Replayer;
  readonly #decider: Decider;
  readonly #views: Views;
  readonly #writer: HotWriter = new HotWriter();
  /** Of the Acquire that is on its way. */
  #nonce: Uint8Array | undefined;

  /** `wallMs` is the time of now; any earlier record may still be replayed. */
  constructor(wallMs: number, options: ShardCoreOptions) {
    const argumentsBytesMax = options.argumentsBytesMax ?? argumentsBytesDefault;
    this.#state = new ShardState(
      wallMs,
      options.endedRunsMax ?? 100_000,
      options.deadLettersMax ?? deadLettersMax,
      argumentsBytesMax,
    );
    this.#owner = new Owner(this.#state, this.#effects);
    this.#state.observer = this.#owner;
    this.#replayer = new Replayer(this.#state);
    this.#decider = new Decider(this.#state, this.#owner, this.#replayer.runs, new JobPlanner(options.planner));
    this.#views = new Views(this.#state, this.#owner.sessions);
  }

  // The log.

  /** The offset after the last record that was replayed. */
  get nextOffset(): number {
    return this.#state.nextOffset;
  }

  /** True between the verdict on our own Acquire and the next one's. */
  get isActive(): boolean {
    return this.#owner.isActive;
  }

  /** The offset of the Acquire in force, or -1. */
  get epoch(): number {
    return this.#state.ownership.epoch;
  }

  /** Who owns the shard by the log, for NOT_OWNER hints; undefined when nobody does. */
  get owner(): { readonly owner: string; readonly host: string; readonly port: number } | undefined {
    const { owner, host, port } = this.#state.ownership;
    return owner === '' ? undefined : { owner, host, port };
  }

  /** Records that had no effect since the start, and of these the ones that their batch's class may not write. */
  get voided(): { readonly records: number; readonly forbidden: number } {
    return { records: this.#state.voidRecords, forbidden: this.#state.forbiddenRecords };
  }

  /** Dead letters that made room for newer ones since the start of the log: they can't be replayed any more. */
  get deadLettersDroppedTotal(): number {
    return this.#state.deadLetters.droppedTotal;
  }

  /** Applies a batch: the only way the durable state changes. `monoMs` is now; it only delays expiries. */
  replay(batch: CommittedBatch, monoMs: number): void {
    this.#owner.notice(monoMs);
    for (const record of batch.records) this.#replayRecord(record, batch);
    this.#state.nextOffset = batch.baseOffset + batch.records.length;
  }

  /**
   * The record with which this process takes the shard: generation = the highest replayed + 1, so replay to the log's
   * end first. Drops all sessions. `nonce` must be new (16 random bytes). Answered by `active` or `notAcquired`.
   */
  acquire(owner: string, host: string, port: number, nonce: Uint8Array): NewRecord {
    this.#drop();
    this.#nonce = nonce;
    const generation = this.#state.ownership.generation + 1;
    const value = taskd.Acquire.encode({ owner, address: { host, port }, generation, nonce }).finish();
    return { type: RecordType.ACQUIRE, value };
  }

  /** Gives the shard up, for a drain: the record to append. Sessions end now. Undefined when it isn't ours. */
  release(): NewRecord | undefined {
    if (!this.#owner.isActive) return undefined;
    const value = taskd.Release.encode({ epoch: this.epoch }).finish();
    this.#drop();
    return { type: RecordType.RELEASE, value };
  }

  /** Stops owning at once, without a record: an append failed, or its outcome is unknown. Acquire again to go on. */
  abandon(): void {
    this.#nonce = undefined;
    this.#drop();
  }

  /** See `LogReader.caughtUp`: answers the pings and claims that came before `beganMs`. */
  caughtUp(nextOffset: number, beganMs: number, nowMonoMs: number): void {
    this.#owner.notice(nowMonoMs);
    this.#state.nextOffset = Math.max(this.#state.nextOffset, nextOffset);
    if (this.#owner.isActive) this.#owner.looked(beganMs, nowMonoMs);
  }

  // Workers. An unknown session id is ignored everywhere: the session ended meanwhile.

  /**
   * A worker connected. Allowed while an Acquire of ours is under way or holds; false otherwise (answer NOT_OWNER).
   * It gets leases once its claim was handled and a ping was answered. The latest session of a worker is its current one.
   */
  attach(session: SessionInfo): boolean {
    if (!this.#owner.isActive && this.#nonce === undefined) return false;
    this.#owner.sessions.attach(session);
    return true;
  }

  /** The connection is gone. Its leases stay until claimed or expired. */
  detach(sessionId: number): void {
    const session = this.#owner.sessions.find(sessionId);
    if (session !== undefined) this.#owner.sessions.detach(session);
  }

  /** Handled, and answered by `claimed`, once its acknowledged offset is applied and a look at the log began later. */
  claim(sessionId: number, claim: Claim, arrivedMonoMs: number): void {
    const session = this.#owner.sessions.find(sessionId);
    if (session !== undefined) this.#owner.claim(session, claim, arrivedMonoMs);
  }

  /** Answered by `pong` once a look at the log that began after `arrivedMonoMs` showed us still the owner. */
  ping(sessionId: number, sentMs: number, arrivedMonoMs: number): void {
    const session = this.#owner.sessions.find(sessionId);
    if (session !== undefined) this.#owner.ping(session, sentMs, arrivedMonoMs);
  }

  /** Reports of ended attempts. Returns the records to append; credit returns at once, `acknowledged` when on disk. */
  report(sessionId: number, reports: readonly Report[]): NewRecord[] {
    const records: NewRecord[] = [];
    const session = this.#owner.sessions.find(sessionId);
    if (session === undefined || !this.#owner.isActive) return records;
    for (const report of reports) {
      if (this.#owner.takeReport(session, report)) {
        records.push({ type: RecordType.RUN_REPORT, value: this.#writeReport(report) });
      }
    }
    return records;
  }

  /** Dispatches that the worker dropped unstarted; the next `decide` returns their leases, without an attempt used. */
  returned(sessionId: number, runs: readonly number[], tokens: readonly number[]): void {
    const session = this.#owner.sessions.find(sessionId);
    if (session === undefined || !this.#owner.isActive) return;
    runs.forEach((run, i) => {
      const token = tokens[i];
      if (token !== undefined) this.#owner.returned(session, run, token);
    });
  }

  /** No further leases for this session; what it has goes on. */
  draining(sessionId: number): void {
    const session = this.#owner.sessions.find(sessionId);
    if (session !== undefined) session.isDraining = true;
  }

  // Time.

  /**
   * All decisions due now, at most a few thousand a call (then `nextWakeMs` is 0). Append them with class OWNER in one
   * append together with, and after, what `report` returned. Empty unless active.
   */
  decide(wallMs: number, monoMs: number): NewRecord[] {
    this.#owner.notice(monoMs);
    return this.#decider.decide(wallMs, monoMs);
  }

  /** Milliseconds until `decide` must be called though no input came; undefined: never. A lower bound, 0 for now. */
  nextWakeMs(wallMs: number, monoMs: number): number | undefined {
    return this.#decider.nextWakeMs(wallMs, monoMs);
  }

  /** What became of a lease whose dispatch had to wait: it stands, its attempt is to be stopped, or it is over. */
  leaseOf(run: number, token: number): 'stands' | 'stopping' | 'over' {
    const { runs } = this.#state;
    const slot = runs.find(run);
    if (slot === 0 || !runs.isLeased(slot) || runs.lease.get(slot) !== token) return 'over';
    return runs.state.get(slot) === taskd.RunState.CANCELLING ? 'stopping' : 'stands';
  }

  // Effects.

  drain(perform: (effect: Effect) => void): void {
    this.#effects.drain(perform);
  }

  /** Asks for an `ended` effect for this run; at once (in the next drain) if it is final or unknown. */
  watchRun(run: number): void {
    const { runs } = this.#state;
    const slot = runs.find(run);
    if (slot !== 0 && (runs.isWaiting(slot) || runs.isLeased(slot))) runs.setMark(slot, Mark.WATCHED);
    else this.#effects.add({ kind: 'ended', run });
  }

  /**
   * Asks for a `decided` effect for the proposal at `offset`, which was applied; at once if there is a verdict or no such
   * proposal.
   */
  watchProposal(offset: number): void {
    if (this.#state.jobs.isProposed(offset)) this.#owner.watchProposal(offset);
    else this.#effects.add({ kind: 'decided', offset });
  }

  // Questions; true as of `nextOffset`.

  /** The verdict on a recent JobPut, JobPause, JobResume or JobDelete; undefined: none yet, or long ago. */
  verdict(offset: number): Verdict | undefined {
    return this.#state.verdicts.get(offset);
  }

  job(appId: number, name: string): JobSnapshot | undefined {
    return this.#views.job(appId, name);
  }

  /** Jobs of an app by name, after `after` (exclusive; empty: from the first). */
  jobs(appId: number, after: string, max: number): JobSnapshot[] {
    return this.#views.jobs(appId, after, max);
  }

  run(run: number): RunSnapshot | undefined {
    return this.#views.run(run);
  }

  /** Newest first. Looks at a bounded number of runs; `nextBefore` says where to go on, as older ones may match. */
  runs(filter: RunFilter): RunPage {
    return this.#views.runs(filter);
  }

  stats(appId: number): AppSnapshot {
    return this.#views.stats(appId);
  }

  /** Estimated bytes of the runs' table. */
  get runBytes(): number {
    return this.#state.runs.bytes + this.#state.wheel.bytes;
  }

  #replayRecord(record: StoredRecord, batch: CommittedBatch): void {
    const owner = this.#owner;
    owner.lastHolder = undefined;
    const counted = this.#replayer.apply(record, batch);
    if (record.type === RecordType.ACQUIRE) {
      this.#seeAcquire(record, counted);
    } else if (record.type === RecordType.RELEASE) {
      if (counted && owner.isActive) this.#depose();
    } else if (owner.isActive) {
      this.#seeRecord(record, counted);
    }
  }

  /** What the owner does with a record after it was applied. */
  #seeRecord(record: StoredRecord, counted: boolean): void {
    const owner = this.#owner;
    const { decidedRun, decidedJob } = this.#replayer.applied;
    if (decidedRun >= 0) owner.settle(decidedRun, record.type === RecordType.RUN_LEASED, counted);
    if (decidedJob !== undefined) decidedJob.isPending = false;
    if (!counted) return;
    if (record.type === RecordType.RUN_REPORT) owner.acknowledge(this.#replayer.runs.report, record.offset);
    else if (record.type === RecordType.WORKER_ALIVE) owner.workerAlive(record.value ?? noBytes);
  }

  #seeAcquire(record: StoredRecord, counted: boolean): void {
    const isOurs = this.#nonce !== undefined && sameBytes(nonceOf(record), this.#nonce);
    if (isOurs) {
      this.#nonce = undefined;
      if (counted) {
        this.#owner.activate(this.#owner.monoMs);
        this.#effects.add({ kind: 'active', epoch: record.offset });
      } else {
        this.#drop();
        this.#effects.add({ kind: 'notAcquired' });
      }
    } else if (counted && this.#owner.isActive) {
      this.#depose();
    }
  }

  #depose(): void {
    const { owner, host, port } = this.#state.ownership;
    this.#drop();
    this.#effects.add({ kind: 'deposed', owner, host, port });
  }

  #drop(): void {
    this.#decider.drop();
    this.#owner.drop();
  }

  /** A result beyond the limit fails the attempt: the log must not take it. */
  #writeReport(report: Report): Uint8Array {
    const result = report.result ?? noBytes;
    const isTooLarge = result.length > runArgumentsBytesMax;
    return this.#writer.report(
      report.run ?? 0,
      report.token ?? 0,
      isTooLarge ? Outcome.OUTCOME_FAILED : (report.outcome ?? Outcome.OUTCOME_UNSPECIFIED),
      isTooLarge ? noBytes : result,
      isTooLarge
        ? `the result has ${result.length} bytes; at most ${runArgumentsBytesMax} are allowed`
        : (report.error ?? '').slice(0, errorLengthMax),
      report.nonRetryable ?? false,
      report.retryAfterMs ?? -1,
      report.ranMs ?? 0,
    );
  }
}

function nonceOf(record: StoredRecord): Uint8Array {
  try {
    return taskd.Acquire.decode(record.value ?? noBytes).nonce;
  } catch {
    return noBytes;
  }
}

/** The arguments in a record that makes runs: RunSubmit or JobPut. Empty for any other. */
export function argumentsOf(record: StoredRecord): Uint8Array {
  const value = record.value ?? noBytes;
  try {
    if (record.type === RecordType.RUN_SUBMIT) return taskd.RunSubmit.decode(value).arguments;
    if (record.type === RecordType.JOB_PUT) return taskd.JobPut.decode(value).arguments;
  } catch {
    // Malformed, so it never made a run that could start.
  }
  return noBytes;
}
