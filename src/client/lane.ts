/**
 * The way of one partition's records from `add` to an outcome: the pure part of the idempotent producer. Time is a
 * parameter, sockets and promises are the driver's (`producer.ts`).
 *
 * ```
 *  open ──large, lingered, nothing unacknowledged──▶ ready ──sequences──▶ in flight ──ok──▶ acknowledged
 *                                                     ▲                   │    ▲
 *                                                     │        retriable  ▼    │ backoff over
 *                                                     └──── reset ────── waiting ──▶ failed
 * ```
 *
 * - *open* gathers records. *ready* is sealed but was never sent: it has no sequences yet.
 * - At most five batches, counted from the oldest unacknowledged one, have sequences: that many the broker remembers,
 *   so a repeat of any of them is recognised. They are sent, and sent again, in order and with the same sequences; no
 *   new batch is sent past one that waits.
 * - Each batch remembers whether an attempt of it may have been appended although nobody said so. If so it can fail
 *   only as OUTCOME_UNKNOWN.
 * - *Reset*: sequences can't go on, because a batch ran into the delivery timeout, was refused for good, or the broker
 *   doesn't know what we think it knows. Batches that may have been appended fail as OUTCOME_UNKNOWN; those that surely
 *   were not become ready again, and go on under epoch + 1 from sequence 0, which fences what is still on its way.
 */
import { assert, ErrorCode, type TaskdError } from '../base/errors.js';
import { producerWindowBatches } from '../base/limits.js';
import { BatchMemory } from '../batch/batch-memory.js';
import { Codec } from '../batch/body.js';
import { BatchBuilder } from '../batch/builder.js';
import { type BatchClass, sequenceBatch } from '../batch/header.js';
import type { NewRecord } from '../batch/record.js';
import type { Random } from '../runtime/random.js';
import {
  isFinal,
  outcomeIsOpen,
  outcomeUnknown,
  outOfStep,
  refusedBefore,
  timedOut,
  timedOutBefore,
} from './lane-outcome.js';

export interface LaneOptions {
  /** A batch may leave at this size; while there is no room for it, it goes on growing, up to sixteen times that. */
  readonly batchBytes: number;
  readonly lingerMs: number;
  readonly deliveryTimeoutMs: number;
  readonly codec: Codec;
}

/** Some consecutive records of a batch that belong to one caller. */
export interface Part<T> {
  readonly owner: T;
  /** The first one's place among the caller's. */
  readonly from: number;
  count: number;
}

export interface LaneBatch<T> {
  readonly bytes: Uint8Array;
  readonly batchClass: BatchClass;
  readonly recordCount: number;
  readonly parts: readonly Part<T>[];
  readonly createdMs: number;
  state: 'ready' | 'inFlight' | 'waiting' | 'done';
  /** Counts batches that got sequences in this lane. */
  place: number;
  attempts: number;
  retryAtMs: number;
  maybeAppended: boolean;
  /** What it was last refused with, but for refusals that only follow from another batch's. */
  problem: TaskdError | undefined;
}

/** A batch whose records will not be delivered, or may have been. */
export interface Failure<T> {
  readonly batch: LaneBatch<T>;
  readonly error: TaskdError;
}

const epochMax = 0xffff;
/** The slower the answers, the larger the batches: five of them must carry what comes meanwhile. */
const growth = 16;
/** Compressing takes the turn: 256 KiB are a good millisecond. */
const compressedGrowth = 4;
const backoffFirstMs = 10;
const backoffMaxMs = 1_000;
const outOfOrderRetryMs = 2;
/** A broker never forgets a producer sooner than after 10 minutes; a lane that rested for less than that starts anew. */
const idleEpochMs = 5 * 60_000;

