import type { Logger } from '../../base/logger.js';
import type { Partition } from '../partition.js';

/**
 * Trims a log of the ladder now and then. Only whole segments leave the disk, and each trim costs a few syncs, so it
 * waits until the log is large, much was appended since the last time, and half of it may go.
 */
export class LogTrimmer {
  readonly #logger: Logger;
  readonly #partition: Partition;
  readonly #trimBytes: number;
  #appendedBytes = Number.NEGATIVE_INFINITY;
  #isTrimming = false;

  constructor(logger: Logger, partition: Partition, trimBytes: number) {
    this.#logger = logger;
    this.#partition = partition;
    this.#trimBytes = trimBytes;
  }

  /** Whether it is time; then ask `mayTrim` with where the log may begin. */
  get isTime(): boolean {
    const { bytes, bytesAppended } = this.#partition;
    return !this.#isTrimming && bytes >= this.#trimBytes && bytesAppended - this.#appendedBytes >= this.#trimBytes / 4;
  }

  /** Trims to `low`, if that is worth it; `trimmed` is called when it is durable. False when too much must stay. */
  trim(low: number, trimmed: () => void = () => {}): boolean {
    const { logStart, logEnd, topicId, partition } = this.#partition;
    if (low - logStart < (logEnd - logStart) / 2) return false;
    this.#isTrimming = true;
    this.#appendedBytes = this.#partition.bytesAppended;
    this.#partition
      .trimBefore(low)
      .then(trimmed, (error) => this.#logger.warn({ topicId, partition, error }, 'a log of delay was not trimmed'))
      .finally(() => {
        this.#isTrimming = false;
      });
    return true;
  }
}
