/**
 * A run's life, as replay knows it.
 *
 * ```
 * SCHEDULED ─due─▶ READY ─RunLeased─▶ RUNNING ─RunReport: succeeded─▶ SUCCEEDED
 *     │              ▲                 │ │ │
 *     │ RunRefused   │ due             │ │ └─RunCancel, AttemptTimedOut─▶ CANCELLING (keeps the lease)
 *     ▼              │                 │ └─LeaseReturned─▶ READY (no attempt used)
 *   REFUSED      RETRY_WAIT ◀──────────┤ failed (attempts left), LeaseLost (`lost` left)
 *                                      └ failed or lost for the last time ─▶ DEAD ─RunReplay─▶ a new run
 * waiting ─RunCancel─▶ CANCELLED
 * CANCELLING by RunCancel ─any end of the lease─▶ CANCELLED (a success still counts)
 * CANCELLING by AttemptTimedOut ─report or LeaseLost─▶ as a failed attempt; ─LeaseReturned─▶ READY
 * ```
 *
 * SCHEDULED, READY and RETRY_WAIT are one state in the log, "waiting"; being due is the owner's own judgement. Every
 * record names what it was decided on, and is void where that doesn't hold any more. A final state never changes.
 */
import { nameLengthMax } from '../../base/limits.js';
import type { StoredRecord } from '../../batch/record.js';
import { taskd } from '../../wire/generated/messages.js';
import {
  type LeasedFields,
  newLeasedFields,
  newReportFields,
  newSubmitFields,
  noBytes,
  type ReportFields,
  readLeased,
  readReport,
  readSubmit,
  type SubmitFields,
} from './hot-records.js';
import type { Job } from './job-table.js';
import { delayMsMax, lostDelayMs, lostMax, retryBytesMax, retryDelayMs } from './retry-policy.js';
import { Flag, Mark } from './run-table.js';
import { runPayload, type ShardState } from './shard-state.js';
import { submitProblem } from './submit-rules.js';

const { RunState, Outcome } = taskd;

export class RunMachine {
  readonly #state: ShardState;
  readonly #submit: SubmitFields = newSubmitFields();
  readonly #leased: LeasedFields = newLeasedFields();
  /** The last RunReport that was read. */
  readonly report: ReportFields = newReportFields();

  constructor(state: ShardState) {
    this.#state = state;
  }

  /** RunSubmit: always makes a run; a bad one waits for its RunRefused. */
  submitted(record: StoredRecord, appendMs: number): boolean {
    const { runs, lanes, specs } = this.#state;
    const value = record.value ?? noBytes;
    const fields = this.#submit;
    const isRead = readSubmit(value, fields);
    const { processor, retry } = fields;
    // What is refused for its length must not stay in memory for as long as the run does.
    const isNamed = isRead && processor.end - processor.start <= nameLengthMax;
    const lane = isNamed
      ? lanes.intern(fields.appId, value, processor.start, processor.end)
      : lanes.internName(isRead ? fields.appId : 0, '');
    const spec =
      isRead && retry.end - retry.start <= retryBytesMax
        ? specs.intern(value, retry.start, retry.end, fields.timeoutMs)
        : specs.intern(noBytes, 0, 0, 0);
    const problem = isRead ? submitProblem(fields, specs.at(spec), appendMs) : 'the record is malformed';
    const slot = this.#create(record.offset, lane, spec, Math.min(fields.priority, 9), appendMs);
    const length = fields.arguments.end - fields.arguments.start;
    if (isRead && length > 0) {
      const place = this.#state.arguments.add(value, fields.arguments.start, fields.arguments.end);
      runs.arguments.set(slot, place === 0 ? -record.offset - 1 : place);
    }
    lanes.at(lane).app.submittedTotal++;
    if (problem !== '') {
      runs.setFlag(slot, Flag.BAD);
      this.#state.bad.set(record.offset, problem);
    }
    const dueMs = fields.runAtMs >= 0 ? fields.runAtMs : appendMs + Math.max(0, fields.delayMs);
    this.#wait(slot, RunState.SCHEDULED, problem === '' ? dueMs : appendMs, appendMs);
    return true;
  }

