/**
 * Moves the records of one partition of one level on. Two cursors read it, each from where the last committed `Moved`
 * says, and each with a producer id of its own at the destinations:
 *
 * - *express* follows the log's end and moves at once what is due before it would have waited its time here: it came
 *   late, after an outage, or was put here by mistake;
 * - *due* moves all others when they have waited their time, which is the order of the log.
 *
 * | a record is due                | cursor  | moves              | to the level for                     |
 * |--------------------------------|---------|--------------------|--------------------------------------|
 * | before append time + 4^k s     | express | at once            | time due − append time               |
 * | later                          | due     | after its 4^k s    | time due − (append time + 4^k s)     |
 *
 * A parked record (see parked-record.ts) counts as due later, however long it has been due.
 *
 * Both look at logged fields only, so a mover that starts again makes the same moves, and what is at a destination
 * already is found to be so by its sequence. The order of effects: read what is committed; move; when a move is
 * committed there, and a second has passed, write `Moved`; when that is committed, trim.
 */
import { delayLevelFor, delaySpanMs } from '../../base/delay-level.js';
import { TaskdError } from '../../base/errors.js';
import { BatchBuilder } from '../../batch/builder.js';
import { BatchClass } from '../../batch/header.js';
import type { Runtime } from '../../runtime/runtime.js';
import { moverProducerId } from '../mover-table.js';
import type { Appended, CommitListener, Partition } from '../partition.js';
import { BatchCursor } from './batch-cursor.js';
import { type Delayed, eachDelayed, moverBatch, type Onward, originOf } from './delayed-record.js';
import { LogTrimmer } from './log-trimmer.js';
import { MoveQueues } from './move-queues.js';
import { lastMoved, type Moved, movedRecord } from './moved-record.js';
import { parkedType } from './parked-record.js';
import { Pump } from './pump.js';

/** What a mover sees of the rest of the ladder. */
export interface MoverHost {
  readonly runtime: Runtime;
  /**
   * The partition of `level` through which this one's records go on; undefined while it is being made, or has no room.
   * `LevelMover.wake` tells when to ask again.
   */
  destination(level: number, partition: number): Partition | undefined;
  /** See `LogTrimmer`. */
  readonly trimBytes: number;
}

/** The numbers of the cursors in producer ids. Format. */
const cursorNumbers = { express: 1, due: 2 } as const;
/** `Moved` records come so far apart. */
const movedEveryMs = 1_000;
/** Records that are due here within so long are moved together: what is left after a level is a second. */
const dueTogetherMs = 100;
/** What a record must have left for the way to its target, so that others may be waited for. */
const moveMs = 500;
/** A piece of the log is held for a record that waits less than this. */
const holdMs = 1_000;
const againMs = 200;
/** A clock that was set is noticed within so long; a log that could not be read is tried again then. */
const lookMs = 60_000;

interface Cursor {
  readonly producerId: number;
  readonly batches: BatchCursor;
  readonly queues: MoveQueues<Delayed>;
  /** Records of a batch before this offset were moved before the start. */
  readonly from: number;
}

export class LevelMover implements CommitListener {
  readonly level: number;
  readonly #host: MoverHost;
  readonly #partition: Partition;
  readonly #spanMs: number;
  readonly #trimmer: LogTrimmer;
  readonly #pump: Pump;
  #express: Cursor | undefined;
  #due: Cursor | undefined;
  /** In the log, committed or not. */
  #said: Moved = { express: 0, due: 0 };
  #saidMs = Number.NEGATIVE_INFINITY;
  #hasPassedData = false;
  /** What the due cursor waits for: the batch at `offset`, which has waited its time at `expiryMs`. */
  #head: { readonly offset: number; readonly expiryMs: number; readonly wakeMs: number } | undefined;
  #isSaying = false;
  /** Records moved on, for metrics. */
  moved = 0;

  constructor(host: MoverHost, partition: Partition, level: number) {
    this.#host = host;
    this.#partition = partition;
    this.#pump = new Pump(host.runtime.clock, () => this.#look());
    this.level = level;
    this.#spanMs = delaySpanMs(level);
    this.#trimmer = new LogTrimmer(host.runtime.logger, partition, host.trimBytes);
  }