export class Lane<T> {
  readonly #options: LaneOptions;
  readonly #random: Random;
  readonly #memory: BatchMemory;
  #builder: BatchBuilder | undefined;
  #open: { parts: Part<T>[]; batchClass: BatchClass; createdMs: number; wallMs: number } | undefined;
  #ready: LaneBatch<T>[] = [];
  /** With sequences, unacknowledged, in order. */
  #sent: LaneBatch<T>[] = [];
  #producerId = 0;
  #epoch = 0;
  #nextSequence = 0;
  #nextPlace = 0;
  /** Why a reset must come, as those are told whom it ends; it waits for the last batch in flight. */
  #resetting: TaskdError | undefined;
  #settledMs = 0;
  #sealedBytes = 0;

  constructor(random: Random, options: LaneOptions, memory: BatchMemory = new BatchMemory()) {
    this.#random = random;
    this.#options = options;
    this.#memory = memory;
  }

  /** False until `identify`; again after the id was fenced or its epochs are used up. */
  get isIdentified(): boolean {
    return this.#producerId !== 0;
  }

  get isEmpty(): boolean {
    return this.#open === undefined && this.#ready.length === 0 && this.#sent.length === 0;
  }

  /** Bytes of all batches that have no outcome yet. */
  get bytes(): number {
    return this.#sealedBytes + (this.#open === undefined ? 0 : this.#builder!.length);
  }

  /** Sealed batches that wait for their turn; a partitioner prefers short queues. */
  get queued(): number {
    return this.#ready.length + this.#sent.length;
  }