  /** RunScheduled: a run of `job` with its version of now. */
  fired(job: Job, id: number, fireMs: number, appendMs: number): void {
    const { runs, lanes, specs } = this.#state;
    lanes.retain(job.lane);
    specs.retain(job.spec);
    const slot = this.#create(id, job.lane, job.spec, Math.min(job.put!.priority, 9), appendMs);
    runs.arguments.set(slot, -job.version - 1);
    this.#joinJob(slot, job);
    this.#wait(slot, RunState.SCHEDULED, fireMs, appendMs);
  }

  /** RunReplay: a new run like the dead one, which leaves the dead letters. Once for each dead run. */
  replayed(id: number, run: number, appendMs: number): boolean {
    const { runs, lanes, specs, jobs, deadLetters } = this.#state;
    const dead = runs.find(run);
    if (dead === 0 || runs.state.get(dead) !== RunState.DEAD || runs.hasFlag(dead, Flag.UNLISTED)) return false;
    const { app } = lanes.at(runs.lane.get(dead));
    lanes.retain(runs.lane.get(dead));
    specs.retain(runs.spec.get(dead));
    const slot = this.#create(id, runs.lane.get(dead), runs.spec.get(dead), runs.priority.get(dead), appendMs);
    const place = runs.arguments.get(dead);
    runs.arguments.set(slot, place === 0 ? 0 : -runs.argumentsAt(dead) - 1);
    runs.setFlag(slot, Flag.IS_REPLAY);
    if (runs.job.get(dead) !== 0) this.#joinJob(slot, jobs.at(runs.job.get(dead)));
    app.replayedTotal++;
    this.#unlist(dead, Flag.REPLAYED);
    deadLetters.replayed();
    this.#wait(slot, RunState.SCHEDULED, appendMs, appendMs);
    return true;
  }

  /** RunRefused. */
  refused(run: number, offset: number, appendMs: number): boolean {
    const { runs } = this.#state;
    const slot = runs.find(run);
    if (slot === 0 || !runs.isWaiting(slot)) return false;
    this.#stopWaiting(slot);
    this.#end(slot, RunState.REFUSED, offset, appendMs);
    return true;
  }