  /** Finds its place in the log and begins. A log that can't be read now is tried again. */
  start(): void {
    this.#partition.listen(this);
    void this.#begin();
  }

  stop(): void {
    this.#pump.stop();
    this.#partition.unlisten(this);
    this.#express?.batches.close();
    this.#due?.batches.close();
  }

  /** Records that wait here, give or take the mover's own. */
  get waiting(): number {
    return this.#due === undefined ? 0 : Math.max(0, this.#partition.highWatermark - this.#due.queues.low);
  }

  /** Records in memory. */
  get held(): number {
    return (this.#express?.queues.records ?? 0) + (this.#due?.queues.records ?? 0);
  }

  /** True when no record that is due by `dueMs` waits here. */
  hasPassed(dueMs: number): boolean {
    const express = this.#express;
    const due = this.#due;
    if (express === undefined || due === undefined) return false;
    const end = this.#partition.logEnd;
    if (express.queues.low < end) return false;
    if (due.queues.low >= end) return true;
    return this.#head?.offset === due.queues.low && this.#head.expiryMs > dueMs;
  }

  committed(): void {
    this.wake();
  }

  /** Looks for something to do at the end of this turn. */
  wake(): void {
    this.#pump.wake();
  }

  async #begin(): Promise<void> {
    try {
      const moved = await lastMoved(this.#partition);
      if (this.#pump.isStopped) return;
      this.#said = moved;
      this.#express = this.#cursor(cursorNumbers.express, moved.express);
      this.#due = this.#cursor(cursorNumbers.due, moved.due);
      this.wake();
    } catch (error) {
      const { topicId, partition } = this.#partition;
      this.#host.runtime.logger.error(
        { topicId, partition, error },
        'a level of delay could not be read; trying again',
      );
      this.#host.runtime.clock.timer(lookMs, () => {
        if (!this.#pump.isStopped) void this.#begin();
      });
    }
  }

  #cursor(number: number, from: number): Cursor {
    const { topicId, partition } = this.#partition;
    const batches = new BatchCursor(this.#host.runtime, this.#partition, from, () => this.wake());
    const producerId = moverProducerId(number, topicId, partition);
    return { producerId, batches, queues: new MoveQueues<Delayed>(from), from };
  }

  #look(): void {
    const express = this.#express;
    const due = this.#due;
    if (express === undefined || due === undefined || !this.#partition.isActive) return;
    this.#readExpress(express);
    const waitMs = this.#readDue(due);
    for (const cursor of [express, due]) this.#send(cursor);
    this.#say(express, due);
    this.#arm(waitMs);
  }

  #readExpress(cursor: Cursor): void {
    const { batches, queues, from } = cursor;
    while (queues.hasRoom) {
      const batch = batches.peek();
      if (batch === undefined) break;
      const { appendTimestamp } = batch.header;
      eachDelayed(batch, from, (delayed) => {
        this.#hasPassedData = true;
        const dueMs = delayed.record.deliverAtMs;
        if (dueMs < appendTimestamp + this.#spanMs && delayed.record.type !== parkedType)
          queues.add(delayLevelFor(dueMs - appendTimestamp), delayed);
      });
      batches.step();
      queues.passed(batches.offset);
    }
  }

  /** Returns how long the next record has to wait. */
  #readDue(cursor: Cursor): number {
    const { batches, queues, from } = cursor;
    const nowMs = this.#host.runtime.clock.wallMs();
    if (this.#head !== undefined && this.#head.expiryMs > nowMs) return this.#head.wakeMs - nowMs;
    this.#head = undefined;
    while (queues.hasRoom) {
      const batch = batches.peek();
      if (batch === undefined) break;
      const expiryMs = batch.header.appendTimestamp + this.#spanMs;
      const isOver = expiryMs <= nowMs;
      let soonestMs = Number.POSITIVE_INFINITY;
      let count = 0;
      eachDelayed(batch, from, (delayed) => {
        count++;
        const dueMs = delayed.record.deliverAtMs;
        if (dueMs < expiryMs && delayed.record.type !== parkedType) return;
        if (isOver) queues.add(delayLevelFor(dueMs - expiryMs), delayed);
        else soonestMs = Math.min(soonestMs, dueMs);
      });
      if (soonestMs !== Number.POSITIVE_INFINITY) {
        const wakeMs = expiryMs + Math.max(0, Math.min(dueTogetherMs, soonestMs - expiryMs - moveMs));
        if (expiryMs - nowMs > holdMs) batches.drop();
        this.#head = { offset: batches.offset, expiryMs, wakeMs };
        return wakeMs - nowMs;
      }
      if (count > 0) this.#hasPassedData = true;
      batches.step();
      queues.passed(batches.offset);
    }
    return Number.POSITIVE_INFINITY;
  }

