import type { Logger } from '../base/logger.js';
import type { LogStore } from '../log/log-store.js';
import type { Clock, Timer } from '../runtime/clock.js';
import type { Partitions } from './partitions.js';

/** Time between two rounds; what is to go by a topic's retention goes so much later at most. */
const roundMs = 10_000;

/** Goes round all partitions, one after another: retention, trims that were cut short, tidying up. */
export class Maintenance {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #store: LogStore;
  readonly #partitions: Partitions;
  #timer: Timer | undefined;
  #round: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(clock: Clock, logger: Logger, store: LogStore, partitions: Partitions) {
    this.#clock = clock;
    this.#logger = logger;
    this.#store = store;
    this.#partitions = partitions;
  }

  start(): void {
    if (this.#isStopped) return;
    this.#timer = this.#clock.timer(roundMs, () => {
      this.#round = this.round().then(() => this.start());
    });
  }

  /** Begins nothing more; resolves when what was under way is over. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#round;
  }

  /** One round. What fails for one partition is logged and tried again in the next round. */
  async round(): Promise<void> {
    try {
      await this.#store.tend();
    } catch (error) {
      this.#logger.warn({ error }, 'the data folder could not be tidied up');
    }
    for (const partition of [...this.#partitions.all()]) {
      if (this.#isStopped) return;
      try {
        await partition.maintain();
      } catch (error) {
        const { topicId, partition: number } = partition;
        this.#logger.warn({ topicId, partition: number, error }, 'a partition could not be tidied up');
      }
    }
  }
}