  /** The RunLeased in `value`, or undefined when it is malformed; valid until the next call. */
  readLeased(value: Uint8Array): LeasedFields | undefined {
    return readLeased(value, this.#leased) ? this.#leased : undefined;
  }

  /** RunLeased: counts if the run still waits, with the attempts and losses that the owner saw. */
  leased(value: Uint8Array, fields: LeasedFields, offset: number, appendMs: number): boolean {
    const { runs, workers } = this.#state;
    const slot = runs.find(fields.run);
    if (
      slot === 0 ||
      !runs.isWaiting(slot) ||
      runs.attempts.get(slot) + 1 !== fields.attempt ||
      runs.lost.get(slot) !== fields.lost ||
      runs.hasFlag(slot, Flag.BAD | Flag.PARKED)
    ) {
      return false;
    }
    this.#stopWaiting(slot);
    const worker = workers.intern(value, fields.workerId.start, fields.workerId.end, fields.incarnation);
    if (runs.worker.get(slot) !== 0) workers.release(runs.worker.get(slot));
    runs.worker.set(slot, worker);
    runs.lease.set(slot, offset);
    runs.started.set(slot, appendMs);
    this.#setState(slot, RunState.RUNNING);
    workers.at(worker).unbound.push(runs, slot);
    return true;
  }

  /** LeaseReturned: the attempt never started. */
  returned(run: number, token: number, offset: number, appendMs: number): boolean {
    const { runs } = this.#state;
    const slot = this.#leasedSlot(run, token);
    if (slot === 0) return false;
    const isCancelled = runs.isCancelledByCaller(slot);
    this.#endLease(slot);
    runs.clearFlag(slot, Flag.TIMED_OUT);
    runs.lease.set(slot, -1);
    if (isCancelled) this.#end(slot, RunState.CANCELLED, offset, appendMs);
    else this.#wait(slot, RunState.SCHEDULED, runs.due.get(slot), appendMs);
    return true;
  }

  /** LeaseLost. */
  lost(run: number, token: number, offset: number, appendMs: number): boolean {
    const slot = this.#leasedSlot(run, token);
    if (slot === 0) return false;
    this.#lose(slot, offset, appendMs);
    return true;
  }

  /** AttemptTimedOut: the worker is told to stop; the lease stays until it reports. */
  timedOut(run: number, token: number): boolean {
    const { runs, observer } = this.#state;
    const slot = this.#leasedSlot(run, token);
    if (slot === 0 || runs.state.get(slot) !== RunState.RUNNING) return false;
    runs.setFlag(slot, Flag.TIMED_OUT);
    this.#setState(slot, RunState.CANCELLING);
    observer.cancelling(slot);
    return true;
  }

  /** RunReport: matched by its token only. */
  reported(record: StoredRecord, appendMs: number): boolean {
    const { runs } = this.#state;
    const fields = this.report;
    if (!readReport(record.value ?? noBytes, fields)) return false;
    const slot = runs.find(fields.run);
    if (slot === 0 || runs.lease.get(slot) !== fields.token) return false;
    const isSuccess = fields.outcome === Outcome.OUTCOME_SUCCEEDED;
    if (runs.isWaiting(slot)) {
      // The attempt before succeeded after all, and no other has begun.
      if (!isSuccess) return false;
      this.#stopWaiting(slot);
      this.#succeed(slot, record.offset, appendMs);
      return true;
    }
    if (!runs.isLeased(slot)) return false;
    if (isSuccess) {
      this.#endLease(slot);
      this.#succeed(slot, record.offset, appendMs);
    } else if (runs.isCancelledByCaller(slot)) {
      this.#endLease(slot);
      this.#end(slot, RunState.CANCELLED, record.offset, appendMs);
    } else if (fields.outcome === Outcome.OUTCOME_ABANDONED) {
      this.#lose(slot, record.offset, appendMs);
    } else {
      this.#endLease(slot);
      this.#fail(slot, fields.nonRetryable, fields.retryAfterMs, record.offset, appendMs);
    }
    return true;
  }

  /** RunCancel. */
  cancelled(run: number, offset: number, appendMs: number): boolean {
    const { runs, observer } = this.#state;
    const slot = runs.find(run);
    if (slot === 0) return false;
    if (runs.isWaiting(slot)) {
      this.#stopWaiting(slot);
      this.#end(slot, RunState.CANCELLED, offset, appendMs);
      return true;
    }
    if (runs.state.get(slot) === RunState.RUNNING) {
      this.#setState(slot, RunState.CANCELLING);
      observer.cancelling(slot);
      return true;
    }
    if (runs.state.get(slot) !== RunState.CANCELLING || !runs.hasFlag(slot, Flag.TIMED_OUT)) return false;
    runs.clearFlag(slot, Flag.TIMED_OUT);
    return true;
  }

  /** For a job's deletion: cancels the run unless it has started. */
  cancelWaiting(id: number, offset: number, appendMs: number): void {
    const { runs } = this.#state;
    const slot = runs.find(id);
    if (slot !== 0 && runs.isWaiting(slot)) this.cancelled(id, offset, appendMs);
  }

  /** The owner's wheel says that the run's time has come. */
  due(slot: number): void {
    this.#state.runs.timer.set(slot, 0);
    this.#makeReady(slot);
  }

  #create(id: number, lane: number, spec: number, priority: number, appendMs: number): number {
    const { runs } = this.#state;
    const slot = runs.add(id);
    runs.created.set(slot, appendMs);
    runs.lane.set(slot, lane);
    runs.spec.set(slot, spec);
    runs.priority.set(slot, priority);
    runs.state.set(slot, RunState.SCHEDULED);
    this.#state.lanes.at(lane).app.counts[RunState.SCHEDULED]!++;
    return slot;
  }

