import type { Logger } from '../base/logger.js';
import type { Clock } from '../runtime/clock.js';
import type { Partition } from './partition.js';

/** A round over all partitions takes at least so long; then another one begins. */
const roundMsMin = 3_600_000;

/**
 * Reads full segments again, at a bounded rate, so that rot is found before somebody needs what it took. What is gone is
 * logged and stands in the partition's description, and readers are told DATA_LOSS with its bounds.
 */
export class Scrub {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #bytesPerSecond: number;
  readonly #partitions: () => Iterable<Partition>;
  #isStopped = false;
  #endPause: () => void = () => {};
  /** Counters for metrics. */
  bytesRead = 0;
  rounds = 0;
  gapsFound = 0;

  constructor(clock: Clock, logger: Logger, bytesPerSecond: number, partitions: () => Iterable<Partition>) {
    this.#clock = clock;
    this.#logger = logger;
    this.#bytesPerSecond = bytesPerSecond;
    this.#partitions = partitions;
  }

  /** Goes on until `stop`; with a rate of 0 it never begins. */
  start(): void {
    if (this.#bytesPerSecond > 0) void this.#run();
  }

  stop(): void {
    this.#isStopped = true;
    this.#endPause();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const nextMs = this.#clock.monotonicMs() + roundMsMin;
      await this.round();
      await this.#pause(Math.max(0, nextMs - this.#clock.monotonicMs()));
    }
  }

  /** Reads every full segment once. */
  async round(): Promise<void> {
    for (const partition of [...this.#partitions()]) {
      if (this.#isStopped) return;
      const { topicId, partition: number } = partition;
      try {
        const found = await partition.scrub((bytes) => this.#pace(bytes));
        this.gapsFound += found.length;
        for (const { from, to } of found) {
          this.#logger.error({ topicId, partition: number, from, to }, 'the disk has lost records of a log');
        }
      } catch (error) {
        if (!this.#isStopped)
          this.#logger.warn({ topicId, partition: number, error }, 'a log could not be read for rot');
      }
    }
    this.rounds++;
  }

  /** Waits before so many bytes are read; rejects when it is over. */
  async #pace(bytes: number): Promise<void> {
    await this.#pause((bytes / this.#bytesPerSecond) * 1_000);
    if (this.#isStopped) throw new Error('the broker is stopping');
    this.bytesRead += bytes;
  }

  async #pause(ms: number): Promise<void> {
    if (this.#isStopped) return;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.timer(ms, resolve);
      this.#endPause = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}
