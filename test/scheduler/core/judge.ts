import { BatchClass } from '../../../src/batch/header.js';
import type { NewRecord } from '../../../src/batch/record.js';
import type { CommittedBatch } from '../../../src/coordinator/task-log.js';
import { ShardCore } from '../../../src/scheduler/core/shard-core.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { canonical } from './canonical.js';
import { everyPlanner, RunState, stored } from './harness.js';
import { LogOracle, type Phase } from './log-oracle.js';
import { epochMs, SimFailure } from './simulated-scheduler.js';
import type { SimWorker } from './simulated-worker.js';

const phases: ReadonlyMap<taskd.RunState, Phase> = new Map([
  [RunState.SCHEDULED, 'waiting'],
  [RunState.READY, 'waiting'],
  [RunState.RETRY_WAIT, 'waiting'],
  [RunState.RUNNING, 'leased'],
  [RunState.CANCELLING, 'cancelling'],
  [RunState.SUCCEEDED, 'succeeded'],
  [RunState.CANCELLED, 'cancelled'],
  [RunState.DEAD, 'dead'],
  [RunState.REFUSED, 'refused'],
]);

interface Decision {
  epoch: number;
  readonly run: number;
}

const decisionCodecs: ReadonlyMap<
  number,
  { decode(value: Uint8Array): Decision; encode(decision: Decision): { finish(): Uint8Array } }
> = new Map<number, never>([
  [taskd.RecordType.RUN_LEASED, taskd.RunLeased as never],
  [taskd.RecordType.LEASE_RETURNED, taskd.LeaseReturned as never],
  [taskd.RecordType.LEASE_LOST, taskd.LeaseLost as never],
  [taskd.RecordType.ATTEMPT_TIMED_OUT, taskd.AttemptTimedOut as never],
]);
/** The latest decisions, one of which is tried again after each record. */
const probesMax = 8;

/** Watches the log and what workers start. */
export class Judge {
  /** What the core makes of the log, at its end. */
  readonly reference: ShardCore = new ShardCore(epochMs, { planner: everyPlanner });
  readonly #oracle: LogOracle = new LogOracle((offset) => this.reference.run(offset)?.attemptsMax ?? 1);
  readonly #ended: Map<number, Phase> = new Map();
  readonly #starts: Map<number, number> = new Map();
  /** Records in the log that had no effect. */
  voidedTotal = 0;
  readonly #decisions: NewRecord[] = [];
  #decisionsTotal = 0;
  readonly #startedTokens: Set<number> = new Set();

  get startsTotal(): number {
    return this.#startedTokens.size;
  }

  get epoch(): number {
    return this.#oracle.epoch;
  }

  /** A record has its place in the log. */
  landed(record: NewRecord, batch: CommittedBatch, monoMs: number): void {
    const { reference } = this;
    const before = reference.voided.records;
    reference.replay(batch, monoMs);
    reference.drain(() => {});
    const isCounted = reference.voided.records === before;
    if (!isCounted) this.voidedTotal++;
    const name = `${taskd.RecordType[record.type!]} at ${batch.baseOffset}`;
    if (this.#oracle.apply(record, batch.baseOffset, isCounted) !== isCounted) {
      throw new SimFailure(`${name} ${isCounted ? 'counts' : 'is void'}, against the rules`);
    }
    if (reference.epoch !== this.#oracle.epoch) throw new SimFailure(`${name}: another epoch than the rules say`);
    for (const run of this.#oracle.touched) this.#check(run, name);
    this.#probe(record, batch, monoMs);
    if (record.type === taskd.RecordType.LEASE_RETURNED && isCounted) {
      const { token, run } = taskd.LeaseReturned.decode(record.value!);
      if (this.#startedTokens.has(token)) throw new SimFailure(`a lease of run ${run} is returned, but it was started`);
    }
  }

  /** A decision of before, repeated in the present epoch, is void unless all that it names still holds. */
  #probe(landed: NewRecord, batch: CommittedBatch, monoMs: number): void {
    if (decisionCodecs.has(landed.type!)) this.#decisions[this.#decisionsTotal++ % probesMax] = landed;
    if (this.#decisionsTotal === 0) return;
    const { type, value } = this.#decisions[batch.baseOffset % this.#decisions.length]!;
    const codec = decisionCodecs.get(type!)!;
    const message = codec.decode(value!);
    message.epoch = this.#oracle.epoch;
    const probe = { type: type!, value: codec.encode(message).finish() };
    if (this.#oracle.wouldCount(probe, message.run)) return;
    const before = this.reference.voided.records;
    const record = stored(probe, batch.baseOffset);
    this.reference.replay({ ...batch, batchClass: BatchClass.OWNER, records: [record] }, monoMs);
    if (this.reference.voided.records === before) {
      throw new SimFailure(`a stale ${taskd.RecordType[type!]} on run ${message.run} counts`);
    }
  }

  /** A processor really starts. */
  started(run: number, token: number, workers: readonly SimWorker[]): void {
    const told = this.#oracle.runs.get(run);
    if (told?.token !== token || (told.phase !== 'leased' && told.phase !== 'cancelling')) {
      throw new SimFailure(`run ${run} starts under lease ${token}; it is ${told?.phase}, lease ${told?.token}`);
    }
    if (this.#startedTokens.has(token)) throw new SimFailure(`lease ${token} of run ${run} starts twice`);
    this.#startedTokens.add(token);
    const starts = (this.#starts.get(run) ?? 0) + 1;
    this.#starts.set(run, starts);
    if (told.attemptsMax === 1 && starts > 1) throw new SimFailure(`run ${run} with one attempt started twice`);
    for (const worker of workers) {
      if (worker.isUp && worker.runsExclusively(run, token)) throw new SimFailure(`exclusive run ${run} runs twice`);
    }
  }

  compare(core: ShardCore): void {
    const live = canonical(core);
    const replayed = canonical(this.reference);
    if (live !== replayed) throw new SimFailure(`a live owner's state differs:\n${live}\n${replayed}`);
  }

  get isSettled(): boolean {
    return this.#ended.size === this.#oracle.runs.size;
  }

  /** Every run has come to an end. */
  checkEnds(acknowledged: readonly number[]): void {
    for (const run of [...acknowledged, ...this.#oracle.runs.keys()]) {
      if (this.#ended.has(run)) continue;
      throw new SimFailure(`run ${run} never ended: ${JSON.stringify(this.reference.run(run))}`);
    }
  }

  #check(id: number, name: string): void {
    const told = this.#oracle.runs.get(id);
    if (told === undefined) return;
    const run = this.reference.run(id);
    if (run === undefined) throw new SimFailure(`${name}: run ${id} is gone`);
    const isLeased = told.phase === 'leased' || told.phase === 'cancelling';
    const wanted = [told.phase, told.attempts + (isLeased ? 1 : 0), told.lost, isLeased ? told.token : -1].join();
    const got = [phases.get(run.state), run.attempt, run.lost, run.token].join();
    if (got !== wanted) throw new SimFailure(`${name}: run ${id} is ${got}; by the rules it is ${wanted}`);
    const before = this.#ended.get(id);
    if (before !== undefined && before !== told.phase) throw new SimFailure(`the final state of ${id} changed`);
    if (this.#oracle.isFinal(told)) this.#ended.set(id, told.phase);
  }
}