  /** A run of a job waits while an earlier one of it is alive. */
  #joinJob(slot: number, job: Job): void {
    const { runs } = this.#state;
    runs.job.set(slot, job.index);
    job.references++;
    if (job.live.length > 0) runs.setFlag(slot, Flag.PARKED);
    job.live.push(runs.id.get(slot));
  }

  #leaveJob(slot: number, appendMs: number): void {
    const { runs, jobs } = this.#state;
    const { live } = jobs.at(runs.job.get(slot));
    const place = live.indexOf(runs.id.get(slot));
    if (place < 0) return;
    live.splice(place, 1);
    const next = live.length === 0 ? 0 : runs.find(live[0]!);
    if (next === 0 || !runs.hasFlag(next, Flag.PARKED)) return;
    runs.clearFlag(next, Flag.PARKED);
    this.#wait(next, RunState.SCHEDULED, runs.due.get(next), appendMs);
  }

  #wait(slot: number, state: taskd.RunState, dueMs: number, nowMs: number): void {
    const { runs, wheel } = this.#state;
    runs.due.set(slot, dueMs);
    if (runs.hasFlag(slot, Flag.BAD | Flag.PARKED)) {
      this.#setState(slot, state);
    } else if (dueMs <= nowMs) {
      this.#makeReady(slot);
    } else {
      this.#setState(slot, state);
      runs.timer.set(slot, wheel.add(dueMs, runPayload(slot)));
    }
  }

  #makeReady(slot: number): void {
    const { runs, lanes } = this.#state;
    this.#setState(slot, RunState.READY);
    lanes.at(runs.lane.get(slot)).push(runs, slot);
  }

  #stopWaiting(slot: number): void {
    const { runs, lanes, wheel, bad } = this.#state;
    if (runs.hasFlag(slot, Flag.BAD)) bad.delete(runs.id.get(slot));
    if (runs.timer.get(slot) !== 0) {
      wheel.cancel(runs.timer.get(slot));
      runs.timer.set(slot, 0);
    }
    if (runs.hasMark(slot, Mark.OFF_LANE)) runs.clearMark(slot, Mark.OFF_LANE);
    else if (runs.state.get(slot) === RunState.READY) lanes.at(runs.lane.get(slot)).remove(runs, slot);
  }

  #leasedSlot(run: number, token: number): number {
    const { runs } = this.#state;
    const slot = runs.find(run);
    return slot !== 0 && runs.isLeased(slot) && runs.lease.get(slot) === token ? slot : 0;
  }

  #endLease(slot: number): void {
    const { runs, workers, observer } = this.#state;
    observer.leaseEnds(slot);
    if (runs.holder.get(slot) === 0) workers.at(runs.worker.get(slot)).unbound.remove(runs, slot);
    runs.holder.set(slot, 0);
  }

  #succeed(slot: number, offset: number, appendMs: number): void {
    const { runs, lanes } = this.#state;
    runs.attempts.set(slot, runs.attempts.get(slot) + 1);
    lanes.at(runs.lane.get(slot)).app.succeededTotal++;
    this.#end(slot, RunState.SUCCEEDED, offset, appendMs);
  }

  #fail(slot: number, isFinal: boolean, retryAfterMs: number, offset: number, appendMs: number): void {
    const { runs, lanes, specs } = this.#state;
    const spec = specs.at(runs.spec.get(slot));
    const attempts = runs.attempts.get(slot) + 1;
    runs.attempts.set(slot, attempts);
    runs.clearFlag(slot, Flag.TIMED_OUT);
    runs.cause.set(slot, offset);
    lanes.at(runs.lane.get(slot)).app.failedAttemptsTotal++;
    if (isFinal || attempts >= spec.attemptsMax) {
      this.#end(slot, RunState.DEAD, offset, appendMs);
      return;
    }
    const waitMs =
      retryAfterMs >= 0 ? Math.min(retryAfterMs, delayMsMax) : retryDelayMs(spec, runs.id.get(slot), attempts);
    this.#wait(slot, RunState.RETRY_WAIT, appendMs + waitMs, appendMs);
  }

  #lose(slot: number, offset: number, appendMs: number): void {
    const { runs, lanes, specs } = this.#state;
    const isCancelled = runs.isCancelledByCaller(slot);
    this.#endLease(slot);
    if (isCancelled) {
      this.#end(slot, RunState.CANCELLED, offset, appendMs);
      return;
    }
    if (runs.hasFlag(slot, Flag.TIMED_OUT)) {
      this.#fail(slot, false, -1, offset, appendMs);
      return;
    }
    const lost = runs.lost.get(slot) + 1;
    runs.lost.set(slot, lost);
    runs.cause.set(slot, offset);
    lanes.at(runs.lane.get(slot)).app.lostTotal++;
    // With one attempt in all, a second start might be one too many.
    if (specs.at(runs.spec.get(slot)).attemptsMax === 1 || lost > lostMax) {
      this.#end(slot, RunState.DEAD, offset, appendMs);
    } else {
      this.#wait(slot, RunState.RETRY_WAIT, appendMs + lostDelayMs(lost), appendMs);
    }
  }

  #end(slot: number, state: taskd.RunState, cause: number, appendMs: number): void {
    const { runs, lanes, ended, deadLetters, observer } = this.#state;
    this.#setState(slot, state);
    runs.cause.set(slot, cause);
    runs.timer.set(slot, appendMs);
    runs.clearFlag(slot, Flag.TIMED_OUT | Flag.PARKED);
    this.#letArgumentsGo(slot);
    const { app } = lanes.at(runs.lane.get(slot));
    if (state === RunState.CANCELLED) app.cancelledTotal++;
    if (runs.job.get(slot) !== 0) this.#leaveJob(slot, appendMs);
    observer.ended(slot);
    if (state !== RunState.DEAD) {
      this.#evict(ended.add(slot));
      return;
    }
    app.dead.push(runs, slot);
    const oldest = deadLetters.add(slot);
    if (oldest !== 0) this.#unlist(oldest, Flag.DROPPED);
  }

  /** Takes a run from the dead letters; it goes the way of the ended ones. */
  #unlist(dead: number, why: number): void {
    const { runs, lanes, ended } = this.#state;
    const { app } = lanes.at(runs.lane.get(dead));
    app.dead.remove(runs, dead);
    app.counts[RunState.DEAD]!--;
    runs.setFlag(dead, why);
    this.#evict(ended.add(dead));
  }

  /** Who still asks for an ended run's arguments is answered from the log. */
  #letArgumentsGo(slot: number): void {
    const { runs } = this.#state;
    const place = runs.arguments.get(slot);
    if (place <= 0) return;
    runs.arguments.set(slot, -runs.argumentsAt(slot) - 1);
    this.#state.arguments.release(place);
  }

  #evict(slot: number): void {
    if (slot === 0) return;
    const { runs, lanes, specs, workers, jobs } = this.#state;
    if (!runs.hasFlag(slot, Flag.UNLISTED)) lanes.at(runs.lane.get(slot)).app.counts[runs.state.get(slot)]!--;
    lanes.release(runs.lane.get(slot));
    specs.release(runs.spec.get(slot));
    if (runs.worker.get(slot) !== 0) workers.release(runs.worker.get(slot));
    if (runs.job.get(slot) !== 0) jobs.release(jobs.at(runs.job.get(slot)));
    runs.remove(slot);
  }

  #setState(slot: number, state: taskd.RunState): void {
    const { runs, lanes } = this.#state;
    const { counts } = lanes.at(runs.lane.get(slot)).app;
    counts[runs.state.get(slot)]!--;
    counts[state]!++;
    runs.state.set(slot, state);
  }
}