  identify(producerId: number, epoch: number): void {
    assert(this.#sent.length === 0, 'a lane changes its id only while nothing is sent');
    this.#producerId = producerId;
    this.#epoch = epoch;
    this.#nextSequence = 0;
  }

  /** When the oldest record without an outcome was given; undefined when there is none. */
  get oldestMs(): number | undefined {
    return this.#sent[0]?.createdMs ?? this.#ready[0]?.createdMs ?? this.#open?.createdMs;
  }

  /** Adds a record that `recordProblem` has passed, the `from`th of its owner's, which was given at `sinceMs`. */
  add(record: NewRecord, batchClass: BatchClass, owner: T, sinceMs: number, wallMs: number, from = 0): void {
    if (this.#open !== undefined && this.#open.batchClass !== batchClass) this.#seal();
    if (this.#builder === undefined || !this.#builder.append(record)) {
      this.#seal();
      this.#builder ??= new BatchBuilder(this.#largestBytes(), this.#memory);
      const fits = this.#builder.append(record);
      assert(fits, 'an empty batch takes any legal record');
    }
    this.#open ??= { parts: [], batchClass, createdMs: sinceMs, wallMs };
    const { parts } = this.#open;
    const last = parts[parts.length - 1];
    if (last !== undefined && last.owner === owner) last.count++;
    else parts.push({ owner, from, count: 1 });
  }

  /** The batch that must be sent now, if there is one; it counts as in flight. Ask `expire` first, then until there is none. */
  next(nowMs: number): LaneBatch<T> | undefined {
    if (this.#resetting !== undefined || this.#producerId === 0) return undefined;
    for (const batch of this.#sent) {
      if (batch.state === 'waiting') return batch.retryAtMs <= nowMs ? launch(batch) : undefined;
    }
    if (!this.#hasRoom()) return undefined;
    if (this.#ready.length === 0 && this.#mustSeal(nowMs)) this.#seal();
    const batch = this.#ready.shift();
    if (batch === undefined) return undefined;
    if (this.#sent.length === 0 && this.#nextSequence > 0 && this.#settledMs + idleEpochMs < nowMs) this.#raiseEpoch();
    if (this.#producerId === 0) {
      this.#ready.unshift(batch);
      return undefined;
    }
    sequenceBatch(batch.bytes, 0, this.#producerId, this.#epoch, this.#nextSequence);
    this.#nextSequence += batch.recordCount;
    batch.place = this.#nextPlace++;
    this.#sent.push(batch);
    return launch(batch);
  }

  /** The broker has it. False when the batch had an outcome before: then this one is void. */
  acknowledged(batch: LaneBatch<T>, nowMs: number): boolean {
    if (batch.state !== 'inFlight') return false;
    this.#settle(batch, nowMs);
    // The answer came on the one connection that it was sent on, so it has left that whole.
    if (batch.attempts === 1) this.#memory.recycle(batch.bytes);
    return true;
  }

  /** An attempt failed. Returns the batches whose end that is; the others are sent again in time. */
  refused(batch: LaneBatch<T>, error: TaskdError, nowMs: number): Failure<T>[] {
    if (batch.state !== 'inFlight') return [];
    batch.state = 'waiting';
    if (outcomeIsOpen(error)) batch.maybeAppended = true;
    const failures: Failure<T>[] = [];
    if (error.code === ErrorCode.PRODUCER_FENCED) return this.#fenced(error, nowMs);
    const isFollowUp = error.code === ErrorCode.OUT_OF_ORDER_SEQUENCE || error.code === ErrorCode.UNKNOWN_PRODUCER;
    if (!isFollowUp) batch.problem = error;
    if (isFollowUp) {
      batch.retryAtMs = nowMs + outOfOrderRetryMs;
      if (this.#sent[0] === batch) this.#resetting ??= outOfStep(error);
    } else if (isFinal(error)) {
      failures.push({ batch, error: batch.maybeAppended ? outcomeUnknown(error) : error });
      this.#settle(batch, nowMs);
      this.#resetting ??= refusedBefore(error);
    } else {
      batch.retryAtMs = nowMs + Math.max(error.retryAfterMs, this.#backoffMs(batch.attempts));
    }
    if (this.#canReset()) this.#reset(nowMs, failures);
    return failures;
  }

  /**
   * Fails what is older than the delivery timeout, and ends a reset that waited for the last batch in flight. What was
   * never sent fails with what held it up: the problem of the oldest batch, or `heldUpBy` where none was sent.
   */
  expire(nowMs: number, heldUpBy?: TaskdError): Failure<T>[] {
    const before = nowMs - this.#options.deliveryTimeoutMs;
    const failures: Failure<T>[] = [];
    if (this.#canReset()) this.#reset(nowMs, failures);
    const first = this.#sent[0];
    const why = first === undefined ? heldUpBy : first.problem;
    if (first !== undefined && first.createdMs <= before) this.#reset(nowMs, failures, before);
    if (this.#open !== undefined && this.#open.createdMs <= before) this.#seal();
    while (this.#ready.length > 0 && this.#ready[0]!.createdMs <= before) {
      const batch = this.#ready.shift()!;
      failures.push({ batch, error: timedOut(this.#options.deliveryTimeoutMs, batch.problem ?? why) });
      this.#finish(batch);
    }
    return failures;
  }

  /** Gives everything up, because the producer closes. */
  abandon(error: TaskdError): Failure<T>[] {
    this.#seal();
    const failures: Failure<T>[] = [];
    for (const batch of [...this.#sent, ...this.#ready]) {
      const open = batch.state === 'inFlight' || batch.maybeAppended;
      failures.push({ batch, error: open ? outcomeUnknown(error) : error });
      this.#finish(batch);
    }
    this.#sent = [];
    this.#ready = [];
    return failures;
  }

  /**
   * Gives everything up, because there is no such partition: at once, or in a later call when answers are still to come.
   */
  giveUp(error: TaskdError, nowMs: number): Failure<T>[] {
    if (this.#sent.some((batch) => batch.state === 'inFlight')) return [];
    const failures = this.abandon(error);
    this.#resetting = undefined;
    this.#settledMs = nowMs;
    if (this.#nextSequence > 0) this.#raiseEpoch();
    return failures;
  }

  /** When `expire` must be asked again at the latest, unless something happens before. */
  expiryMs(): number | undefined {
    const oldest = this.oldestMs;
    return oldest === undefined ? undefined : oldest + this.#options.deliveryTimeoutMs;
  }

  /** When `next` or `expire` must be asked again at the latest, unless something happens before. */
  dueMs(): number | undefined {
    let due = this.expiryMs();
    if (due === undefined) return undefined;
    if (this.#resetting !== undefined || this.#producerId === 0) return due;
    const waiting = this.#sent.find((batch) => batch.state === 'waiting');
    if (waiting !== undefined) return Math.min(due, waiting.retryAtMs);
    if (this.#open !== undefined && this.#hasRoom()) {
      due = Math.min(due, this.#open.createdMs + this.#options.lingerMs);
    }
    return due;
  }

  #canReset(): boolean {
    return this.#resetting !== undefined && !this.#sent.some((each) => each.state === 'inFlight');
  }

  #hasRoom(): boolean {
    const first = this.#sent[0];
    return first === undefined || this.#nextPlace - first.place < producerWindowBatches;
  }

  #mustSeal(nowMs: number): boolean {
    if (this.#open === undefined) return false;
    if (this.#sent.length === 0 || this.#builder!.length >= this.#options.batchBytes) return true;
    return this.#open.createdMs + this.#options.lingerMs <= nowMs;
  }

  #seal(): void {
    const open = this.#open;
    if (open === undefined) return;
    const recordCount = this.#builder!.recordCount;
    const fields = { baseTimestamp: open.wallMs, batchClass: open.batchClass };
    const bytes = this.#builder!.finish(fields, this.#options.codec);
    this.#open = undefined;
    this.#sealedBytes += bytes.length;
    this.#ready.push({
      bytes,
      batchClass: open.batchClass,
      recordCount,
      parts: open.parts,
      createdMs: open.createdMs,
      state: 'ready',
      place: 0,
      attempts: 0,
      retryAtMs: 0,
      maybeAppended: false,
      problem: undefined,
    });
  }

  #largestBytes(): number {
    const { batchBytes, codec } = this.#options;
    return batchBytes * (codec === Codec.NONE ? growth : compressedGrowth);
  }

  #settle(batch: LaneBatch<T>, nowMs: number): void {
    this.#sent.splice(this.#sent.indexOf(batch), 1);
    this.#finish(batch);
    this.#settledMs = nowMs;
  }

  #finish(batch: LaneBatch<T>): void {
    batch.state = 'done';
    this.#sealedBytes -= batch.bytes.length;
  }

  /** See the top of the file. Batches created at or before `expiredMs` have had their time. */
  #reset(nowMs: number, failures: Failure<T>[], expiredMs = Number.NEGATIVE_INFINITY): void {
    const { deliveryTimeoutMs } = this.#options;
    const again: LaneBatch<T>[] = [];
    const first = this.#sent[0];
    for (const batch of this.#sent) {
      const problem = batch.problem ?? first?.problem;
      const isExpired = batch.createdMs <= expiredMs;
      const isOpen = batch.state === 'inFlight' || batch.maybeAppended;
      if (!isExpired && !isOpen) {
        batch.state = 'ready';
        again.push(batch);
        continue;
      }
      const why = isExpired
        ? timedOut(deliveryTimeoutMs, problem)
        : (this.#resetting ?? timedOutBefore(deliveryTimeoutMs, problem));
      failures.push({ batch, error: isOpen ? outcomeUnknown(why) : why });
      this.#finish(batch);
    }
    this.#sent = [];
    this.#ready = [...again, ...this.#ready];
    this.#resetting = undefined;
    this.#settledMs = nowMs;
    this.#raiseEpoch();
  }

  #fenced(error: TaskdError, nowMs: number): Failure<T>[] {
    const failures = this.abandon(error);
    this.#resetting = undefined;
    this.#settledMs = nowMs;
    this.#producerId = 0;
    return failures;
  }

  #raiseEpoch(): void {
    this.#nextSequence = 0;
    if (this.#epoch === epochMax) this.#producerId = 0;
    else this.#epoch++;
  }

  #backoffMs(attempts: number): number {
    const most = Math.min(backoffMaxMs, backoffFirstMs * 2 ** Math.min(attempts - 1, 10));
    return most * (0.5 + this.#random.unit() / 2);
  }
}

function launch<T>(batch: LaneBatch<T>): LaneBatch<T> {
  batch.state = 'inFlight';
  batch.attempts++;
  return batch;
}
