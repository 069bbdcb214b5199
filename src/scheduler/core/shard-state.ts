import { TimingWheel } from '../../timer/timing-wheel.js';
import { ArgumentsCache } from './arguments-cache.js';
import { ByteInterner } from './byte-interner.js';
import { DeadLetters } from './dead-letters.js';
import { EndedRuns } from './ended-runs.js';
import { JobTable } from './job-table.js';
import { Lanes } from './lane.js';
import { type RunSpec, runSpec } from './retry-policy.js';
import { RunTable } from './run-table.js';
import { Verdicts } from './verdicts.js';
import { type WorkerIdentity, workerIdentities } from './worker-identity.js';

/** Told while a record is applied, owner or not. */
export interface Observer {
  /**
   * The run is about to lose its lease, for whatever reason; the token is still in the table. Where `holder` isn't 0,
   * the observer takes the run out of its own list.
   */
  leaseEnds(slot: number): void;
  /** The run's attempt should be stopped. */
  cancelling(slot: number): void;
  /** The run is final or dead. */
  ended(slot: number): void;
  /** The proposal at `offset` has a verdict. */
  decided(offset: number): void;
}

const nobody: Observer = { leaseEnds() {}, cancelling() {}, ended() {}, decided() {} };

/** Who holds the shard by the log. */
export interface Ownership {
  /** Offset of the Acquire (or Release) in force, -1: none. */
  epoch: number;
  generation: number;
  owner: string;
  host: string;
  port: number;
}

/**
 * All that a shard's log says, in memory: only replay changes it. What follows from it at once (ready lists, the wheel
 * of due times) is kept here too, since it is rebuilt by the same replay.
 */
export class ShardState {
  readonly runs: RunTable = new RunTable();
  readonly lanes: Lanes = new Lanes();
  readonly jobs: JobTable = new JobTable();
  readonly specs: ByteInterner<RunSpec> = new ByteInterner(runSpec);
  readonly workers: ByteInterner<WorkerIdentity> = workerIdentities();
  readonly verdicts: Verdicts = new Verdicts();
  readonly ended: EndedRuns;
  readonly deadLetters: DeadLetters;
  readonly arguments: ArgumentsCache;
  /** Due times of runs and jobs, wall clock. Advanced only by an owner. */
  readonly wheel: TimingWheel;
  readonly ownership: Ownership = { epoch: -1, generation: 0, owner: '', host: '', port: 0 };
  /** Waiting runs that the owner has to refuse, by id, and why. */
  readonly bad: Map<number, string> = new Map<number, string>();
  observer: Observer = nobody;
  nextOffset = 0;
  voidRecords = 0;
  forbiddenRecords = 0;

  constructor(wallMs: number, endedRunsMax: number, deadLettersMax: number, argumentsBytesMax: number) {
    this.ended = new EndedRuns(endedRunsMax);
    this.deadLetters = new DeadLetters(this.runs, deadLettersMax);
    this.arguments = new ArgumentsCache(argumentsBytesMax);
    this.wheel = new TimingWheel(wallMs);
  }
}

/** The wheel holds runs and jobs; a payload says which. */
export const runPayload = (slot: number): number => slot * 2;
export const jobPayload = (index: number): number => index * 2 + 1;
