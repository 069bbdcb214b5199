import type { NewRecord, StoredRecord } from '../../batch/record.js';
import type { CommittedBatch } from '../../coordinator/task-log.js';
import { type Effect, EffectQueue } from './effects.js';
import type { Claim, Report, SessionInfo } from './session.js';
import type { AppSnapshot, JobSnapshot, RunFilter, RunSnapshot, Verdict } from './snapshots.js';

/** Computes a job's fires; `planCron` of src/timer. Throws TaskdError INVALID for an expression or zone it refuses. */
export type Planner = (cron: string, zone: string) => { next(afterMs: number): number | undefined };

export interface ShardCoreOptions {
  readonly planner: Planner;
  /** Ended runs that stay readable; default 100,000. */
  readonly endedRunsMax?: number;
  /** Arguments of recent submits that are kept; default 64 MiB. */
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

  /** `wallMs` is the time of now; any earlier record may still be replayed. */
  constructor(_wallMs: number, _options: ShardCoreOptions) {}

  // The log.

  /** The offset after the last record that was replayed. */
  get nextOffset(): number {
    throw new Error('not built yet');
  }

  /** True between the verdict on our own Acquire and the next one's. */
  get isActive(): boolean {
    throw new Error('not built yet');
  }

  /** The offset of the Acquire in force, or -1. */
  get epoch(): number {
    throw new Error('not built yet');
  }

  /** Who owns the shard by the log, for NOT_OWNER hints; undefined when nobody does. */
  get owner(): { readonly owner: string; readonly host: string; readonly port: number } | undefined {
    throw new Error('not built yet');
  }

  /** Records that had no effect since the start, and of these the ones that their batch's class may not write. */
  get voided(): { readonly records: number; readonly forbidden: number } {
    throw new Error('not built yet');
  }

  /** Applies a batch: the only way the durable state changes. `monoMs` is now; it only delays expiries. */
  replay(_batch: CommittedBatch, _monoMs: number): void {
    throw new Error('not built yet');
  }

  /**
   * The record with which this process takes the shard: generation = the highest replayed + 1, so replay to the log's
   * end first. Drops all sessions. `nonce` must be new (16 random bytes). Answered by `active` or `notAcquired`.
   */
  acquire(_owner: string, _host: string, _port: number, _nonce: Uint8Array): NewRecord {
    throw new Error('not built yet');
  }

  /** Gives the shard up, for a drain: the record to append. Sessions end now. Undefined when it isn't ours. */
  release(): NewRecord | undefined {
    throw new Error('not built yet');
  }

  /** Stops owning at once, without a record: an append failed, or its outcome is unknown. Acquire again to go on. */
  abandon(): void {
    throw new Error('not built yet');
  }

  /** See `LogReader.caughtUp`: answers the pings and claims that came before `beganMs`. */
  caughtUp(_nextOffset: number, _beganMs: number, _nowMonoMs: number): void {
    throw new Error('not built yet');
  }

  // Workers. An unknown session id is ignored everywhere: the session ended meanwhile.

  /**
   * A worker connected. Allowed while an Acquire of ours is under way or holds; false otherwise (answer NOT_OWNER).
   * It gets leases once its claim was handled and a ping was answered. The latest session of a worker is its current one.
   */
  attach(_session: SessionInfo): boolean {
    throw new Error('not built yet');
  }

  /** The connection is gone. Its leases stay until claimed or expired. */
  detach(_sessionId: number): void {
    throw new Error('not built yet');
  }

  /** Handled, and answered by `claimed`, once its acknowledged offset is applied and a look at the log began later. */
  claim(_sessionId: number, _claim: Claim, _arrivedMonoMs: number): void {
    throw new Error('not built yet');
  }

  /** Answered by `pong` once a look at the log that began after `arrivedMonoMs` showed us still the owner. */
  ping(_sessionId: number, _sentMs: number, _arrivedMonoMs: number): void {
    throw new Error('not built yet');
  }

  /** Reports of ended attempts. Returns the records to append; credit returns at once, `acknowledged` when on disk. */
  report(_sessionId: number, _reports: readonly Report[]): NewRecord[] {
    throw new Error('not built yet');
  }

  /** Dispatches that the worker dropped unstarted; the next `decide` returns their leases, without an attempt used. */
  returned(_sessionId: number, _runs: readonly number[], _tokens: readonly number[]): void {
    throw new Error('not built yet');
  }

  /** No further leases for this session; what it has goes on. */
  draining(_sessionId: number): void {
    throw new Error('not built yet');
  }

  // Time.

  /**
   * All decisions due now, at most a few thousand a call (then `nextWakeMs` is 0). Append them with class OWNER in one
   * append together with, and after, what `report` returned. Empty unless active.
   */
  decide(_wallMs: number, _monoMs: number): NewRecord[] {
    throw new Error('not built yet');
  }

  /** Milliseconds until `decide` must be called though no input came; undefined: never. A lower bound, 0 for now. */
  nextWakeMs(_wallMs: number, _monoMs: number): number | undefined {
    throw new Error('not built yet');
  }

  // Effects.

  drain(perform: (effect: Effect) => void): void {
    this.#effects.drain(perform);
  }

  /** Asks for an `ended` effect for this run; at once (in the next drain) if it is final or unknown. */
  watchRun(_run: number): void {
    throw new Error('not built yet');
  }

  /** Asks for a `decided` effect for the proposal at `offset`; at once if there is a verdict or no such proposal. */
  watchProposal(_offset: number): void {
    throw new Error('not built yet');
  }

  // Questions; true as of `nextOffset`.

  /** The verdict on a recent JobPut, JobPause, JobResume or JobDelete; undefined: none yet, or long ago. */
  verdict(_offset: number): Verdict | undefined {
    throw new Error('not built yet');
  }

  job(_appId: number, _name: string): JobSnapshot | undefined {
    throw new Error('not built yet');
  }

  /** Jobs of an app by name, after `after` (exclusive; empty: from the first). */
  jobs(_appId: number, _after: string, _max: number): JobSnapshot[] {
    throw new Error('not built yet');
  }

  run(_run: number): RunSnapshot | undefined {
    throw new Error('not built yet');
  }

  /** Newest first. Looks at a bounded number of runs; `more` says that older ones may match. */
  runs(_filter: RunFilter): { runs: RunSnapshot[]; more: boolean } {
    throw new Error('not built yet');
  }

  stats(_appId: number): AppSnapshot {
    throw new Error('not built yet');
  }
}

/** The arguments in a record that makes runs: RunSubmit or JobPut. Empty for any other. */
export function argumentsOf(_record: StoredRecord): Uint8Array {
  throw new Error('not built yet');
}
