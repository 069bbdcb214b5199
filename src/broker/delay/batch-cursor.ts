import { ErrorCode, isTaskdError, TaskdError } from '../../base/errors.js';
import { type BatchHeader, readHeader } from '../../batch/header.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { Partition } from '../partition.js';

/** A committed batch: `bytes` is a view that stays good. */
export interface ReadBatch {
  readonly header: BatchHeader;
  readonly bytes: Uint8Array;
}

const readBytes = 256 * 1024;
const readAgainMs = 100;
/** A damaged log is looked at again after so long: somebody may have mended it. */
const mendedMs = 10_000;

/**
 * Steps through the committed batches of a partition: from memory at once, from the file by a read of its own after
 * which it calls `wake`. Holds one piece of the log at most.
 */
export class BatchCursor {
  readonly #runtime: Runtime;
  readonly #partition: Partition;
  readonly #wake: () => void;
  #offset: number;
  #chunks: Uint8Array[] = [];
  #at = 0;
  #current: ReadBatch | undefined;
  #isReading = false;
  #isClosed = false;

  constructor(runtime: Runtime, partition: Partition, offset: number, wake: () => void) {
    this.#runtime = runtime;
    this.#partition = partition;
    this.#offset = offset;
    this.#wake = wake;
  }

  /** Of the batch that comes next. */
  get offset(): number {
    return this.#offset;
  }

  /** True when all that is committed was stepped over. */
  get isAtEnd(): boolean {
    return this.#offset >= this.#partition.highWatermark;
  }

  /** The next committed batch; undefined at the end, or while it is being read. */
  peek(): ReadBatch | undefined {
    if (this.#current !== undefined) return this.#current;
    if (this.#isReading || this.#isClosed || this.isAtEnd) return undefined;
    if (this.#chunks.length === 0 && !this.#load()) return undefined;
    const chunk = this.#chunks[0]!;
    const header = readHeader(chunk, this.#at);
    if (typeof header === 'string') {
      this.#stumble(new TaskdError(ErrorCode.DATA_LOSS, `the batch at offset ${this.#offset} is damaged (${header})`));
      return undefined;
    }
    this.#current = { header, bytes: chunk.subarray(this.#at, this.#at + header.length) };
    return this.#current;
  }

  /** Steps over the batch that `peek` has given. */
  step(): void {
    const { header } = this.#current!;
    this.#current = undefined;
    this.#offset = header.baseOffset + header.recordCount;
    this.#at += header.length;
    if (this.#at < this.#chunks[0]!.length) return;
    this.#chunks.shift();
    this.#at = 0;
  }

  /** Lets go of what is held; it is read anew when it is needed. */
  drop(): void {
    this.#chunks = [];
    this.#at = 0;
    this.#current = undefined;
  }

  close(): void {
    this.#isClosed = true;
    this.drop();
  }

  #load(): boolean {
    try {
      const hot = this.#partition.readHot(this.#offset, readBytes);
      if (hot !== undefined) {
        this.#chunks = hot;
        return hot.length > 0;
      }
    } catch (error) {
      this.#stumble(error);
      return false;
    }
    this.#isReading = true;
    this.#partition.read(this.#offset, readBytes).then(
      (chunks) => {
        this.#isReading = false;
        if (this.#isClosed) return;
        this.#chunks = chunks;
        this.#wake();
      },
      (error) => {
        this.#isReading = false;
        if (!this.#isClosed) this.#stumble(error);
      },
    );
    return false;
  }

  /** A gap that recovery has recorded is stepped over, what is gone too; anything else is tried again. */
  #stumble(error: unknown): void {
    this.drop();
    const { topicId, partition, logStart } = this.#partition;
    const place = { topicId, partition, offset: this.#offset };
    let pauseMs = readAgainMs;
    if (isTaskdError(error, ErrorCode.OFFSET_OUT_OF_RANGE) && this.#offset < logStart) {
      this.#offset = logStart;
    } else if (isTaskdError(error, ErrorCode.DATA_LOSS)) {
      const gapEnd = Number(/^\d+-(\d+)(?: given up)?$/.exec(error.hint)?.[1]);
      if (gapEnd > this.#offset) this.#offset = gapEnd;
      else pauseMs = mendedMs;
      this.#runtime.logger.error({ ...place, reason: error.message }, 'delayed records were lost with the disk');
    } else {
      this.#runtime.logger.warn({ ...place, error }, 'a read of delayed records failed; trying again');
    }
    this.#isReading = true;
    this.#runtime.clock.timer(pauseMs, () => {
      this.#isReading = false;
      if (!this.#isClosed) this.#wake();
    });
  }
}
