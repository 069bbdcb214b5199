/**
 * Brings a partition's records into the work queue, holds back while enough of them wait, and goes on, stops or begins
 * anew where the log has no such offset.
 */
import { ErrorCode, TaskdError } from '../../base/errors.js';
import { batchBody, Codec, codecOf } from '../../batch/body.js';
import type { BatchHeader } from '../../batch/header.js';
import { RecordError, readRecords, type StoredRecord } from '../../batch/record.js';
import { Fetcher } from '../fetcher.js';
import type { QueueNetwork } from '../topic-producer.js';
import { asBuffer, ConsumerRecord } from './consumer-record.js';
import { failureHeader, readFailure } from './failure.js';
import { aheadMax, type PartitionWork, type WorkQueue } from './work-queue.js';

export interface ReaderEvents {
  /** Records were added to the work. */
  added(): void;
  /** Everything that was committed when the reader looked is added. */
  caughtUp(): void;
  /** The log has nothing at this offset any more, or not yet; it begins at `logStart`. */
  outOfRange(offset: number, logStart: number, error: TaskdError): void;
  /**
   * Offsets from `from` up to `to` can't be read: lost (DATA_LOSS), which a person may have decided to live with, or
   * written as what is no records (MALFORMED).
   */
  dataLost(from: number, to: number, error: TaskdError, isGivenUp: boolean): void;
  /** The topic or the partition is not there any more. The last call. */
  gone(): void;
  trouble(error: TaskdError): void;
}

export interface ReaderOptions {
  /** Its name, for a retry topic that of the topic whose records it holds. */
  readonly topic: string;
  /** Of a retry topic the group that it belongs to: its records carry what went wrong before. */
  readonly retryOf: string | undefined;
  /** Bytes that may wait before it holds back: its share of the memory, by how many partitions there are now. */
  bytesMax(): number;
}

const answerBytesMax = 1024 * 1024;
const answerBytesMin = 64 * 1024;

export class PartitionReader {
  readonly #network: QueueNetwork;
  readonly #queue: WorkQueue<ConsumerRecord>;
  readonly #work: PartitionWork<ConsumerRecord>;
  readonly #options: ReaderOptions;
  readonly #events: ReaderEvents;
  #fetcher: Fetcher | undefined;
  #isHeld = false;
  #isClosed = false;

  constructor(
    network: QueueNetwork,
    queue: WorkQueue<ConsumerRecord>,
    work: PartitionWork<ConsumerRecord>,
    events: ReaderEvents,
    options: ReaderOptions,
  ) {
    this.#network = network;
    this.#queue = queue;
    this.#work = work;
    this.#events = events;
    this.#options = options;
    this.#open(work.fetchedEnd);
  }

  /** Asks for more once few enough records wait. Cheap: to be called whenever some are done. */
  balance(): void {
    if (!this.#isHeld) return;
    if (this.#work.bytes * 2 > this.#options.bytesMax() || this.#work.tasks.length * 2 > aheadMax) return;
    this.#isHeld = false;
    this.#fetcher?.resume();
  }

  /** Goes on at `offset`, which lies beyond what was read. */
  goOnAt(offset: number): void {
    if (this.#isClosed) return;
    this.#queue.skipTo(this.#work, offset);
    this.#open(offset);
  }

  close(): void {
    this.#isClosed = true;
    this.#fetcher?.close();
  }

  #open(offset: number): void {
    const { topicId, partition } = this.#work;
    const bytesMax = Math.min(answerBytesMax, Math.max(answerBytesMin, this.#options.bytesMax()));
    const { runtime, callers, topics } = this.#network;
    this.#fetcher?.close();
    this.#isHeld = false;
    this.#fetcher = new Fetcher(
      runtime,
      callers,
      topics,
      { topicId, partition, offset },
      {
        batch: (header, bytes) => this.#add(header, bytes),
        caughtUp: (nextOffset) => {
          this.#queue.skipTo(this.#work, nextOffset);
          this.#events.caughtUp();
        },
        lost: (logStart, error) => this.#lost(logStart, error),
        gone: () => this.#events.gone(),
        trouble: (error) => this.#events.trouble(error),
      },
      { bytesMax },
    );
  }

  /** The records get one copy of their batch's bytes, without its compression. */
  #add(header: BatchHeader, bytes: Uint8Array): void {
    const from = this.#work.fetchedEnd;
    const { baseOffset, recordCount, appendTimestamp } = header;
    const end = baseOffset + recordCount;
    try {
      const body = batchBody(bytes, header);
      // What was expanded is its own already.
      readRecords(codecOf(header) === Codec.NONE ? Buffer.from(body) : body, baseOffset, recordCount, (record) => {
        if (record.offset < from) return;
        const key = record.key === undefined ? undefined : asBuffer(record.key).toString('latin1');
        const made = this.#record(record, appendTimestamp);
        if (made === undefined) return;
        const length = (record.key?.length ?? 0) + (record.value?.length ?? 0) + recordOverheadBytes;
        this.#queue.add(this.#work, record.offset, key, length, made);
      });
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      // Its CRC holds, so it was written so: no disk lost it, and no reader will ever understand it.
      const message = `the batch at ${baseOffset} of ${this.#options.topic}/${this.#work.partition} can't be read`;
      const unreadable = new TaskdError(ErrorCode.MALFORMED, `${message} (${error.message})`, { cause: error });
      this.#fetcher?.close();
      this.#events.dataLost(this.#work.fetchedEnd, end, unreadable, false);
      return;
    }
    this.#queue.skipTo(this.#work, end);
    if (this.#work.bytes >= this.#options.bytesMax() || this.#work.tasks.length >= aheadMax) {
      this.#isHeld = true;
      this.#fetcher?.hold();
    }
    this.#events.added();
  }

  #record(record: StoredRecord, timestampMs: number): ConsumerRecord | undefined {
    const { offset, key, value, headers } = record;
    const { topic, retryOf } = this.#options;
    const note = retryOf === undefined ? undefined : headers.find(({ name }) => name === failureHeader);
    const failure = note === undefined ? undefined : readFailure(note.value);
    // Whoever may write to the topic can copy another group's record here.
    if (failure !== undefined && failure.group !== retryOf) return undefined;
    return new ConsumerRecord({
      topic,
      partition: this.#work.partition,
      offset,
      key: key === undefined ? undefined : asBuffer(key),
      value: value === undefined ? undefined : asBuffer(value),
      timestampMs,
      headers: note === undefined ? headers : headers.filter((each) => each !== note),
      failure,
    });
  }

  #lost(logStart: number, error: TaskdError): void {
    if (this.#isClosed) return;
    const offset = this.#work.fetchedEnd;
    if (error.code === ErrorCode.OFFSET_OUT_OF_RANGE) {
      this.#events.outOfRange(offset, logStart, error);
      return;
    }
    const range = /^(\d{1,16})-(\d{1,16})( given up)?$/.exec(error.hint);
    const to = range === null ? offset : Number(range[2]);
    this.#events.dataLost(
      range === null ? offset : Number(range[1]),
      Math.max(to, offset),
      error,
      range?.[3] !== undefined,
    );
  }
}

/** What a record costs in memory beside its bytes, roughly. */
const recordOverheadBytes = 200;
