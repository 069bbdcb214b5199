/**
 * The log of a coordinator, kept about as short as what is in force. When much was written since the last time, all groups
 * are written again, in pieces, and once these are on disk and read back, what is before them goes.
 *
 * The pieces tell the state as it was replayed, so no other record of this shard may be on its way when they are written:
 * writes that come meanwhile wait until those under way have ended, and go right behind the pieces. Replay voids pieces
 * that another record precedes all the same; then nothing is trimmed, and they are tried again.
 */
import type { Logger } from '../../base/logger.js';
import { BatchClass } from '../../batch/header.js';
import type { NewRecord } from '../../batch/record.js';
import { ShardRuntime } from '../../coordinator/shard-runtime.js';
import type { TaskLog } from '../../coordinator/task-log.js';
import type { GroupShard, GroupVerdict } from './core/group-shard.js';

/** One partition of `__groups`. */
export interface GroupPartition {
  readonly tasks: TaskLog;
  /** Where the log begins. */
  readonly logStart: number;
  /** What is below goes; durable when it resolves. */
  trimBefore(offset: number): Promise<void>;
}

export interface GroupLogOptions {
  /** So much is written at the least before all groups are written again. Default 16 MiB. */
  readonly rewriteBytes?: number;
}

interface HeldWrite {
  readonly records: readonly NewRecord[];
  readonly resolve: (verdicts: Promise<readonly GroupVerdict[]>) => void;
  readonly reject: (error: unknown) => void;
}

const rewriteBytes = 16 * 1024 * 1024;
/** And so many times what the pieces took. */
const rewriteShare = 4;

export class GroupLog {
  readonly #shard: GroupShard;
  readonly #partition: GroupPartition;
  readonly #logger: Logger;
  readonly #runtime: ShardRuntime<GroupVerdict>;
  readonly #rewriteBytes: number;
  /** Writes that have not ended. */
  #open = 0;
  #isRewriting = false;
  /** Writes wait for those under way, and then for the pieces. */
  #isHolding = false;
  #held: HeldWrite[] = [];

  constructor(shard: GroupShard, partition: GroupPartition, logger: Logger, options: GroupLogOptions = {}) {
    this.#shard = shard;
    this.#partition = partition;
    this.#logger = logger;
    this.#runtime = new ShardRuntime(partition.tasks, shard);
    this.#rewriteBytes = options.rewriteBytes ?? rewriteBytes;
  }

  start(): void {
    this.#runtime.start(this.#partition.logStart);
  }

  /** See `ShardRuntime.write`. */
  write(records: readonly NewRecord[]): Promise<readonly GroupVerdict[]> {
    if (!this.#isHolding) return this.#write(records);
    return new Promise((resolve, reject) => this.#held.push({ records, resolve, reject }));
  }

  /** To be called now and then by an active coordinator. */
  tidy(): void {
    const { bytes, pieceBytes } = this.#shard;
    if (this.#isRewriting || bytes < Math.max(this.#rewriteBytes, rewriteShare * pieceBytes)) return;
    this.#isRewriting = true;
    this.#isHolding = true;
    if (this.#open === 0) this.#rewrite();
  }

  /** Nothing is written or read any more; writes that were held reject with `reason`. */
  close(reason: unknown): void {
    for (const { reject } of this.#held) reject(reason);
    this.#held = [];
    this.#isRewriting = true;
    this.#isHolding = false;
    this.#runtime.close();
  }

  #write(records: readonly NewRecord[]): Promise<readonly GroupVerdict[]> {
    this.#open++;
    const written = this.#runtime.write(records, BatchClass.OWNER);
    const over = (): void => {
      this.#open--;
      if (this.#open === 0 && this.#isHolding) this.#rewrite();
    };
    written.then(over, over);
    return written;
  }

  #rewrite(): void {
    const written = this.#runtime.write(this.#shard.pieces(), BatchClass.OWNER);
    this.#isHolding = false;
    for (const { records, resolve } of this.#held.splice(0)) resolve(this.#write(records));
    void this.#trim(written);
  }

  async #trim(written: Promise<readonly GroupVerdict[]>): Promise<void> {
    try {
      const verdicts = await written;
      const { base } = this.#shard;
      const isWhole = verdicts.every(({ refusal }) => refusal === undefined);
      if (isWhole && base !== undefined) await this.#partition.trimBefore(base);
    } catch (error) {
      this.#logger.warn({ error: String(error) }, 'a log of the consumer groups could not be shortened; trying again');
    }
    this.#isRewriting = false;
  }
}