  #send(cursor: Cursor): void {
    for (const level of cursor.queues.idle()) {
      const destination = this.#host.destination(level, this.#partition.partition);
      if (destination === undefined) this.#pump.wakeIn(againMs);
      else this.#move(cursor, level, destination);
    }
  }

  #move(cursor: Cursor, level: number, destination: Partition): void {
    const { queues, producerId } = cursor;
    const records = queues.next(level);
    const lastSequence = records[records.length - 1]!.offset;
    const fields = { producerId, baseSequence: records[0]!.offset, lastSequence };
    let appended: Appended;
    try {
      appended = destination.append([moverBatch(records, fields, (delayed, delta) => this.#onward(delayed, delta))]);
    } catch (error) {
      if (!(error instanceof TaskdError)) throw error;
      queues.failed(level);
      this.#pump.wakeIn(againMs);
      return;
    }
    const { endOffset, overlap } = appended;
    destination.whenCommitted({
      endOffset,
      committed: () => {
        queues.moved(level, overlap ?? lastSequence);
        if (overlap === undefined) this.moved += records.length;
        this.wake();
      },
      failed: () => {
        queues.failed(level);
        this.#pump.wakeIn(againMs);
      },
    });
  }

  #onward({ offset, record }: Delayed, timestampDelta: number): Onward {
    const { key, value, headers, deliverAtMs, targetTopicId, targetPartition } = record;
    const origin = record.origin === 0 ? originOf(this.level, offset) : record.origin;
    return { key, value, headers, timestampDelta, type: 0, deliverAtMs, targetTopicId, targetPartition, origin };
  }

  /** Writes where the cursors are, at most once a second, and only when a delayed record was passed. */
  #say(express: Cursor, due: Cursor): void {
    const place = { express: express.queues.low, due: due.queues.low };
    if (this.#isSaying || !this.#hasPassedData) return;
    if (place.express === this.#said.express && place.due === this.#said.due) return;
    const waitMs = this.#saidMs + movedEveryMs - this.#host.runtime.clock.monotonicMs();
    if (waitMs > 0) {
      this.#pump.wakeIn(waitMs);
      return;
    }
    const builder = new BatchBuilder();
    builder.append(movedRecord(place));
    const bytes = builder.finish({ baseTimestamp: 0, batchClass: BatchClass.OWNER });
    let offset: number;
    try {
      offset = this.#partition.appendOwn(bytes, 1);
    } catch (error) {
      if (!(error instanceof TaskdError)) throw error;
      this.#pump.wakeIn(movedEveryMs);
      return;
    }
    this.#saidMs = this.#host.runtime.clock.monotonicMs();
    this.#isSaying = true;
    this.#said = place;
    const isBehind = (cursor: Cursor): boolean => cursor.queues.low < cursor.queues.position;
    this.#hasPassedData = isBehind(express) || isBehind(due);
    this.#partition.whenCommitted({
      endOffset: offset + 1,
      committed: () => {
        this.#isSaying = false;
        if (this.#trimmer.isTime) this.#trimmer.trim(Math.min(place.express, place.due));
        this.wake();
      },
      failed: () => {
        this.#isSaying = false;
      },
    });
  }

  #arm(waitMs: number): void {
    if (waitMs === Number.POSITIVE_INFINITY) return;
    this.#pump.wakeIn(Math.min(Math.max(1, waitMs), lookMs));
  }
}
